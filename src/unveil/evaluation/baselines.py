"""Classical corrections, without training, that a restoration method is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import LUMA, as_image, guided_filter, lab_to_rgb, max_filter, min_filter, rgb_to_lab
from unveil.photo.noise_level import noise_level
from unveil.util.words import check_known

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


def non_local_means(
    image: np.ndarray, strength: float = 0.8, *, patch: int = 3, search_radius: int = 6, sigma: float | None = None
) -> np.ndarray:
    """Non-local means (Buades, Coll and Morel 2005), filtering parameter h `strength` times the noise's deviation.

    Every pixel becomes the mean of those within the search window, weighted by exp(-(d - 2 sigma^2)+ / h^2), d the mean squared
    difference of the patch x patch squares around both, patch odd, so that a picture that is turned and turned back is the same.
    sigma: standard deviation of the noise in units of [0, 1]; estimated by default. Calculated in float32. The defaults were the best of
    patches of 3, 4 and 5 and of strengths .6 to 1 on white noise; on camera noise they lose 0.3 dB to patches of 5 with strength 1.
    """
    sigma = noise_level(image).sigma if sigma is None else sigma
    if sigma == 0:
        return image
    height, width = image.shape[:2]
    reach = patch + 2 * search_radius
    planes = np.pad(image.transpose(2, 0, 1), ((0, 0), (reach, reach), (reach, reach)), mode="symmetric").astype(
        np.float32
    )

    def window(top: int, left: int, rows: int, columns: int) -> np.ndarray:
        """Pixels of the padded image from (top, left), counted from the image's own corner."""
        return planes[:, reach + top : reach + top + rows, reach + left : reach + left + columns]

    total = window(0, 0, height, width).copy()
    weights = np.ones((height, width), dtype=np.float32)
    before = patch // 2  # how far a patch reaches up and left of its pixel
    for down, across in _half_plane(search_radius):
        # Distances between p and p + shift for every p whose own, or whose partner's, sum needs them.
        first_row, first_column = -down, min(-across, 0)
        rows, columns = height + down, width + abs(across)
        corner = (first_row - before, first_column - before)
        extent = (rows + patch - 1, columns + patch - 1)
        here, there = window(*corner, *extent), window(corner[0] + down, corner[1] + across, *extent)
        distance = _patch_mean(((here - there) ** 2).sum(axis=0), patch) / 3
        weight = np.exp(np.maximum(distance - np.float32(2 * sigma**2), 0) * np.float32(-1 / (strength * sigma) ** 2))
        for sign in (1, -1):
            top = -first_row if sign == 1 else -down - first_row
            left = -first_column if sign == 1 else -across - first_column
            part = weight[top : top + height, left : left + width]
            total += part * window(sign * down, sign * across, height, width)
            weights += part
    return np.clip((total / weights).transpose(1, 2, 0).astype(np.float64), 0.0, 1.0)


def _half_plane(radius: int) -> list[tuple[int, int]]:
    """Shifts (down, right) up to `radius`, one of each pair of opposite ones, without (0, 0)."""
    below = [(down, across) for down in range(1, radius + 1) for across in range(-radius, radius + 1)]
    return [(0, across) for across in range(1, radius + 1)] + below


def _patch_mean(values: np.ndarray, size: int) -> np.ndarray:
    """Mean over size x size patches of (H, W) where they fit."""
    for axis in (0, 1):
        moved = np.moveaxis(values, axis, 0)
        length = moved.shape[0] - size + 1
        result = moved[:length].copy()
        for i in range(1, size):
            result += moved[i : i + length]
        values = np.moveaxis(result, 0, axis)
    return values / np.float32(size**2)


def total_variation(
    image: np.ndarray, strength: float = 1.2, *, weight: float | None = None, steps: int = 30
) -> np.ndarray:
    """Minimiser of |u - image|^2 / 2 + weight * total variation of u, channel by channel (Rudin, Osher and Fatemi 1992).

    weight: in units of [0, 1]; default `strength` times the estimated noise. Solved by Chambolle's projection (2004) in `steps` steps.
    """
    weight = strength * noise_level(image).sigma if weight is None else weight
    if weight == 0:
        return image
    dual = np.zeros((2, *image.shape))
    gradient = np.zeros_like(dual)
    result = image
    for _ in range(steps):
        gradient[0, :-1] = np.diff(result, axis=0)
        gradient[1, :, :-1] = np.diff(result, axis=1)
        norm = np.sqrt((gradient**2).sum(axis=0))
        dual = (dual - gradient / 4) / (1 + norm / (4 * weight))
        divergence = -dual.sum(axis=0)
        divergence[1:] += dual[0, :-1]
        divergence[:, 1:] += dual[1, :, :-1]
        result = image + divergence
    return np.clip(result, 0.0, 1.0)


