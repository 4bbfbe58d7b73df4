"""Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of lightness."""

from __future__ import annotations

import numpy as np

from unveil.evaluation.colour import lab_to_rgb, rgb_to_lab

LEVELS = 256


def clahe(image: np.ndarray, clip_limit: float = 2.0, tiles: int = 8) -> np.ndarray:
    """CLAHE of the L of CIE Lab (D65), on 256 levels, with `tiles` x `tiles` tiles; (H, W, 3) in [0, 1] to the same.

    clip_limit: how many times the mean count a histogram's bin may hold, in OpenCV's unit.
    """
    lab = rgb_to_lab(image)
    lightness = np.rint(lab[..., 0] * (255 / 100)).astype(np.int64)
    lab[..., 0] = equalise(lightness, clip_limit, tiles) * (100 / 255)
    return lab_to_rgb(lab)


def equalise(levels: np.ndarray, clip_limit: float, tiles: int) -> np.ndarray:
    """(H, W) whole numbers 0..255 to equalised values 0..255, whole numbers as float64."""
    height, width = levels.shape
    rows, columns = -(-height // tiles), -(-width // tiles)
    mode = "reflect" if min(height, width) > max(rows * tiles - height, columns * tiles - width) else "symmetric"
    padded = np.pad(levels, ((0, rows * tiles - height), (0, columns * tiles - width)), mode=mode)
    blocks = padded.reshape(tiles, rows, tiles, columns).transpose(0, 2, 1, 3).reshape(tiles * tiles, -1)
    curves = np.stack([_curve(block, clip_limit) for block in blocks]).reshape(tiles, tiles, LEVELS)

    # Between tile centres the four nearest curves are mixed; beyond the outermost centres the nearest one holds.
    above, below, down = _neighbours(height, rows, tiles)
    left, right, across = _neighbours(width, columns, tiles)
    down, across = down[:, None], across[None, :]
    top = (1 - across) * curves[above[:, None], left, levels] + across * curves[above[:, None], right, levels]
    bottom = (1 - across) * curves[below[:, None], left, levels] + across * curves[below[:, None], right, levels]
    return np.rint((1 - down) * top + down * bottom)


def _curve(block: np.ndarray, clip_limit: float) -> np.ndarray:
    """Cumulative histogram (256,) in 0..255 after clipping; what was clipped off is spread evenly over all bins."""
    histogram = np.bincount(block, minlength=LEVELS).astype(np.int64)
    limit = max(int(clip_limit * block.size / LEVELS), 1)
    excess = int(np.maximum(histogram - limit, 0).sum())
    histogram = np.minimum(histogram, limit) + excess // LEVELS
    rest = excess % LEVELS
    if rest:
        histogram[:: max(LEVELS // rest, 1)][:rest] += 1
    return np.clip(np.rint(np.cumsum(histogram) * (255 / block.size)), 0, 255)


def _neighbours(length: int, size: int, tiles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tile before and after each pixel along an axis, and the share of the latter."""
    place = np.arange(length) / size - 0.5
    before = np.floor(place).astype(np.int64)
    return np.clip(before, 0, tiles - 1), np.clip(before + 1, 0, tiles - 1), place - before
