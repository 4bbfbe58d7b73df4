"""Outlines of foreign shadows: silhouettes of things that stand in the light, and Perlin-like patches. 1 is shadow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unveil.data.faceshadow.fields import grid, octaves

COVERAGE = (0.15, 0.75)
"""Share of the picture a shadow covers."""

# A silhouette is a signed field: positive inside, in units of the side, so that an edge can be drawn one pixel wide.
Shape = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def _turned(rng: np.random.Generator, v: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates turned about a random point near the middle."""
    angle = rng.uniform(0, 2 * np.pi)
    dv, du = v - rng.uniform(0.25, 0.75), u - rng.uniform(0.25, 0.75)
    return dv * np.cos(angle) + du * np.sin(angle), du * np.cos(angle) - dv * np.sin(angle)


def _brim(rng: np.random.Generator, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A hat, a wall, a door frame: one side of a line or of a wide arc."""
    p, q = _turned(rng, v, u)
    return p + rng.uniform(-1.2, 1.2) * q**2


def _outline(rng: np.random.Generator, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A thing with a wavy closed outline: radius as a short Fourier series of the angle."""
    p, q = _turned(rng, v, u)
    angle = np.arctan2(p, q)
    radius = np.full_like(angle, rng.uniform(0.18, 0.4))
    for k in range(1, 7):
        radius = radius + rng.normal(0, 0.09 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return radius - np.hypot(p, q)


def _capsule(
    p: np.ndarray, q: np.ndarray, start: tuple[float, float], end: tuple[float, float], radius: float
) -> np.ndarray:
    dp, dq = end[0] - start[0], end[1] - start[1]
    along = np.clip(((p - start[0]) * dp + (q - start[1]) * dq) / max(dp * dp + dq * dq, 1e-9), 0, 1)
    return radius - np.hypot(p - start[0] - along * dp, q - start[1] - along * dq)


def _hand(rng: np.random.Generator, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A hand or twigs: thick strokes fanning out from a palm."""
    p, q = _turned(rng, v, u)
    palm = rng.uniform(0.08, 0.16)
    inside = palm - np.hypot(p, q)
    spread, count = rng.uniform(0.5, 1.2), int(rng.integers(3, 6))
    for k in range(count):
        angle = spread * (k / (count - 1) - 0.5) * 2 + rng.normal(0, 0.08)
        length = palm + rng.uniform(0.15, 0.4)
        tip = (length * np.cos(angle), length * np.sin(angle))
        inside = np.maximum(inside, _capsule(p, q, (0.0, 0.0), tip, rng.uniform(0.018, 0.05)))
    return np.maximum(inside, _capsule(p, q, (0.0, 0.0), (-0.9, rng.normal(0, 0.1)), palm * 0.7))


def _leaves(rng: np.random.Generator, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Foliage: many small turned ellipses."""
    inside = np.full(np.broadcast_shapes(v.shape, u.shape), -1.0)
    for _ in range(int(rng.integers(10, 40))):
        angle, long = rng.uniform(0, np.pi), rng.uniform(0.03, 0.11)
        dv, du = v - rng.uniform(0, 1), u - rng.uniform(0, 1)
        p, q = dv * np.cos(angle) + du * np.sin(angle), du * np.cos(angle) - dv * np.sin(angle)
        wide = long * rng.uniform(0.3, 0.6)
        inside = np.maximum(inside, wide * (1 - np.hypot(p / long, q / wide)))
    return inside


def _blinds(rng: np.random.Generator, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Bars: blinds, railings, a window frame."""
    p, _ = _turned(rng, v, u)
    rate = rng.uniform(1.5, 6.0)
    return (np.sin(2 * np.pi * rate * p) + rng.uniform(-0.3, 0.5)) / (2 * np.pi * rate)


SILHOUETTES: tuple[Shape, ...] = (_brim, _outline, _hand, _leaves, _blinds)
_ODDS = (0.3, 0.3, 0.15, 0.15, 0.1)


def silhouette(rng: np.random.Generator, side: int) -> np.ndarray:
    """(side, side) in [0, 1]: one or two silhouettes, edges one pixel wide."""
    v, u = grid(side)
    inside = np.full((side, side), -1.0)
    for _ in range(1 + int(rng.random() < 0.3)):
        shape = SILHOUETTES[int(rng.choice(len(SILHOUETTES), p=_ODDS))]
        inside = np.maximum(inside, shape(rng, v, u))
    return np.clip(inside * side + 0.5, 0, 1)


def patches(rng: np.random.Generator, side: int) -> np.ndarray:
    """(side, side) in [0, 1]: Perlin-like noise of a coarse and a fine scale, thresholded to a random coverage."""
    field = octaves(rng, side, int(rng.integers(2, 4)), 2) + rng.uniform(0, 0.35) * octaves(
        rng, side, int(rng.integers(6, 12)), 2
    )
    level = np.quantile(field, 1 - rng.uniform(*COVERAGE))
    return np.clip((field - level) * side / rng.uniform(3, 8) + 0.5, 0, 1)


def outline(rng: np.random.Generator, side: int) -> tuple[np.ndarray, str]:
    """(mask (side, side) in [0, 1], which of "silhouette" and "patches"); its coverage lies in COVERAGE."""
    if rng.random() < 0.65:
        for _ in range(20):
            mask = silhouette(rng, side)
            if COVERAGE[0] <= mask.mean() <= COVERAGE[1]:
                return mask, "silhouette"
    return patches(rng, side), "patches"
