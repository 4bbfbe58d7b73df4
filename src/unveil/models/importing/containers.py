"""From a published file to a flat table of tensors, without ever running code that a file holds."""

from __future__ import annotations

import argparse
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unveil.errors import ModelError

_PLAIN: list[Any] = [argparse.Namespace]
"""Classes besides torch's own that training programs leave in their files and that do nothing when they are read."""

_INSIDE = ("state_dict", "ema", "params_ema", "model", "params")
"""Where files keep their weights, the averaged ones before the raw."""

_DAMAGE = (
    RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError,
    MemoryError, AssertionError, NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What reading a damaged file raises, by where the damage lies."""

_AVERAGED = "ema_model."
_RAW = "online_model."


class Flat(NamedTuple):
    """tensors by their keys; where: how they were packed, outermost first."""

    tensors: dict[str, Tensor]
    where: tuple[str, ...]


def load(path: Path) -> Flat:
    """The weights in a .ckpt, .pt, .pth or .safetensors file, on the CPU, with averaged weights where both are there.

    Looks into Lightning's, open_clip's, RDDM's and BasicSR's containers and strips the prefixes of wrappers (`module.`).
    Raises ModelError: missing, damaged, a file that holds code instead of plain weights, or no weights at all.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    tree: Any = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    where: list[str] = []
    while isinstance(tree, Mapping):
        inside = next((k for k in _INSIDE if isinstance(tree.get(k), Mapping) and _tensors(tree[k])), None)
        if inside is None:
            break
        tree = tree[inside]
        where.append(inside)
    found = _tensors(tree)
    if not found:
        raise ModelError(
            f"{path}: holds no table of weights; give the file of a network, not of a dataset or a run's log"
        )
    for prefix in (_AVERAGED, _RAW):
        if any(k.startswith(prefix) for k in found):
            found = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
            where.append(prefix.rstrip("."))
            break
    while all(k.startswith("module.") for k in found):
        found = {k.removeprefix("module."): v for k, v in found.items()}
        where.append("module")
    return Flat(found, tuple(where))


def _tensors(tree: Any) -> dict[str, Tensor]:
    """The tensors directly in a table (numbers beside them, such as a count of steps, are left)."""
    if not isinstance(tree, Mapping):
        return {}
    return {k: v for k, v in tree.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file ({error})") from error


def _torch(path: Path) -> Any:
    try:
        _check_sums(path)
        with torch.serialization.safe_globals(_PLAIN):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "Unsupported global" in reason or "weights_only" in reason or "Weights only" in reason:
            name = reason.split("GLOBAL ")[1].split(" ")[0] if "GLOBAL " in reason else "an object that is no weight"
            raise ModelError(
                f"{path}: refused, because reading it would run code ({name}). Ask its author for a file with weights "
                "alone, or load it where you trust it and save its state_dict"
            ) from error
        raise ModelError(f"{path}: damaged, or no file of torch ({_first_line(error)}); download it again") from error
    except _DAMAGE as error:
        raise ModelError(f"{path}: damaged, or no file of torch ({_first_line(error)}); download it again") from error


def _check_sums(path: Path) -> None:
    """Compare every part of a zip file, torch's format since 1.6, with its checksum, which torch itself does not."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            wrong = file.testzip()
        if wrong is not None:
            raise zipfile.BadZipFile(f"the checksum of {wrong} differs")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
