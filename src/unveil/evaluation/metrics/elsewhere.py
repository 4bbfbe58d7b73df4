"""The numbers that other packages print for the same two images, by the calls that papers' code makes.

Each is called with the images in [0, 1] and their range stated, and otherwise with its own defaults: what docs/metrics.md compares.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


def _tensor(image: np.ndarray) -> Any:
    from unveil.util.tensors import batch_of

    return batch_of(image).float()


def _on_tensors(call: Callable[[Any, Any], Any]) -> Measure:
    return lambda prediction, target: float(call(_tensor(prediction), _tensor(target)))


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 255).clip(0, 255).astype(np.uint8)


def _torchmetrics(name: str) -> Measure:
    def call(prediction: Any, target: Any) -> Any:
        import torchmetrics.functional.image as image

        return getattr(image, name)(prediction, target, data_range=1.0)

    return _on_tensors(call)


def _kornia_psnr(prediction: Any, target: Any) -> Any:
    import kornia  # type: ignore[import-not-found]

    return kornia.metrics.psnr(prediction, target, 1.0)


def _kornia_ssim(prediction: Any, target: Any) -> Any:
    import kornia  # type: ignore[import-not-found]

    return kornia.metrics.ssim(prediction, target, 11).mean()


def _kornia_lab(prediction: Any, target: Any) -> Any:
    import kornia  # type: ignore[import-not-found]

    return (kornia.color.rgb_to_lab(prediction) - kornia.color.rgb_to_lab(target)).abs().sum(1).mean()


def _piq(name: str) -> Measure:
    def call(prediction: Any, target: Any) -> Any:
        import piq  # type: ignore[import-not-found]

        return getattr(piq, name)(prediction, target, data_range=1.0)

    return _on_tensors(call)


def _pytorch_msssim(name: str) -> Measure:
    def call(prediction: Any, target: Any) -> Any:
        import pytorch_msssim  # type: ignore[import-not-found]

        return getattr(pytorch_msssim, name)(prediction, target, data_range=1.0)

    return _on_tensors(call)


def _deepinv(name: str) -> Measure:
    def call(prediction: Any, target: Any) -> Any:
        import deepinv  # type: ignore[import-not-found]

        return getattr(deepinv.loss.metric, name)()(prediction, target)

    return _on_tensors(call)


def _sewar_psnr(prediction: np.ndarray, target: np.ndarray) -> float:
    from sewar.full_ref import psnr  # type: ignore[import-not-found]

    return float(psnr(_bytes(target), _bytes(prediction)))


def _sewar_ssim(prediction: np.ndarray, target: np.ndarray) -> float:
    from sewar.full_ref import ssim  # type: ignore[import-not-found]

    return float(ssim(_bytes(target), _bytes(prediction))[0])


def _sewar_ms_ssim(prediction: np.ndarray, target: np.ndarray) -> float:
    from sewar.full_ref import msssim  # type: ignore[import-not-found]

    return float(np.real(msssim(_bytes(target), _bytes(prediction))))


def _skimage_psnr(prediction: np.ndarray, target: np.ndarray) -> float:
    from skimage.metrics import peak_signal_noise_ratio

    return float(np.asarray(peak_signal_noise_ratio(target, prediction, data_range=1.0)))


def _skimage_ssim(prediction: np.ndarray, target: np.ndarray) -> float:
    from skimage.metrics import structural_similarity

    made: Any = structural_similarity(target, prediction, data_range=1.0, channel_axis=2)
    return float(made)


def _skimage_mae_lab(prediction: np.ndarray, target: np.ndarray) -> float:
    from skimage.color import rgb2lab

    return float(np.abs(rgb2lab(prediction) - rgb2lab(target)).sum(2).mean())


def _skimage_ciede2000(prediction: np.ndarray, target: np.ndarray) -> float:
    from skimage.color import deltaE_ciede2000, rgb2lab

    return float(deltaE_ciede2000(rgb2lab(target), rgb2lab(prediction)).mean())


def _opencv_psnr(prediction: np.ndarray, target: np.ndarray) -> float:
    import cv2  # type: ignore[import-not-found]

    return float(cv2.PSNR(_bytes(target), _bytes(prediction)))


def _opencv_mae_lab(prediction: np.ndarray, target: np.ndarray) -> float:
    import cv2  # type: ignore[import-not-found]

    left, right = (cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2Lab) for image in (prediction, target))
    return float(np.abs(left.astype(np.float64) - right).sum(2).mean())


LIBRARIES: dict[str, Library] = {
    "scikit-image": Library("skimage", "scikit-image", {
        "psnr": _skimage_psnr, "ssim": _skimage_ssim, "mae_lab": _skimage_mae_lab, "ciede2000": _skimage_ciede2000,
    }),
    "torchmetrics": Library("torchmetrics", "torchmetrics", {
        "psnr": _torchmetrics("peak_signal_noise_ratio"), "ssim": _torchmetrics("structural_similarity_index_measure"),
        "ms_ssim": _torchmetrics("multiscale_structural_similarity_index_measure"),
    }),
    "kornia": Library("kornia", "kornia", {
        "psnr": _on_tensors(_kornia_psnr), "ssim": _on_tensors(_kornia_ssim), "mae_lab": _on_tensors(_kornia_lab),
    }),
    "piq": Library("piq", "piq", {"psnr": _piq("psnr"), "ssim": _piq("ssim"), "ms_ssim": _piq("multi_scale_ssim")}),
    "pytorch-msssim": Library("pytorch_msssim", "pytorch-msssim", {
        "ssim": _pytorch_msssim("ssim"), "ms_ssim": _pytorch_msssim("ms_ssim"),
    }),
    "sewar": Library("sewar", "sewar", {"psnr": _sewar_psnr, "ssim": _sewar_ssim, "ms_ssim": _sewar_ms_ssim}),
    "deepinv": Library("deepinv", "deepinv", {"psnr": _deepinv("PSNR"), "ssim": _deepinv("SSIM")}),
    "opencv": Library("cv2", "opencv-python-headless", {"psnr": _opencv_psnr, "mae_lab": _opencv_mae_lab}),
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