def median(image: np.ndarray, size: int = 5) -> np.ndarray:
    """Median over size x size pixels of each channel, edges repeated. It has no noise level to choose."""
    radius = size // 2
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="edge").astype(np.float32)
    result = np.empty(image.shape)
    for top in range(0, image.shape[0], 32):  # 25 copies of a band at a time
        band = padded[top : top + 32 + 2 * radius]
        windows = np.lib.stride_tricks.sliding_window_view(band, (size, size), axis=(0, 1))
        result[top : top + 32] = np.median(windows.reshape(*windows.shape[:3], -1), axis=3)
    return result


def bilateral(image: np.ndarray, strength: float = 3.0, *, radius: int = 4, space_sigma: float = 3.0) -> np.ndarray:
    """Bilateral filter (Tomasi and Manduchi 1998); colour deviation `strength` times the estimated noise.

    Weights fall with the distance in pixels and with the sum of the absolute differences of the three channels.
    """
    colour_sigma = strength * noise_level(image).sigma
    if colour_sigma == 0:
        return image
    height, width = image.shape[:2]
    mode = "reflect" if min(height, width) > radius else "symmetric"
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode=mode).astype(np.float32)
    centre = padded[radius:-radius, radius:-radius]
    total, weights = np.zeros_like(centre), np.zeros((height, width, 1), dtype=np.float32)
    for down in range(-radius, radius + 1):
        for across in range(-radius, radius + 1):
            if down**2 + across**2 > radius**2:
                continue
            other = padded[radius + down : radius + down + height, radius + across : radius + across + width]
            distance = np.abs(other - centre).sum(axis=2, keepdims=True)
            nearness = -(down**2 + across**2) / (2 * space_sigma**2)
            weight = np.exp(np.float32(nearness) + distance**2 * np.float32(-0.5 / colour_sigma**2))
            total += weight * other
            weights += weight
    return np.clip((total / weights).astype(np.float64), 0.0, 1.0)


def bm3d(image: np.ndarray, sigma: float | None = None) -> np.ndarray:
    """BM3D for colour images (Dabov et al. 2007) with the estimated noise level, by the package `bm3d`.

    sigma: standard deviation in units of [0, 1], if known. Where a difference of channels is flat, as in a grey picture, bm3d_rgb 4.0.3
    gives no numbers, and the channels are denoised one by one. Raises InputError if the package is not installed.
    """
    try:
        from bm3d import bm3d as bm3d_channel  # pyright: ignore[reportMissingImports]
        from bm3d import bm3d_rgb  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InputError(
            "the baseline 'bm3d' needs the package bm3d: pip install bm3d (its licence is non-commercial)"
        ) from error
    sigma = noise_level(image).sigma if sigma is None else sigma
    if sigma == 0:
        return image
    restored = np.asarray(bm3d_rgb(image, sigma), dtype=np.float64)
    if not np.isfinite(restored).all():
        restored = np.stack([bm3d_channel(image[..., c], sigma) for c in range(image.shape[-1])], axis=-1)
    return np.clip(restored.astype(np.float64), 0.0, 1.0)


TARGET_MEAN = 0.45


def stretch(image: np.ndarray, low: float = 1.0, high: float = 99.0) -> np.ndarray:
    """Linear stretch that sends the `low` and `high` percentile of all values, channels together, to 0 and 1."""
    black, white = np.percentile(image, [low, high])
    return image if white <= black else np.clip((image - black) / (white - black), 0.0, 1.0)


def stretch_channels(image: np.ndarray, low: float = 1.0, high: float = 99.0) -> np.ndarray:
    """`stretch` of each channel by itself, which also shifts the colour balance."""
    return np.stack([stretch(image[..., c], low, high) for c in range(image.shape[-1])], axis=-1)


def divide_by_percentile(image: np.ndarray, percentile: float = 99.0) -> np.ndarray:
    """The image divided by a percentile of all its values, so that it becomes white."""
    white = np.percentile(image, percentile)
    return image if white == 0 else np.clip(image / white, 0.0, 1.0)


def grey_world(image: np.ndarray) -> np.ndarray:
    """Channels scaled to one common mean (Buchsbaum 1980)."""
    means = image.mean(axis=(0, 1))
    return image if means.min() == 0 else np.clip(image * (means.mean() / means), 0.0, 1.0)


def gain(image: np.ndarray, mean: float = TARGET_MEAN) -> np.ndarray:
    """One factor on all values that brings their mean, before clipping, to `mean`."""
    own = image.mean()
    return image if own == 0 else np.clip(image * (mean / own), 0.0, 1.0)


def gamma(image: np.ndarray, mean: float = TARGET_MEAN) -> np.ndarray:
    """The power that brings the mean of all values to `mean`, found by bisection; black and white stay where they are."""
    lower, upper = -6.0, 6.0  # the exponent's logarithm to base 2
    for _ in range(50):
        middle = (lower + upper) / 2
        # A larger exponent darkens.
        lower, upper = (middle, upper) if (image**2.0**middle).mean() > mean else (lower, middle)
    return image**2.0 ** ((lower + upper) / 2)


