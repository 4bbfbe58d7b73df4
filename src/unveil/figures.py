"""Pictures about pictures: before and after, and the standard deviation with its colour bar. Arrays in, Pillow images out."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_BAR = 28
# Five anchors of a perceptually ordered dark-to-light map; colours in between are interpolated.
_MAP = np.array([[0.02, 0.02, 0.10], [0.28, 0.08, 0.42], [0.71, 0.21, 0.36], [0.96, 0.53, 0.22], [0.99, 0.98, 0.75]])


def _to_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8), "RGB")


def _coloured(values: np.ndarray) -> np.ndarray:
    position = np.clip(values, 0, 1) * (len(_MAP) - 1)
    return np.stack([np.interp(position, np.arange(len(_MAP)), _MAP[:, c]) for c in range(3)], axis=-1)


def side_by_side(images: list[np.ndarray], titles: list[str]) -> Image.Image:
    """Images (H, W, 3) in [0, 1] of one size in a row, each under its title."""
    height, width = images[0].shape[:2]
    sheet = Image.new("RGB", (len(images) * (width + 4) - 4, height + _BAR), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=18)
    for i, (pixels, title) in enumerate(zip(images, titles, strict=True)):
        sheet.paste(_to_image(pixels), (i * (width + 4), _BAR))
        draw.text((i * (width + 4) + 4, 3), title, fill="black", font=font)
    return sheet


def deviation(std: np.ndarray, scale: float | None = None) -> Image.Image:
    """A map of the draws' standard deviation (H, W, 3), mean over the channels, with a colour bar in 8-bit levels.

    scale: the value at the top of the bar; default the 99.5th percentile, at least two levels.
    """
    grey = std.mean(axis=-1)
    top = scale or max(float(np.quantile(grey, 0.995)), 2 / 255)
    height, width = grey.shape
    bar = np.linspace(1, 0, height)[:, None].repeat(_BAR, axis=1)
    sheet = Image.new("RGB", (width + _BAR + 64, height), "white")
    sheet.paste(_to_image(_coloured(grey / top)), (0, 0))
    sheet.paste(_to_image(_coloured(bar)), (width + 8, 0))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for share in (0.0, 0.5, 1.0):
        y = round((1 - share) * max(0, height - 16))
        draw.text((width + _BAR + 12, y), f"{share * top * 255:.1f}", fill="black", font=font)
    return sheet
