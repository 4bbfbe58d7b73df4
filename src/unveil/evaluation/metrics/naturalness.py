"""A naturalness score without a reference, in the manner of NIQE, that needs no download.

The distance between the statistics of a photograph's patches and those of sharp patches of clean photographs. It follows the
published definition of NIQE (see `scene_statistics`), but its clean photographs are this project's own choice, so its values
are close to NIQE's and not the same: they may stand in a table as "naturalness", never as "NIQE".
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import lgamma, nan
from pathlib import Path
from typing import Any

import numpy as np

from unveil.errors import InputError, ModelError
from unveil.evaluation.arrays import as_image, correlate_same, gaussian_kernel, size_text, to_space
from unveil.evaluation.resize import imresize

PATCH = 96
FEATURES = 36
WINDOW = gaussian_kernel(7, 7 / 6)
# Steps (down, right) to the neighbours whose products are looked at: horizontal, vertical and both diagonals.
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def normalise(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean-subtracted, contrast-normalised luminance (eq. 1) and the local deviation (eq. 3); grey: (H, W) in 0..255."""
    mean = correlate_same(grey, WINDOW)
    deviation = np.sqrt(np.abs(correlate_same(grey**2, WINDOW) - mean**2))
    return (grey - mean) / (deviation + 1.0), deviation


@cache
def _shape_table() -> tuple[np.ndarray, np.ndarray]:
    """Shapes alpha and their moment ratio rho(alpha) = G(2/alpha)^2 / (G(1/alpha) G(3/alpha)), increasing in alpha."""
    alpha = np.arange(0.2, 10.0005, 0.001)
    rho = np.array([np.exp(2 * lgamma(2 / a) - lgamma(1 / a) - lgamma(3 / a)) for a in alpha])
    return alpha, rho


