"""Models by name: those that ship with the package, a path to a weight file, or the folder of a training run."""

from __future__ import annotations

import difflib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from unveil.errors import ModelError
from unveil.models.model import Model
from unveil.models.weights_file import read


def manifest() -> dict[str, dict[str, Any]]:
    """name -> entry: file, sha256, licence, training data, recipe and measured numbers with their protocol."""
    return json.loads((files("unveil.models") / "manifest.json").read_text())


def names() -> list[str]:
    """The names on the shelf."""
    return sorted(manifest())


def load(name: str | Path) -> Model:
    """A model by shelf name, weight file, or folder of a run. Raises ModelError with the nearest names."""
    shelf = manifest()
    if str(name) in shelf:
        entry = shelf[str(name)]
        return read(Path(str(files("unveil.models") / "weights" / entry["file"])), entry["sha256"])
    path = Path(name)
    if path.is_dir():
        if not (path / "model.safetensors").is_file():
            raise ModelError(f"{path}: a folder without model.safetensors; is the training finished?")
        return read(path / "model.safetensors")
    if path.is_file():
        return read(path)
    check(str(name))
    raise AssertionError("unreachable: the name is not on the shelf")


def check(name: str) -> None:
    """Raise ModelError with the nearest names unless `name` is on the shelf."""
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"on the shelf: {', '.join(known)}."
        raise ModelError(f"no model named {name!r}, and no such file or run folder; {hint}")
