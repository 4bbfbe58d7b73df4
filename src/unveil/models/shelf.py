"""Models by name: those that ship with the package, a path to a weight file, or the folder of a training run.

Priors, small diffusion models of clean photographs, ship as folders that diffusers reads too.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from unveil.errors import ModelError, note
from unveil.models import calibration
from unveil.models.calibration import Calibration
from unveil.models.model import Model
from unveil.models.weights_file import read, sha256_of
from unveil.util.words import did_you_mean

WEIGHTS = "model.safetensors"
"""In the folder of a run, or of the hub's kind."""
DESCRIPTION = "config.json"
"""In a folder of the hub's kind, which `models.hub` writes: the sha256 of the weights, their reach and calibrations."""
CALIBRATION = "calibration.json"
"""Beside a weight file that is not on the shelf: what `benchmarks/calibration.py` says about the spread of its draws."""


def entries() -> dict[str, dict[str, Any]]:
    """name -> entry: file, sha256, licence, training data, recipe, measured numbers with their protocol, calibrations.

    task: "describe" for what names the damage in a photograph and restores none; left out for models that restore.
    """
    return json.loads((files("unveil.models") / "manifest.json").read_text())


def manifest() -> dict[str, dict[str, Any]]:
    """The entries of models that restore."""
    return {name: entry for name, entry in entries().items() if entry.get("task", "restore") == "restore"}


def names() -> list[str]:
    """The names of the models that restore."""
    return sorted(manifest())


def priors() -> dict[str, dict[str, Any]]:
    """The entries of priors. files: what lies in the folder of the prior's name, with the sha256 of each."""
    return {name: entry for name, entry in entries().items() if entry.get("task") == "prior"}


def damaged(prior: str) -> list[str]:
    """Files of a prior that are missing or not the ones in the manifest."""
    paths = {_weights(prior) / file: digest for file, digest in priors()[prior]["files"].items()}
    return [str(path) for path, digest in paths.items() if not path.is_file() or sha256_of(path) != digest]


def prior_folder(name: str) -> Path:
    """Where a prior of the shelf lies. Raises ModelError where a file is missing or altered."""
    bad = damaged(name)
    if bad:
        raise ModelError(f"the shipped prior {name} is damaged ({', '.join(bad)}); install the package again")
    return _weights(name)


def place(name: str) -> tuple[Path, str]:
    """Weight file and sha256 of an entry. Raises ModelError with the nearest names."""
    known = entries()
    if name not in known:
        _refuse(name, sorted(known))
    return _weights(known[name]["file"]), known[name]["sha256"]


def _weights(name: str) -> Path:
    return Path(str(files("unveil.models") / "weights" / name))


FORMER = {"srd": "shadow"}
"""Models that no longer ship -> which one is taken for them, with a word."""


def load(name: str | Path) -> Model:
    """A model by shelf name, weight file, or folder of a run. Raises ModelError with the nearest names, and for what is no name."""
    check_name(name)
    shelf = manifest()
    if str(name) in FORMER and not Path(name).exists():
        note(f"{name} no longer ships; {FORMER[str(name)]} is taken, which does better on what {name} never saw")
        name = FORMER[str(name)]
    if str(name) in shelf:
        entry = shelf[str(name)]
        model = read(*place(str(name)))
        spec = replace(model.spec, reach=entry.get("reach", 0))
        measured = tuple(map(Calibration.from_dict, entry.get("calibration", ())))
        return replace(model, spec=spec, calibrations=measured, specialists=entry.get("specialists", {}))
    path = Path(name)
    if path.is_dir():
        if (path / DESCRIPTION).is_file():
            return of_folder(path)
        if not (path / WEIGHTS).is_file():
            raise ModelError(f"{path}: a folder without {WEIGHTS}; is the training finished?")
        path = path / WEIGHTS
    if path.is_file():
        beside = path.with_name(CALIBRATION)
        return replace(read(path), calibrations=calibration.read(beside) if beside.is_file() else ())
    check(str(name))
    raise AssertionError("unreachable: the name is not on the shelf")


def of_folder(folder: Path) -> Model:
    """The model in a folder of the hub's kind. Raises ModelError for files that are missing, damaged, or not those that it describes."""
    path = folder / DESCRIPTION
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        digest, reach = str(config["sha256"]), int(config.get("reach", 0))
        calibrations = tuple(map(Calibration.from_dict, config.get("calibration", ())))
        named = {str(kind): str(name) for kind, name in config.get("specialists", {}).items()}
    except OSError as error:
        raise ModelError(f"{folder}: holds no {DESCRIPTION}; is it a model of Unveil?") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not the description of a model of Unveil ({error})") from error
    if not 0 <= reach <= 4096:
        raise ModelError(f"{path}: its reach is {reach}, which is no distance in pixels of a photograph")
    model = read(folder / WEIGHTS, digest)
    # By name alone: a description from elsewhere opens no file of its choice.
    specialists = {kind: name for kind, name in named.items() if name in manifest()}
    for kind, name in named.items() - specialists.items():
        note(f"{path}: {kind} was mended by {name}, which is not here; this model mends it itself")
    spec = replace(model.spec, reach=reach)
    return replace(model, spec=spec, calibrations=calibrations, specialists=specialists)


def check_name(name: Any) -> None:
    """Raise ModelError for what is neither a text nor a path."""
    if not isinstance(name, (str, os.PathLike)):
        raise ModelError(f"a model is a name on the shelf or a path, not {name!r}")


def check(name: str) -> None:
    """Raise ModelError with the nearest names unless `name` is a model on the shelf that restores."""
    known = names()
    if name not in known:
        _refuse(name, known)


def use(name: str) -> str:
    """What an entry is and how it is used, for who took it for something else."""
    task = entries()[name].get("task", "restore")
    if task == "prior":
        return (
            f"{name} is a prior, with which zero-shot methods restore; name a method, as --method diffpir --prior {name}, in Python "
            f"unveil.load('{name}', method='diffpir')"
        )
    if task == "describe":
        return f"{name} says what is wrong with a photograph and restores none; it is used by: unveil describe PHOTO"
    return f"{name} restores photographs by itself; it is used by: unveil restore PHOTO -o OUT -n {name}"


def _refuse(name: str, known: list[str]) -> NoReturn:
    if name in entries():
        raise ModelError(use(name))
    hint = did_you_mean(name, known, otherwise="on the shelf:", most=3, cutoff=0.4)
    if re.fullmatch(r"\w[\w.-]*/\w[\w-]*", name):
        hint = f"if it lies on the hub, unveil.Restorer.from_pretrained({name!r}) downloads it"
    raise ModelError(f"no model named {name!r}, and no such file or run folder; {hint}")