def dark_channel(
    image: np.ndarray,
    strength: float = 0.95,
    *,
    patch_radius: int = 7,
    guide_radius: int = 40,
    epsilon: float = 1e-3,
    floor: float = 0.1,
    brightest: float = 0.001,
) -> np.ndarray:
    """The image (H, W, 3) in [0, 1] without haze; eqs. 5, 12 and 22 with the transmission refined by a guided filter.

    strength: share of the haze removed (the paper's omega). The airlight is the mean colour of the `brightest` share of pixels in the
    dark channel. floor: least transmission.
    """
    dark = min_filter(image.min(axis=2), patch_radius).ravel()
    count = max(1, int(dark.size * brightest))
    airlight = image.reshape(-1, 3)[np.argsort(dark, kind="stable")[-count:]].mean(axis=0)
    airlight = np.maximum(airlight, 1 / 255)
    transmission = 1 - strength * min_filter((image / airlight).min(axis=2), patch_radius)
    transmission = np.clip(guided_filter(image @ LUMA, transmission, guide_radius, epsilon), floor, 1.0)[:, :, None]
    return np.clip((image - airlight) / transmission + airlight, 0.0, 1.0)


def dark_channel_inverted(image: np.ndarray, strength: float = 0.8) -> np.ndarray:
    """Low light treated as haze in the negative (Dong et al. 2011)."""
    return 1.0 - dark_channel(1.0 - image, strength)


def lime_like(
    image: np.ndarray,
    gamma: float = 0.8,
    *,
    close_radius: int = 7,
    guide_radius: int = 8,
    epsilon: float = 1e-4,
    floor: float = 0.02,
) -> np.ndarray:
    """The image (H, W, 3) in [0, 1] divided by its illumination to the power `gamma`.

    The illumination is the largest of the three channels, closed (small dark spots filled) and smoothed by a guided filter instead
    of LIME's optimisation; it never falls below `floor`.
    """
    largest = min_filter(max_filter(image.max(axis=2), close_radius), close_radius)
    illumination = np.clip(guided_filter(image @ LUMA, largest, guide_radius, epsilon), floor, 1.0)
    return np.clip(image / illumination[:, :, None] ** gamma, 0.0, 1.0)


Operation = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Baseline:
    """A correction without training or target. title: how tables call it; note: what it does and its parameters."""

    name: str
    title: str
    operation: Operation
    note: str

    def __call__(self, image: Any) -> np.ndarray:
        """The corrected image, float64 in [0, 1], (H, W, 3); image: (H, W[, 3]), see `as_image`."""
        array = as_image(image)
        rgb = array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)
        return self.operation(rgb)


def _then(first: Operation, second: Operation) -> Operation:
    return lambda image: second(first(image))


BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline("identity", "input", lambda image: image, "nothing is done"),
        Baseline("stretch", "stretch 1-99", stretch, "1st and 99th percentile of all values to 0 and 1"),
        Baseline("stretch-channels", "stretch 1-99 per channel", stretch_channels, "the same, channels apart"),
        Baseline("divide99", "divide by 99th percentile", divide_by_percentile, "of all values"),
        Baseline("grey-world", "grey world", grey_world, "channel means made equal"),
        Baseline("gain", "gain to mean .45", gain, "one factor on all values"),
        Baseline("gamma", "gamma to mean .45", gamma, "one power on all values"),
        Baseline("clahe", "CLAHE", clahe, "lightness, clip limit 2, 8x8 tiles"),
        Baseline("dark-channel", "dark channel w=.95", dark_channel, "15x15 patches, guided filter of radius 40"),
        Baseline("dark-channel-80", "dark channel w=.8", partial(dark_channel, strength=0.8), "the same, milder"),
        Baseline("dark-channel-inverted", "inverted dark channel w=.8", dark_channel_inverted, "on the negative"),
        Baseline("lime-like", "LIME-like", lime_like, "largest channel, closed, guided filter, power .8"),
        Baseline("nlm", "non-local means", non_local_means, "3x3 patches, 13x13 window, h = .8 sigma, blind"),
        Baseline("tv", "total variation", total_variation, "weight 1.2 sigma, blind"),
        Baseline("median", "median 5x5", median, "each channel"),
        Baseline("bilateral", "bilateral", bilateral, "radius 4, colour 3 sigma, space 3 pixels, blind"),
        Baseline("bm3d", "BM3D", bm3d, "blind; needs the package bm3d"),
        Baseline("gamma-nlm", "non-local means after gamma", _then(gamma, non_local_means), "both above"),
        Baseline("nlm-gamma", "gamma after non-local means", _then(non_local_means, gamma), "both above"),
    )
}


def get_baseline(name: str) -> Baseline:
    """The baseline of that name. Raises InputError, naming those there are, for another name."""
    check_known("baseline", name, BASELINES)
    return BASELINES[name]