def fit_asymmetric(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape, left scale and right scale of an asymmetric generalised Gaussian by moments, per row of (N, P): three (N,).

    Lasmar, Stitou and Berthoumieu 2009; the shape is held to 0.2..10. A row without spread gives NaN.
    """

    def spread(one_side: np.ndarray) -> np.ndarray:
        count = np.maximum(one_side.sum(axis=1), 1)
        return np.sqrt((values**2 * one_side).sum(axis=1) / count)

    left, right = spread(values < 0), spread(values > 0)
    square = (values**2).mean(axis=1)
    known = (left > 0) & (right > 0)
    left, right, square = (np.where(known, x, np.nan) for x in (left, right, square))
    gamma = left / right
    ratio = np.abs(values).mean(axis=1) ** 2 / square
    ratio = ratio * (gamma**3 + 1) * (gamma + 1) / (gamma**2 + 1) ** 2
    alpha_table, rho_table = _shape_table()
    alpha = np.where(known, np.interp(ratio, rho_table, alpha_table), np.nan)
    log_gamma = np.vectorize(lgamma, otypes=[float])
    scale = np.exp((log_gamma(1 / alpha) - log_gamma(3 / alpha)) / 2)
    return alpha, left * scale, right * scale


def _patches(field: np.ndarray, size: int) -> np.ndarray:
    """(H, W) cut into (N, size, size), row by row; what does not fill a patch is left out."""
    rows, columns = field.shape[0] // size, field.shape[1] // size
    cut = field[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return cut.transpose(0, 2, 1, 3).reshape(-1, size, size)


def _describe(patches: np.ndarray) -> np.ndarray:
    """The 18 features at one scale of normalised patches (N, size, size): (N, 18)."""
    count, size, _ = patches.shape
    alpha, left, right = fit_asymmetric(patches.reshape(count, -1))
    features = [alpha, (left + right) / 2]
    log_gamma = np.vectorize(lgamma, otypes=[float])
    for down, across in NEIGHBOURS:
        here = patches[:, : size - down, max(-across, 0) : size - max(across, 0)]
        there = patches[:, down:, max(across, 0) : size + min(across, 0)]
        alpha, left, right = fit_asymmetric((here * there).reshape(count, -1))
        mean = (right - left) * np.exp(log_gamma(2 / alpha) - log_gamma(1 / alpha))  # eq. 8
        features += [alpha, mean, left, right]
    return np.stack(features, axis=1)


def patch_features(image: Any) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 36) of the N patches of an image and their mean local deviation (N,), on a 0..255 scale.

    image: (H, W) or (H, W, 3), see `as_image`; luma is used. Patches are 96x96 at full and 48x48 at half resolution (MATLAB's bicubic).
    A flat patch has NaN features. Raises InputError for an image that does not hold one patch.
    """
    grey = to_space(as_image(image), "y_bt601_full") * 255.0
    if min(grey.shape) < PATCH:
        raise InputError(f"the naturalness score needs at least {PATCH}x{PATCH} pixels; got {size_text(grey)}")
    grey = grey[: grey.shape[0] // PATCH * PATCH, : grey.shape[1] // PATCH * PATCH]
    full, deviation = normalise(grey)
    half, _ = normalise(imresize(grey, scale=0.5))
    features = np.concatenate([_describe(_patches(full, PATCH)), _describe(_patches(half, PATCH // 2))], axis=1)
    return features, _patches(deviation, PATCH).mean(axis=(1, 2))


SHIPPED = "naturalness.json"
FORMAT = "unveil-naturalness-1"


@dataclass(frozen=True)
class NaturalnessModel:
    """Mean (36,) and covariance (36, 36) of the features of sharp clean patches, and where they came from."""

    mean: np.ndarray
    covariance: np.ndarray
    source: str

    def score(self, image: Any) -> float:
        """Distance from natural, 0 upwards, lower is better; about 3 for a clean photograph. NaN where every patch is flat.

        image: (H, W) or (H, W, 3), at least 96x96, see `as_image`. Raises InputError for a smaller image.
        sqrt(d' ((S1 + S2) / 2)^-1 d) with d the difference of the means, S1 and S2 the covariances (eq. 10).
        """
        features, _ = patch_features(image)
        features = features[np.isfinite(features).all(axis=1)]
        if not len(features):
            return nan
        own = np.cov(features, rowvar=False) if len(features) > 1 else np.zeros((FEATURES, FEATURES))
        difference = features.mean(axis=0) - self.mean
        inverse = np.linalg.pinv((self.covariance + own) / 2, hermitian=True)
        return float(np.sqrt(max(difference @ inverse @ difference, 0.0)))

    def save(self, path: str | Path) -> None:
        """Write the parameters as JSON, rounded to nine digits."""
        content = {
            "format": FORMAT,
            "source": self.source,
            "mean": [float(f"{v:.9g}") for v in self.mean],
            # The lower triangle: the matrix is symmetric.
            "covariance": [[float(f"{v:.9g}") for v in row[: i + 1]] for i, row in enumerate(self.covariance)],
        }
        Path(path).write_text(json.dumps(content, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")


def fit(images: Iterable[Any], *, sharpness: float = 0.75, source: str = "") -> NaturalnessModel:
    """The model of an iterable of clean photographs, each as in `patch_features`; images are taken one at a time.

    Of every photograph only the patches count whose mean local deviation exceeds `sharpness` times the sharpest patch's.
    Raises InputError if fewer than 36 usable patches are found: their covariance would say nothing.
    """
    kept = []
    for image in images:
        features, deviation = patch_features(image)
        chosen = (deviation > sharpness * deviation.max()) & np.isfinite(features).all(axis=1)
        kept.append(features[chosen])
    patches = np.concatenate(kept) if kept else np.zeros((0, FEATURES))
    if len(patches) < FEATURES:
        raise InputError(f"only {len(patches)} sharp patches found; give more or larger clean photographs")
    return NaturalnessModel(patches.mean(axis=0), np.cov(patches, rowvar=False), source)


def load(path: str | Path) -> NaturalnessModel:
    """A model that `NaturalnessModel.save` wrote. Raises ModelError if the file is something else."""
    return _parse(Path(path).read_text(encoding="utf-8"), str(path))


@cache
def shipped() -> NaturalnessModel:
    """The model that comes with the package, fitted on clean photographs by recipes/fit_naturalness.py."""
    return _parse((files("unveil.evaluation") / SHIPPED).read_text(encoding="utf-8"), SHIPPED)


def naturalness(image: Any) -> float:
    """`NaturalnessModel.score` of the shipped model: 0 upwards, lower is more natural."""
    return shipped().score(image)


def _parse(text: str, name: str) -> NaturalnessModel:
    try:
        content = json.loads(text)
        mean = np.array(content["mean"], dtype=np.float64)
        covariance = np.zeros((FEATURES, FEATURES))
        for i, row in enumerate(content["covariance"]):
            covariance[i, : i + 1] = covariance[: i + 1, i] = row
        if content["format"] != FORMAT or mean.shape != (FEATURES,):
            raise ValueError(f"format {content['format']!r}, {mean.size} features")
        return NaturalnessModel(mean, covariance, str(content["source"]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(
            f"{name} holds no naturalness model ({error}); write one with recipes/fit_naturalness.py"
        ) from error
