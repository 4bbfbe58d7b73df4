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
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from unveil.errors import InputError, ModelError
from unveil.evaluation.metrics.scene_statistics import FEATURES, patch_features

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
    """The model that comes with the package, fitted on clean photographs by benchmarks/fit_naturalness.py."""
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
            f"{name} holds no naturalness model ({error}); write one with benchmarks/fit_naturalness.py"
        ) from error
