"""Learned metrics, loaded when first asked for: LPIPS, DISTS and FID on published weights by file (`deep`), the rest through pyiqa.

A deep metric is its weights, and only its authors' weights give its numbers: without them, by file or through pyiqa, there is none.

None of the published weights is part of this package, whose licence differs. They are looked for in the folder, or the repository of the
Hugging Face hub, that the environment variable UNVEIL_METRICS names; in torch's cache of downloads, where lpips, torchmetrics and pyiqa
put the same files; in the wheels that lie in the folder, and in installed packages that ship them, which are not imported: that would
take torchvision. Each file is known by its sha256.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import as_image, as_pair
from unveil.evaluation.reading import find_images, read_image
from unveil.util.extras import installing
from unveil.util.words import first_line

if TYPE_CHECKING:
    from torch import Tensor

    from unveil.evaluation.metrics.deep import Features


VARIABLE = "UNVEIL_METRICS"


class Missing(InputError):
    """Published files are in none of the places."""


@dataclass(frozen=True)
class Published:
    """A published file: the names that it goes by, its sha256, where it is from; or the package and the path in it that ship it."""

    names: tuple[str, ...]
    sha256: str
    source: str
    package: str = ""
    member: str = ""


FILES = {
    "alexnet": Published(
        ("alexnet-owt-7be5be79.pth",),
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth (244 MB)",
    ),
    "vgg16": Published(
        ("vgg16-397923af.pth",),
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        "https://download.pytorch.org/models/vgg16-397923af.pth (553 MB)",
    ),
    "inception": Published(
        ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth (96 MB)",
    ),
    "lpips": Published(
        ("LPIPS_v0.1_alex-df73285e.pth", "alex.pth"),
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        "the package lpips (pip download --no-deps lpips; 54 kB)",
        "lpips",
        "weights/v0.1/alex.pth",
    ),
    "dists": Published(
        ("DISTS_weights-f5e65c96.pth", "weights.pt"),
        "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
        "the package DISTS_pytorch (pip download --no-deps DISTS_pytorch; 20 kB)",
        "DISTS_pytorch",
        "weights.pt",
    ),
}


def tensors(*keys: str) -> list[dict[str, Tensor]]:
    """The contents of published files, keys of `FILES`, name -> tensor for each.

    Raises Missing, saying where they come from, for files that are in none of the places, InputError for one that is not what was
    published.
    """
    found = {key: _bytes(FILES[key]) for key in keys}
    missing = [FILES[key] for key, content in found.items() if content is None]
    if missing:
        listed = "; ".join(f"{file.names[0]} from {file.source}" for file in missing)
        raise Missing(
            f"its published weights, which are not here: {listed}; put them into a folder, or a repository of the Hugging Face hub, "
            f"and name that in the environment variable {VARIABLE}"
        )
    return [_read(FILES[key], content) for key, content in found.items() if content is not None]


def _read(file: Published, content: bytes) -> dict[str, Tensor]:
    import torch

    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise InputError(
            f"{file.names[0]}: its sha256 is {digest}, not {file.sha256} as published; fetch it again from {file.source}"
        )
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(f"{file.names[0]}: cannot be read as weights ({first_line(error)})") from error


def _bytes(file: Published) -> bytes | None:
    """The file's content from the first place that has it; None where none has."""
    place = os.environ.get(VARIABLE, "")
    folders = [Path(place).expanduser()] if place else []
    if place and not folders[0].is_dir():
        content = _of_hub(place, file)
        if content is not None:
            return content
    for path in (folder / name for folder in (*folders, *_caches()) for name in file.names):
        if path.is_file():
            return path.read_bytes()
    for wheel in (wheel for folder in folders for wheel in sorted(folder.glob("*.whl")) if file.package):
        if wheel.name.lower().startswith(f"{file.package.lower()}-"):
            with zipfile.ZipFile(wheel) as archive:
                return archive.read(f"{file.package}/{file.member}")
    installed = importlib.util.find_spec(file.package) if file.package else None
    for root in (installed.submodule_search_locations or ()) if installed is not None else ():
        if (path := Path(root) / file.member).is_file():
            return path.read_bytes()
    return None


