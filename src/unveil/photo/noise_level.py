"""How noisy an image is, from the image alone: also where the noise depends on brightness, or neighbouring pixels share it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Low-pass taps of Daubechies' wavelet with two vanishing moments; the high-pass is their alternating mirror image.
_ROOT = np.sqrt(3.0)
_LOW = np.array([1 + _ROOT, 3 + _ROOT, 3 - _ROOT, 1 - _ROOT]) / (4 * np.sqrt(2.0))
_HIGH = _LOW[::-1] * np.array([1, -1, 1, -1])
# Median of |x| for a standard normal x.
_NORMAL_MEDIAN = 0.6744897501960817
# Coefficients of a flat image on [0, 1] are not exactly zero; they are below this.
_ROUNDING = 1e-12

BLOCK = 12
"""Side of the blocks that are looked at whole: wide enough for noise that neighbours share, small enough to be flat somewhere."""
BINS = 6
_FLATTEST = 0.05  # share of the blocks of one brightness that are taken for flat
_FLATTEST_NORMAL = -1.6448536269514729  # that quantile of a standard normal
_MOST = 40_000  # blocks of a channel; more tell nothing new
_WHITE = 0.75  # share of the blocks' deviation that the finest scale must show to be the whole of it
_FALLING = 0.5  # noise that neighbours share has less than this share of its power left where both frequencies are high
_CLIPPED = 0.05  # share of black or white values from which a block says nothing about noise


@dataclass(frozen=True)
class NoiseLevel:
    """Noise of an image in [0, 1].

    sigma: its standard deviation, over all pixels and channels. correlated: whether neighbouring pixels share it, as after a
    demosaicking, a denoiser in the camera, JPEG, or a reduction. brightness, curve: (K,) means of the flattest places, dark to bright,
    and the standard deviation there; empty for an image without blocks (under 12 pixels).
    """

    sigma: float
    correlated: bool
    brightness: np.ndarray
    curve: np.ndarray


def noise_level(image: np.ndarray) -> NoiseLevel:
    """Estimate the noise of an image (H, W, C) in [0, 1].

    Two measurements. The finest wavelet scale (`white_noise`) is exact for white noise and blind to all other. The variance of whole
    blocks about a plane, in the flattest twentieth of the blocks of each of six brightnesses, has every frequency in it, and some of
    the picture too. The first is taken where it is at least 3/4 of the second, since then the noise is white, and where the picture is
    textured everywhere: there too the second is larger, but the spectrum of those blocks stays level towards its finest corner, while
    that of shared noise falls (to 0.4 and less for camera JPEGs, blur by 0.7 px, compression at quality 60). The second is taken
    elsewhere.
    The flattest blocks are chosen by their variance, so that it is too small by chance: corrected as for a chi-square variable with
    as many degrees of freedom as the spectrum of those blocks has.
    """
    white = white_noise(image)
    if min(image.shape[:2]) < BLOCK:
        return NoiseLevel(white, False, np.empty(0), np.empty(0))
    tables = np.array([_channel(image[..., c]) for c in range(image.shape[2])])  # (C, K, 3)
    brightness, variance = tables[..., 0].mean(0), tables[..., 1].mean(0)
    whole = float(np.sqrt(np.median(tables[..., 1], axis=1).mean()))
    correlated = white < _WHITE * whole and float(np.median(tables[..., 2])) < _FALLING
    sigma = whole if correlated else white
    curve = np.sqrt(variance) * (sigma / whole if whole > 0 else 1.0)
    return NoiseLevel(sigma, correlated, brightness, curve)


def white_noise(image: np.ndarray) -> float:
    """Standard deviation of white Gaussian noise in an image (H, W, C) in [0, 1]; the mean over channels.

    Median of the finest diagonal wavelet coefficients that are not zero, over 0.6745 (Donoho and Johnstone 1994). It reads a seventh
    of the noise of camera JPEGs, and a third of noise that was compressed at quality 60.
    """
    detail = image
    for axis in (0, 1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (3, 3)
        padded = np.moveaxis(np.pad(detail, pad, mode="symmetric"), axis, 0)
        length = (image.shape[axis] + 3) // 2
        taps = np.stack([_HIGH[k] * padded[1 + k : 1 + k + 2 * length : 2][:length] for k in range(4)])
        detail = np.moveaxis(taps.sum(axis=0), 0, axis)
    found = []
    for channel in range(detail.shape[-1]):
        size = np.abs(detail[..., channel])
        size = size[size > _ROUNDING]
        found.append(np.median(size) / _NORMAL_MEDIAN if size.size else 0.0)
    return float(np.mean(found))


def _channel(plane: np.ndarray) -> np.ndarray:
    """(BINS, 3): what `_bin` says of the flattest blocks of a plane (H, W), bins of equally many blocks, dark to bright."""
    stride = max(BLOCK // 2, int(np.ceil(np.sqrt(plane.size / _MOST))))
    blocks = np.lib.stride_tricks.sliding_window_view(plane, (BLOCK, BLOCK))[::stride, ::stride]
    blocks = blocks.reshape(-1, BLOCK * BLOCK)
    inside = ((blocks <= 0) | (blocks >= 1)).mean(axis=1) < _CLIPPED
    if inside.sum() >= 4 * BINS:
        blocks = blocks[inside]
    mean = blocks.mean(axis=1)
    rest = blocks - (blocks @ _PLANE) @ _PLANE.T
    variance = (rest**2).sum(axis=1) / (BLOCK**2 - 3)
    order = np.argsort(mean, kind="stable")
    table = [_bin(mean[part], variance[part], rest[part]) for part in np.array_split(order, BINS) if len(part)]
    return np.array(table + table[-1:] * (BINS - len(table)))


def _bin(mean: np.ndarray, variance: np.ndarray, rest: np.ndarray) -> tuple[float, float, float]:
    """Brightness and noise variance of the flattest of some blocks, and the power of their finest corner over that of its neighbours.

    rest: (N, BLOCK^2), what a plane leaves of the blocks. The corner: both frequencies in the upper third; its neighbours: one of them.
    """
    least = float(np.quantile(variance, _FLATTEST))
    flat = variance <= least
    power = (np.abs(np.fft.fft2(rest[flat].reshape(-1, BLOCK, BLOCK))) ** 2).mean(axis=0)
    if not least > _ROUNDING**2:
        return float(mean[flat].mean()), 0.0, 1.0
    freedom = max(float(power.sum() ** 2 / (power**2).sum()) - 3, 1.0)
    # The quantile of a chi-square variable over its mean (Wilson and Hilferty 1931).
    share = (1 - 2 / (9 * freedom) + _FLATTEST_NORMAL * np.sqrt(2 / (9 * freedom))) ** 3
    falling = float(power[_CORNER].mean() / power[_BESIDE].mean())
    return float(mean[flat].mean()), least / max(float(share), 0.05), falling


def _plane() -> np.ndarray:
    """(BLOCK^2, 3), orthonormal: constants and both slopes."""
    rows, columns = np.mgrid[:BLOCK, :BLOCK]
    return np.linalg.qr(np.stack([np.ones(BLOCK**2), rows.ravel(), columns.ravel()], axis=1))[0]


_PLANE = _plane()
_FREQUENCY = np.minimum(np.arange(BLOCK), BLOCK - np.arange(BLOCK))
_LOWER, _HIGHER = np.minimum.outer(_FREQUENCY, _FREQUENCY), np.maximum.outer(_FREQUENCY, _FREQUENCY)
_CORNER = _LOWER >= BLOCK // 3
_BESIDE = (_HIGHER >= BLOCK // 3) & (_LOWER <= BLOCK // 6)
