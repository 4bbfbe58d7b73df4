"""The priors on the shelf: small diffusion models of clean photographs that ship, as folders that diffusers reads too."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from unveil.errors import ModelError
from unveil.models import shelf
from unveil.models.weights_file import sha256_of


def manifest() -> dict[str, dict[str, Any]]:
    """The shelf's entries of priors. files: what lies in the folder of the prior's name, with the sha256 of each."""
    return {name: entry for name, entry in shelf.entries().items() if entry.get("task") == "prior"}


def damaged(name: str) -> list[str]:
    """Files of a prior that are missing or not the ones in the manifest."""
    paths = {_place(name) / file: digest for file, digest in manifest()[name]["files"].items()}
    return [str(path) for path, digest in paths.items() if not path.is_file() or sha256_of(path) != digest]


def folder(name: str) -> Path:
    """Where a prior of the shelf lies. Raises ModelError where a file is missing or altered."""
    bad = damaged(name)
    if bad:
        raise ModelError(f"the shipped prior {name} is damaged ({', '.join(bad)}); install the package again")
    return _place(name)


def _place(name: str) -> Path:
    return Path(str(files("unveil.models") / "weights" / name))
