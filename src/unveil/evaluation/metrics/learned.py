"""Learned metrics, loaded when first asked for: LPIPS, DISTS and FID on published weights by file (`deep`), the rest through pyiqa.

A deep metric is its weights, and only its authors' weights give its numbers: without them, by file or through pyiqa, there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import as_image, as_pair
from unveil.evaluation.metrics import weights
from unveil.evaluation.reading import find_images, read_image

if TYPE_CHECKING:
    from unveil.evaluation.metrics.deep import Features

# Our name -> pyiqa's name. LPIPS is AlexNet version 0.1, the one the papers' tables use.
WITH_TARGET = {"lpips": "lpips", "dists": "dists"}
WITHOUT_TARGET = {"niqe": "niqe", "pi": "pi", "musiq": "musiq", "arniqa": "arniqa"}
OF_SETS = {"fid": "fid"}
OWN = ("lpips", "dists", "fid")
"""Those that are evaluated here where their weights are found."""
INSTALL = "install it with: pip install 'unveil[iqa]' -c constraints.txt (it brings torchvision, which must fit the installed torch)"


def load_metric(name: str, device: str = "cpu") -> Callable[..., float]:
    """A learned metric as a function of images in [0, 1] (see `as_image`) to a number.

    lpips, dists: f(prediction, target). niqe, pi, musiq, arniqa: f(image). fid: f(prediction_folder, target_folder).
    LPIPS, DISTS and FID are evaluated here where their published weights are found (see `weights`), else by pyiqa where that is installed.
    Raises InputError for an unknown name, or if neither package nor weights are there (with what to install and what to fetch).
    """
    if name not in {**WITH_TARGET, **WITHOUT_TARGET, **OF_SETS}:
        raise InputError(
            f"unknown learned metric {name!r}; known: {', '.join([*WITH_TARGET, *WITHOUT_TARGET, *OF_SETS])}"
        )
    absent = ""
    if name in OWN:
        try:
            return _own(name, device)
        except weights.Missing as error:
            absent = f", or {error}"
    pyiqa = _import("pyiqa")
    if pyiqa is not None:
        return _from_pyiqa(pyiqa, name, device)
    raise InputError(f"the metric {name!r} needs pyiqa, which is not installed; {INSTALL}{absent}")


@cache
def features(device: str = "cpu") -> Features:
    """What FID compares, picture by picture.

    Args:
        device: Where the network is evaluated.

    Raises:
        InputError: The published weights are not there, or not what was published.

    """
    from unveil.evaluation.metrics.deep import Features

    return Features(weights.tensors("inception")[0], device)


def _own(name: str, device: str) -> Callable[..., float]:
    if name in OF_SETS:
        return _fid(features(device))
    from unveil.evaluation.metrics.deep import Dists, Lpips

    made = Lpips(*weights.tensors("alexnet", "lpips")) if name == "lpips" else Dists(*weights.tensors("vgg16", "dists"))
    return _of_pair(made.to(device), device)


def _fid(look: Features) -> Callable[..., float]:
    def of_sets(prediction: Any, target: Any) -> float:
        from unveil.evaluation.metrics.deep import frechet

        sides = ([look(as_image(read_image(p).pixels)) for p in find_images(Path(f))] for f in (prediction, target))
        return frechet(*map(np.asarray, sides))

    return of_sets


def _of_pair(metric: Callable[[Any, Any], Any], device: str) -> Callable[..., float]:
    import torch

    def of_pair(prediction: Any, target: Any) -> float:
        left, right = as_pair(prediction, target)
        with torch.inference_mode():
            return float(metric(_batch(left, device), _batch(right, device)))

    return of_pair


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

    def of_image(image: Any) -> float:
        with torch.inference_mode():
            return float(metric(_batch(as_image(image), device)))

    return of_sets if name in OF_SETS else _of_pair(metric, device) if name in WITH_TARGET else of_image


def _batch(image: np.ndarray, device: str) -> Any:
    """(H, W[, 3]) in [0, 1] as a torch batch (1, 3, H, W), float32."""
    import torch

    rgb = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1))[None]).float().to(device)
