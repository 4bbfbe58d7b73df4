"""From an outline to a shadow on a face: softness, scattering in the skin, and coloured light that is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unveil.data.faceshadow.fields import blur, octaves, stretched
from unveil.data.faceshadow.masks import outline

LIGHT_LEFT = (0.05, 0.4)
"""Light left in the shadow, mean of the channels, in linear light; log-uniform.

With the coverage of `masks` chosen so that the mean PSNR of shadowed faces comes near the 16.28 dB of the paper's synthetic
set (LearnIR Table 5): 16.3 dB on 240 draws over six faces.
"""

_LEVELS = 5  # blurred versions between which the softness of each place is interpolated
_SCATTER = np.array([1.0, 0.4, 0.2])  # red light travels farthest in skin


@dataclass(frozen=True)
class Shadow:
    """mask: (side, side, 3) in [0, 1] per channel. light: (3,) left where it is 1. kind: of the outline."""

    mask: np.ndarray
    light: np.ndarray
    kind: str


def to_linear(s: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def to_srgb(x: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to sRGB."""
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-12) ** (1 / 2.4) - 0.055)


def softened(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """The mask blurred by a Gaussian whose width changes smoothly over the face, from sharp contact to wide penumbra."""
    side = len(mask)
    low = side * np.exp(rng.uniform(np.log(0.001), np.log(0.01)))
    high = low * np.exp(rng.uniform(0, np.log(8)))
    sigmas = np.geomspace(low, high, _LEVELS)
    stack = np.stack([blur(mask, s) for s in sigmas])
    place = stretched(octaves(rng, side, 2, 1)) * (_LEVELS - 1)
    below = np.minimum(place.astype(int), _LEVELS - 2)
    share = place - below
    rows, columns = np.indices(mask.shape)
    return (1 - share) * stack[below, rows, columns] + share * stack[below + 1, rows, columns]


def scattered(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """(side, side, 3): the mask blurred a little more in each channel, most in red, as light bleeds through skin."""
    reach = len(mask) * rng.uniform(0.002, 0.012)
    return np.stack([blur(mask, reach * s) for s in _SCATTER], axis=2)


def ambient(rng: np.random.Generator) -> np.ndarray:
    """(3,) light left in a shadow: a level and the tint of the sky, of warm surroundings or, seldom, of anything."""
    level = np.exp(rng.uniform(*np.log(LIGHT_LEFT)))
    warmth = rng.uniform(-0.35, 0.35) - 0.1  # negative is blue; skylight is the commonest
    tint = np.exp(warmth * np.array([1.0, 0.1, -1.0]))
    if rng.random() < 0.15:
        tint = np.exp(rng.normal(0, 0.3, 3))
    return np.clip(level * tint / tint.mean(), 0.02, 0.95)


def draw(rng: np.random.Generator, side: int) -> Shadow:
    """A random shadow for a square face of `side` pixels; a function of the generator alone."""
    mask, kind = outline(rng, side)
    mask = softened(rng, mask)
    mask = mask * (1 - rng.uniform(0, 0.35) * stretched(octaves(rng, side, 2, 2)))  # nothing blocks evenly
    return Shadow(np.clip(scattered(rng, mask), 0, 1), ambient(rng), kind)


def cast(face: np.ndarray, shadow: Shadow) -> np.ndarray:
    """(side, side, 3) uint8 face -> the same under the shadow: lit (1 - M) + lit light M in linear light. Never brighter."""
    lit = to_linear(face / 255.0)
    dark = lit * (1 - shadow.mask * (1 - shadow.light))
    return np.minimum(np.rint(to_srgb(dark) * 255).astype(np.uint8), face)
