"""The numbers that other packages print for the same two images, by the calls that papers' code makes.

Each is called with the images in [0, 1] and their range stated, and otherwise with its own defaults: what docs/metrics.md compares.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.util.words import check_known

Measure = Callable[[np.ndarray, np.ndarray], float]
"""(prediction, target), both (H, W, 3) float64 in [0, 1] -> value."""


@dataclass(frozen=True)
class Library:
    """module: what is imported. package: what is installed. measures: our names of metrics -> its call."""

    module: str
    package: str
    measures: Mapping[str, Measure]

    def version(self) -> str:
        """The installed version. Raises InputError, saying what to install, where it is missing."""
        if importlib.util.find_spec(self.module) is None:
            raise InputError(
                f"{self.package} is not installed: pip install {self.package}, in an environment of your own"
            )
        return importlib.metadata.version(self.package)


def _on_arrays(module: str, call: Callable[[Any, Any, Any], Any]) -> Measure:
    """call(module, prediction, target), with the module imported where it is wanted."""
    return lambda prediction, target: float(call(import_module(module), prediction, target))


def _on_bytes(module: str, call: Callable[[Any, Any, Any], Any]) -> Measure:
    return _on_arrays(
        module, lambda lib, p, t: call(lib, *(np.rint(image * 255).clip(0, 255).astype(np.uint8) for image in (p, t)))
    )


def _on_tensors(module: str, call: Callable[[Any, Any, Any], Any]) -> Measure:
    def called(lib: Any, prediction: np.ndarray, target: np.ndarray) -> Any:
        from unveil.util.tensors import batch_of

        return call(lib, batch_of(prediction).float(), batch_of(target).float())

    return _on_arrays(module, called)


def _in_range(module: str, name: str) -> Measure:
    return _on_tensors(module, lambda lib, p, t: getattr(lib, name)(p, t, data_range=1.0))


def _opencv_lab(cv2: Any, prediction: np.ndarray, target: np.ndarray) -> float:
    left, right = (cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2Lab) for image in (prediction, target))
    return np.abs(left.astype(np.float64) - right).sum(2).mean()


_TORCHMETRICS = "torchmetrics.functional.image"
LIBRARIES: dict[str, Library] = {
    "scikit-image": Library("skimage", "scikit-image", {
        "psnr": _on_arrays("skimage.metrics", lambda lib, p, t: lib.peak_signal_noise_ratio(t, p, data_range=1.0)),
        "ssim": _on_arrays("skimage.metrics", lambda lib, p, t: lib.structural_similarity(t, p, data_range=1.0, channel_axis=2)),
        "mae_lab": _on_arrays("skimage.color", lambda lib, p, t: np.abs(lib.rgb2lab(p) - lib.rgb2lab(t)).sum(2).mean()),
        "ciede2000": _on_arrays("skimage.color", lambda lib, p, t: lib.deltaE_ciede2000(lib.rgb2lab(t), lib.rgb2lab(p)).mean()),
    }),
    "torchmetrics": Library("torchmetrics", "torchmetrics", {
        "psnr": _in_range(_TORCHMETRICS, "peak_signal_noise_ratio"),
        "ssim": _in_range(_TORCHMETRICS, "structural_similarity_index_measure"),
        "ms_ssim": _in_range(_TORCHMETRICS, "multiscale_structural_similarity_index_measure"),
    }),
    "kornia": Library("kornia", "kornia", {
        "psnr": _on_tensors("kornia", lambda lib, p, t: lib.metrics.psnr(p, t, 1.0)),
        "ssim": _on_tensors("kornia", lambda lib, p, t: lib.metrics.ssim(p, t, 11).mean()),
        "mae_lab": _on_tensors("kornia", lambda lib, p, t: (lib.color.rgb_to_lab(p) - lib.color.rgb_to_lab(t)).abs().sum(1).mean()),
    }),
    "piq": Library("piq", "piq", {
        "psnr": _in_range("piq", "psnr"), "ssim": _in_range("piq", "ssim"), "ms_ssim": _in_range("piq", "multi_scale_ssim"),
    }),
    "pytorch-msssim": Library("pytorch_msssim", "pytorch-msssim", {
        "ssim": _in_range("pytorch_msssim", "ssim"), "ms_ssim": _in_range("pytorch_msssim", "ms_ssim"),
    }),
    "sewar": Library("sewar", "sewar", {
        "psnr": _on_bytes("sewar.full_ref", lambda lib, p, t: lib.psnr(t, p)),
        "ssim": _on_bytes("sewar.full_ref", lambda lib, p, t: lib.ssim(t, p)[0]),
        "ms_ssim": _on_bytes("sewar.full_ref", lambda lib, p, t: np.real(lib.msssim(t, p))),
    }),
    "deepinv": Library("deepinv", "deepinv", {
        "psnr": _on_tensors("deepinv", lambda lib, p, t: lib.loss.metric.PSNR()(p, t)),
        "ssim": _on_tensors("deepinv", lambda lib, p, t: lib.loss.metric.SSIM()(p, t)),
    }),
    "opencv": Library("cv2", "opencv-python-headless", {
        "psnr": _on_bytes("cv2", lambda lib, p, t: lib.PSNR(t, p)), "mae_lab": _on_arrays("cv2", _opencv_lab),
    }),
}  # fmt: skip


def beside(metrics: list[str], libraries: list[str]) -> list[str]:
    """The metrics, each followed by what these libraries print for it: psnr, psnr@torchmetrics, ...

    Raises InputError for an unknown or missing library, or one that has none of the metrics.
    """
    for name in libraries:
        check_known("library", name, LIBRARIES)
        if not set(LIBRARIES[name].measures) & set(metrics):
            raise InputError(f"{name} has none of {', '.join(metrics)}; it has {', '.join(LIBRARIES[name].measures)}")
        LIBRARIES[name].version()
    made = []
    for metric in metrics:
        made += [metric, *(f"{metric}@{name}" for name in libraries if metric in LIBRARIES[name].measures)]
    return made
