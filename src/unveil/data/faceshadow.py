"""FaceShadow: faces with foreign shadows, synthesised after Zhang et al. 2020 (Portrait Shadow Manipulation, section 3.1).

LearnIR's data set of this name was not released. As there, a face I becomes I (1 - M) + S M with a shadow mask M from
silhouettes or Perlin-like noise, its softness varying over the face, its edge scattered differently in each channel as skin
does, and a shadowed image S under coloured ambient light. The distributions of the parameters are this project's own.
On disk pair i is a function of (seed, i), identities are split, and what is there is kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from unveil.data.dataset import rng
from unveil.data.files import Outcome, agree, bicubic, decode, images_in, save_png, work
from unveil.errors import InputError


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


ONE_IN = 30
"""One pair in so many, and as large a share of the identities, is for validation (29,000 and 1,000 in the paper)."""


@dataclass(frozen=True)
class FaceShadowSettings:
    """What decides the pixels besides the faces."""

    seed: int = 0
    size: int = 512


def identity(face: Path, root: Path) -> str:
    """The folder a face lies in below `root`, or its own name where the folder is flat; made of letters, digits and dashes."""
    name = face.relative_to(root).parent.as_posix() if face.parent != root else face.stem
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "face"


def split(faces: list[Path], root: Path) -> tuple[list[Path], list[Path]]:
    """(training, validation) faces by identity. Which identities are held out depends on their names alone."""
    names = sorted({identity(f, root) for f in faces}, key=lambda n: hashlib.sha256(n.encode()).hexdigest())
    held = set(names[: max(1, round(len(names) / ONE_IN))]) if len(names) > 1 else set()
    return [f for f in faces if identity(f, root) not in held], [f for f in faces if identity(f, root) in held]


def square(face: np.ndarray, side: int) -> np.ndarray:
    """The central square of a face at `side` pixels."""
    h, w = face.shape[:2]
    n = min(h, w)
    return bicubic(face[(h - n) // 2 : (h - n) // 2 + n, (w - n) // 2 : (w - n) // 2 + n], (side, side))


def build(
    faces: Path,
    output: Path,
    count: int,
    settings: FaceShadowSettings | None = None,
    *,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Write `count` pairs below output/train and output/validation as degraded/NAME.png and clean/NAME.png.

    The same faces, seed and size give the same files whatever the number of workers and however often it was interrupted;
    asking for more later adds to them. Raises InputError for a missing or empty folder, or an output of other settings.
    """
    settings = settings or FaceShadowSettings()
    if count < 1 or not 32 <= settings.size <= 4096:
        raise InputError(
            f"the number of pairs must be 1 or more and their size 32 to 4096 pixels, got {count} and {settings.size}"
        )
    found = images_in(faces, [output / made for made in ("train", "validation", "sheet.png")])
    sides = split(found, faces)
    agree(output / "faceshadow.json", {**asdict(settings), "faces": len(found)})

    def make(index: int) -> bool:
        validation = index % ONE_IN == ONE_IN - 1 and bool(sides[1])
        generator = rng(settings.seed, index)
        files = sides[validation]
        face = files[int(generator.integers(len(files)))]
        name = f"{identity(face, faces)}_{index:06d}.png"
        folder = output / ("validation" if validation else "train")
        clean, degraded = folder / "clean" / name, folder / "degraded" / name
        if clean.exists() and degraded.exists():
            return False
        pixels = square(decode(face), settings.size)
        save_png(clean, pixels)
        save_png(degraded, cast(pixels, draw(generator, settings.size)))
        return True

    return work(range(count), make, workers, progress)


def sheet(output: Path, rows: int = 4, columns: int = 6, side: int = 192, gap: int = 4) -> Path:
    """Write output/sheet.png: pairs spread over the training set, each degraded above its clean face, and return its path."""
    files = images_in(output / "train" / "degraded")
    picked = [
        files[round(i * (len(files) - 1) / max(1, rows * columns - 1))] for i in range(min(rows * columns, len(files)))
    ]
    page = np.full((rows * (2 * side + gap) - gap, columns * (side + gap) - gap, 3), 255, np.uint8)
    for i, path in enumerate(picked):
        top, left = i // columns * (2 * side + gap), i % columns * (side + gap)
        for k, name in enumerate((path, output / "train" / "clean" / path.name)):
            page[top + k * side : top + (k + 1) * side, left : left + side] = bicubic(decode(name), (side, side))
    save_png(output / "sheet.png", page)
    return output / "sheet.png"
