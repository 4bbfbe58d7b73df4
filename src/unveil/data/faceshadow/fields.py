"""Smooth fields over a square face, coordinates in [0, 1], all a function of a numpy generator."""

from __future__ import annotations

import numpy as np


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres as (down (side, 1), right (1, side)) in [0, 1]."""
    centre = (np.arange(side) + 0.5) / side
    return centre[:, None], centre[None, :]


def perlin(rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """(side, side) gradient noise (Perlin 1985, with the fifth-degree fade of 2002), about [-1, 1], `cells` lattice cells a side."""
    angle = rng.uniform(0, 2 * np.pi, (cells + 1, cells + 1))
    slope = np.stack([np.sin(angle), np.cos(angle)])
    position = (np.arange(side) + 0.5) / side * cells
    cell = np.minimum(position.astype(int), cells - 1)
    t = position - cell
    fade = t**3 * (t * (6 * t - 15) + 10)
    total = np.zeros((side, side))
    for i, row in ((0, 1 - fade), (1, fade)):
        for j, column in ((0, 1 - fade), (1, fade)):
            g = slope[:, cell[:, None] + i, cell[None, :] + j]
            total += row[:, None] * column[None, :] * (g[0] * (t - i)[:, None] + g[1] * (t - j)[None, :])
    return total * np.sqrt(2)


def octaves(rng: np.random.Generator, side: int, cells: int, count: int, fall: float = 0.5) -> np.ndarray:
    """(side, side) sum of `count` Perlin fields, each twice as fine and `fall` times as strong as the one before."""
    return sum((fall**k * perlin(rng, side, cells * 2**k) for k in range(count)), np.zeros((side, side)))


def stretched(field: np.ndarray) -> np.ndarray:
    """A field brought to [0, 1]."""
    low, high = field.min(), field.max()
    return (field - low) / max(high - low, 1e-9)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """(side, side) filtered by a Gaussian of `sigma` pixels, borders mirrored; two products with a small matrix."""
    if sigma < 0.2:
        return image
    side = len(image)
    reach = min(int(np.ceil(4 * sigma)), side)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    where = (np.arange(side)[:, None] + np.arange(-reach, reach + 1)[None, :]) % (2 * side)
    where = np.where(where >= side, 2 * side - 1 - where, where)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (np.arange(side)[:, None], where), np.broadcast_to(taps, where.shape))
    return matrix @ image @ matrix.T