def _caches() -> list[Path]:
    """Where torch keeps downloads: TORCH_HOME, or the user's cache, as torch.hub has it."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
    return [Path(home) / "hub" / "checkpoints", Path(home) / "hub" / "pyiqa"]


def _of_hub(repository: str, file: Published) -> bytes | None:
    """The file out of a repository OWNER/NAME; None where that has it under none of its names. Raises InputError for no such repository."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    for name in file.names:
        try:
            return Path(hf_hub_download(repository, name)).read_bytes()
        except LocalEntryNotFoundError as error:
            raise InputError(f"{VARIABLE}: no folder {repository}, and the hub cannot be reached for it") from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            reason = first_line(error)
            raise InputError(
                f"{VARIABLE}: {repository} is no folder, and no repository of the hub ({reason})"
            ) from error
    return None


# Our name -> pyiqa's name. LPIPS is AlexNet version 0.1, the one the papers' tables use.
WITH_TARGET = {"lpips": "lpips", "dists": "dists"}
WITHOUT_TARGET = {"niqe": "niqe", "pi": "pi", "musiq": "musiq", "arniqa": "arniqa"}
OF_SETS = {"fid": "fid"}
OWN = ("lpips", "dists", "fid")
"""Those that are evaluated here where their weights are found."""
INSTALL = f"install it with: {installing('iqa')} (it brings torchvision, which must fit the installed torch)"


def load_metric(name: str) -> Callable[..., float]:
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
            return _own(name)
        except Missing as error:
            absent = f", or {error}"
    pyiqa = _import("pyiqa")
    if pyiqa is not None:
        return _from_pyiqa(pyiqa, name)
    raise InputError(f"the metric {name!r} needs pyiqa, which is not installed; {INSTALL}{absent}")


@cache
def features() -> Features:
    """What FID compares, picture by picture. Raises InputError where the published weights are not there, or not what was published."""
    from unveil.evaluation.metrics.deep import Features

    return Features(tensors("inception")[0])


def _own(name: str) -> Callable[..., float]:
    if name in OF_SETS:
        return _fid(features())
    from unveil.evaluation.metrics.deep import Dists, Lpips

    made = Lpips(*tensors("alexnet", "lpips")) if name == "lpips" else Dists(*tensors("vgg16", "dists"))
    return _of_pair(made)


def _fid(look: Features) -> Callable[..., float]:
    def of_sets(prediction: Any, target: Any) -> float:
        from unveil.evaluation.metrics.deep import frechet

        sides = ([look(as_image(read_image(p).pixels)) for p in find_images(Path(f))] for f in (prediction, target))
        return frechet(*map(np.asarray, sides))

    return of_sets


def _of_pair(metric: Callable[[Any, Any], Any]) -> Callable[..., float]:
    import torch

    def of_pair(prediction: Any, target: Any) -> float:
        left, right = as_pair(prediction, target)
        with torch.inference_mode():
            return float(metric(_batch(left), _batch(right)))

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


def _from_pyiqa(pyiqa: Any, name: str) -> Callable[..., float]:
    import torch

    try:
        metric = pyiqa.create_metric({**WITH_TARGET, **WITHOUT_TARGET, **OF_SETS}[name], device=torch.device("cpu"))
    except (OSError, RuntimeError) as error:
        raise InputError(f"the weights of the metric {name!r} could not be loaded: {error}") from error

    def of_sets(prediction: Any, target: Any) -> float:
        return float(metric(str(prediction), str(target)))

    def of_image(image: Any) -> float:
        with torch.inference_mode():
            return float(metric(_batch(as_image(image))))

    return of_sets if name in OF_SETS else _of_pair(metric) if name in WITH_TARGET else of_image


def _batch(image: np.ndarray) -> Any:
    """(H, W[, 3]) in [0, 1] as a torch batch (1, 3, H, W), float32."""
    from unveil.util.tensors import batch_of

    rgb = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    return batch_of(rgb).float()
