"""Every metric by name: which way is better, what it needs, and how a protocol's settings reach it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import round_to
from unveil.evaluation.metrics import classical, elsewhere, learned, naturalness
from unveil.evaluation.protocols import Protocol

# (prediction, target, mask or None, protocol) -> value; images float64 in [0, 1], already resized, rounded and cropped.
Compute = Callable[[np.ndarray, np.ndarray, np.ndarray | None, Protocol], float]


@dataclass(frozen=True)
class Metric:
    """A number for an image, or for an image and its target. `regions`: whether it can be taken inside a mask."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    unit: str
    compute: Compute
    regions: bool = False
    decimals: int = 3


def _lab(metric: Callable[..., float]) -> Compute:
    """A metric in Lab, after the protocol's own rounding."""

    def compute(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray | None, protocol: Protocol) -> float:
        left, right = (round_to(image, protocol.lab_rounding) for image in (prediction, target))
        return metric(left, right, white=protocol.lab_white, mask=mask)

    return compute


@cache
def _loaded(name: str) -> Callable[..., float]:
    return learned.load_metric(name)


def _learned(name: str) -> Compute:
    def compute(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray | None, protocol: Protocol) -> float:
        return _loaded(name)(prediction, target) if name in learned.WITH_TARGET else _loaded(name)(prediction)

    return compute


def _psnr(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray | None, rules: Protocol) -> float:
    return classical.psnr(prediction, target, space=rules.space, mask=mask, region=rules.region_rule)


def _ssim(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray | None, rules: Protocol) -> float:
    return classical.ssim(prediction, target, space=rules.ssim_space, window=rules.ssim_window, mask=mask)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("psnr", "PSNR", "higher", "dB", _psnr, regions=True, decimals=2),
        Metric(
            "psnr_mean_matched", "PSNR, mean matched", "higher", "dB",
            lambda x, y, _, rules: classical.psnr_mean_matched(x, y, space=rules.space), decimals=2,
        ),
        Metric("ssim", "SSIM", "higher", "", _ssim, regions=True),
        Metric("ms_ssim", "MS-SSIM", "higher", "", lambda x, y, _, rules: classical.ms_ssim(x, y, space=rules.ssim_space)),
        Metric("mae_lab", "MAE in Lab", "lower", "", _lab(classical.mae_lab), regions=True, decimals=2),
        Metric("ciede2000", "CIEDE2000", "lower", "", _lab(classical.ciede2000), regions=True, decimals=2),
        Metric("naturalness", "naturalness", "lower", "", lambda x, *_: naturalness.naturalness(x), decimals=2),
        Metric("lpips", "LPIPS (AlexNet 0.1)", "lower", "", _learned("lpips")),
        Metric("dists", "DISTS", "lower", "", _learned("dists")),
        Metric("niqe", "NIQE", "lower", "", _learned("niqe"), decimals=2),
        Metric("pi", "PI", "lower", "", _learned("pi"), decimals=2),
        Metric("musiq", "MUSIQ", "higher", "", _learned("musiq"), decimals=2),
        Metric("arniqa", "ARNIQA", "higher", "", _learned("arniqa")),
    )
}  # fmt: skip


# What other packages print for the same images: psnr@torchmetrics, ...
METRICS |= {
    f"{metric}@{name}": Metric(
        f"{metric}@{name}",
        f"{METRICS[metric].title} by {name}",
        METRICS[metric].better,
        METRICS[metric].unit,
        lambda x, y, *_, measure=measure: measure(x, y),
        decimals=4 if "ssim" in metric else 3,
    )
    for name, library in elsewhere.LIBRARIES.items()
    for metric, measure in library.measures.items()
}


def get_metric(name: str) -> Metric:
    """The metric of that name. Raises InputError, naming those there are, for another name."""
    if name not in METRICS:
        raise InputError(
            f"unknown metric {name!r}; known: {', '.join(m for m in METRICS if '@' not in m)} (and fid, for whole folders)"
        )
    return METRICS[name]


def check_available(name: str) -> None:
    """Raise InputError, with what to install, if a metric is unknown or its package or weights are not here."""
    get_metric(name)
    if "@" in name:
        elsewhere.LIBRARIES[name.partition("@")[2]].version()
    if name in {**learned.WITH_TARGET, **learned.WITHOUT_TARGET}:
        _loaded(name)
