"""Pictures about pictures: before and after, the standard deviation as a map and as a tint. Arrays in, Pillow images out."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_BAR = 28
# Five anchors of a perceptually ordered dark-to-light map; colours in between are interpolated.
_MAP = np.array([[0.02, 0.02, 0.10], [0.28, 0.08, 0.42], [0.71, 0.21, 0.36], [0.96, 0.53, 0.22], [0.99, 0.98, 0.75]])
_SHADES = 1021  # of the map: enough for neighbours to differ by a level at the most


def _to_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8), "RGB")


def _coloured(values: np.ndarray) -> Image.Image:
    """(H, W) in [0, 1] in the map's colours, of which as many are made as 8 bits tell apart: a photograph has millions of places."""
    shades = np.linspace(0, len(_MAP) - 1, _SHADES)
    colours = np.stack([np.interp(shades, np.arange(len(_MAP)), _MAP[:, c]) for c in range(3)], axis=-1)
    position = np.rint(np.clip(values, 0, 1) * np.float32(_SHADES - 1)).astype(np.uint16)
    return Image.fromarray(np.rint(255 * colours).astype(np.uint8)[position], "RGB")


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


def deviation(std: np.ndarray, scale: float | None = None, caption: str = "") -> Image.Image:
    """A map of the draws' standard deviation (H, W, 3), mean over the channels, with a colour bar in 8-bit levels.

    scale: the value at the top of the bar; default the 99.5th percentile, at least two levels. caption: a sentence below, broken
    into lines as the width asks.
    """
    grey = std.mean(axis=-1)
    top = scale or max(float(np.quantile(grey, 0.995)), 2 / 255)
    height, width = grey.shape
    bar = np.linspace(1, 0, height)[:, None].repeat(_BAR, axis=1)
    sheet = Image.new("RGB", (width + _BAR + 64, height), "white")
    sheet.paste(_coloured(grey / top), (0, 0))
    sheet.paste(_coloured(bar), (width + 8, 0))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for share in (0.0, 0.5, 1.0):
        y = round((1 - share) * max(0, height - 16))
        draw.text((width + _BAR + 12, y), f"{share * top * 255:.1f}", fill="black", font=font)
    return _captioned(sheet, caption) if caption else sheet


def _captioned(sheet: Image.Image, caption: str) -> Image.Image:
    """The sheet with words below, in as many lines as its width asks."""
    font = ImageFont.load_default(size=13)
    lines = [""]
    for word in caption.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= sheet.width - 8 or not lines[-1] else [*lines, word]
    below = Image.new("RGB", (sheet.width, sheet.height + 18 * len(lines) + 4), "white")
    below.paste(sheet, (0, 0))
    ImageDraw.Draw(below).multiline_text((4, sheet.height + 2), "\n".join(lines), fill="black", font=font)
    return below


# What the draws' standard deviation has to be, in the full range, for a place to be tinted at all, and as strongly as can be.
UNSURE, INVENTED = 4 / 255, 20 / 255
_TINTS = np.array([[1.00, 0.80, 0.10], [0.90, 0.10, 0.35]])
_REACH = 2  # pixels on each side that are averaged: a tint is about a region, not about one pixel
_LEGEND_FONT = ImageFont.load_default(size=13)
_ROWS = 256  # of a band that is tinted at a time, so that the overlay of a large photograph takes no more memory than its own bytes


def overlay(image: np.ndarray, std: np.ndarray, unsure: float = UNSURE, invented: float = INVENTED) -> Image.Image:
    """The restored image in grey, tinted where the draws disagree: yellow where the model was unsure, red where it invented.

    image, std: (H, W, 3), in units of the full range; std is the draws' standard deviation. unsure, invented: standard deviations
    (mean over the channels and over 5x5 pixels) at which the tint begins and is strongest. They are fixed levels and no shares of this
    image's own, so that a photograph about which the model was sure stays grey and two overlays can be compared. The tint is about what
    the draws say; an error that all draws share leaves no trace. Below the picture a legend, in two lines where one is too short for it;
    where the picture is narrower than its words, the sheet is wider than the picture.
    """
    height, width = image.shape[:2]
    lines = _legend_lines(width, unsure, invented)
    legend = max(left + 18 + _LEGEND_FONT.getlength(words) for line in lines for left, words, _ in line)
    sheet = Image.new("RGB", (max(width, round(legend) + 4), height + _BAR * len(lines)), "white")
    for top in range(0, height, _ROWS):
        # With the rows that the neighbourhood of the band's own reaches into.
        first, last = max(0, top - _REACH), min(height, top + _ROWS + _REACH)
        own = slice(top - first, min(top + _ROWS, height) - first)
        doubt = _blurred(std[first:last].mean(axis=-1))[own]
        sheet.paste(_to_image(_tinted(image[first:last][own], doubt, unsure, invented)), (0, top))
    draw = ImageDraw.Draw(sheet)
    for row, line in enumerate(lines):
        top = height + row * _BAR
        for left, words, tint in line:
            colour = tuple(round(255 * c) for c in tint)
            draw.rectangle((left, top + 8, left + 12, top + 20), fill=colour)
            draw.text((left + 18, top + 6), words, fill="black", font=_LEGEND_FONT)
    return sheet


def _tinted(image: np.ndarray, doubt: np.ndarray, unsure: float, invented: float) -> np.ndarray:
    """Rows of the overlay (h, W, 3)."""
    position = np.clip((doubt - unsure) / (invented - unsure), 0, 1)[..., None]
    strength = np.where(doubt[..., None] < unsure, 0, 0.35 + 0.4 * position)
    grey = np.clip(image, 0, 1) @ np.array([0.299, 0.587, 0.114], image.dtype)
    tint = _TINTS[0].astype(image.dtype) + position * (_TINTS[1] - _TINTS[0]).astype(image.dtype)
    return grey[..., None] * (1 - strength) + tint * strength


def _blurred(values: np.ndarray) -> np.ndarray:
    """Mean over the neighbourhood of _REACH pixels, edges repeated: (H, W)."""
    for axis in (0, 1):
        edges = [(_REACH, _REACH) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(values, edges, mode="edge")
        count = values.shape[axis]
        shifted = [padded[(slice(None),) * axis + (slice(i, i + count),)] for i in range(2 * _REACH + 1)]
        values = sum(shifted[1:], shifted[0]) / len(shifted)
    return values


def _legend_lines(width: int, unsure: float, invented: float) -> list[list[tuple[int, str, np.ndarray]]]:
    """Lines of (left, words, colour): both beside each other where they fit, else one below the other."""
    entries = (
        (f"unsure (±{unsure * 255:.0f} of 255)", _TINTS[0]),
        (f"invented (±{invented * 255:.0f} or more)", _TINTS[1]),
    )
    lines: list[list[tuple[int, str, np.ndarray]]] = [[]]
    left = 4
    for words, tint in entries:
        wide = 18 + round(_LEGEND_FONT.getlength(words))
        if lines[-1] and left + wide > width:
            lines.append([])
            left = 4
        lines[-1].append((left, words, tint))
        left += wide + 16
    return lines
