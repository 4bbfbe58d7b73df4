"""Learned metrics through pyiqa (or lpips), loaded when first asked for; the package works without either.

They are never rewritten here: a deep metric is its weights, and only its authors' weights give its numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import as_image, as_pair

# Our name -> pyiqa's name. LPIPS is AlexNet version 0.1, the one the papers' tables use.
WITH_TARGET = {"lpips": "lpips", "dists": "dists"}
WITHOUT_TARGET = {"niqe": "niqe", "pi": "pi", "musiq": "musiq", "arniqa": "arniqa"}
OF_SETS = {"fid": "fid"}
INSTALL = "install it with: pip install 'unveil[iqa]' -c constraints.txt (it brings torchvision, which must fit the installed torch)"


def load_metric(name: str, device: str = "cpu") -> Callable[..., float]:
    """A learned metric as a function of images in [0, 1] (see `as_image`) to a number.

    lpips, dists: f(prediction, target). niqe, pi, musiq, arniqa: f(image). fid: f(prediction_folder, target_folder).
    Raises InputError for an unknown name, or if the packages or their weights are not there (with what to install).
    """
    if name not in {**WITH_TARGET, **WITHOUT_TARGET, **OF_SETS}:
        raise InputError(
            f"unknown learned metric {name!r}; known: {', '.join([*WITH_TARGET, *WITHOUT_TARGET, *OF_SETS])}"
        )
    pyiqa = _import("pyiqa")
    if pyiqa is not None:
        return _from_pyiqa(pyiqa, name, device)
    lpips = _import("lpips") if name == "lpips" else None
    if lpips is not None:
        return _from_lpips(lpips, device)
    package = "pyiqa or lpips" if name == "lpips" else "pyiqa"
    raise InputError(f"the metric {name!r} needs {package}, which is not installed; {INSTALL}")


def _import(package: str) -> Any:
    """The package, or None if it is not installed. Raises InputError if it is there and broken, as beside a wrong torchvision."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package:
            return None
        raise InputError(f"{package} is installed but {error.name} is missing; {INSTALL}") from error
    except (ImportError, RuntimeError, OSError) as error:
        raise InputError(f"{package} is installed but does not load ({error}); {INSTALL}") from error


def _from_pyiqa(pyiqa: Any, name: str, device: str) -> Callable[..., float]:
    import torch

    try:
        metric = pyiqa.create_metric({**WITH_TARGET, **WITHOUT_TARGET, **OF_SETS}[name], device=torch.device(device))
    except (OSError, RuntimeError) as error:
        raise InputError(f"the weights of the metric {name!r} could not be loaded: {error}") from error

    def of_sets(prediction: Any, target: Any) -> float:
        return float(metric(str(prediction), str(target)))

    def of_pair(prediction: Any, target: Any) -> float:
        left, right = as_pair(prediction, target)
        with torch.inference_mode():
            return float(metric(_batch(left, device), _batch(right, device)))

    def of_image(image: Any) -> float:
        with torch.inference_mode():
            return float(metric(_batch(as_image(image), device)))

    return of_sets if name in OF_SETS else of_pair if name in WITH_TARGET else of_image


def _from_lpips(lpips: Any, device: str) -> Callable[..., float]:
    import torch

    metric = lpips.LPIPS(net="alex", verbose=False).eval().to(device)

    def of_pair(prediction: Any, target: Any) -> float:
        left, right = as_pair(prediction, target)
        with torch.inference_mode():
            return float(metric(_batch(left, device), _batch(right, device), normalize=True))

    return of_pair


def _batch(image: np.ndarray, device: str) -> Any:
    """(H, W[, 3]) in [0, 1] as a torch batch (1, 3, H, W), float32."""
    import torch

    rgb = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1))[None]).float().to(device)
