"""Checkpoints: one safetensors file each, its checksum inside, written aside and renamed; the newest two and the best are kept."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unveil.errors import InputError
from unveil.util import atomic

KEEP = 2
_TOLD = "sha256_of_text"
CARRIED = "state.safetensors"
"""In the folder of a run that has one: the small state, from which it goes on where there is no checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: the step it was written after, named tensors, and text. damaged: newer files that were set aside."""

    path: Path
    step: int
    tensors: dict[str, Tensor]
    meta: dict[str, str]
    damaged: tuple[Path, ...] = ()


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, in the order of their names."""
    out = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        out.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        out.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return out.hexdigest()


def _digest_of_text(meta: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def name(step: int) -> str:
    """Of the file written after a step."""
    return f"step_{step:07d}.safetensors"


def save(folder: Path, step: int, tensors: dict[str, Tensor], meta: dict[str, str], best: int | None = None) -> Path:
    """Write `folder`/step_NNNNNNN.safetensors and keep the newest two. A kill at any moment leaves only whole files.

    Args:
        folder: Of the run.
        step: Steps done.
        tensors: By name.
        meta: Text by name.
        best: The step of an older checkpoint that is kept too: of a run that goes astray it is from before.

    Raises:
        InputError: It cannot be written (a full disk, say); the files before it are untouched.

    """
    target = _write(folder / name(step), step, tensors, meta)
    for left in folder.glob(f".step_*{atomic.TEMPORARY_SUFFIX}"):  # by a kill while it was written
        left.unlink(missing_ok=True)
    for old in sorted(folder.glob("step_*.safetensors"))[:-KEEP]:
        if best is None or old.name != name(best):
            old.unlink(missing_ok=True)
    return target


def carry(folder: Path, step: int, tensors: dict[str, Tensor], meta: dict[str, str]) -> Path:
    """Write `folder`/state.safetensors, aside and renamed: a state in half precision, small enough to be taken to another machine.

    Weights and averages as fp16, as models ship (fp32 where a value does not fit), "optimiser." moments as bf16, whose exponents reach
    as far down as theirs. Arguments and errors as of `save`.
    """
    return _write(folder / CARRIED, step, {k: _half(k, v) for k, v in tensors.items()}, meta)


def _half(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim == 0 or not tensor.is_floating_point():
        return tensor
    if name.startswith("optimiser."):
        return tensor.bfloat16()
    half = tensor.half()
    return half if bool(half.isfinite().all()) else tensor


def _write(target: Path, step: int, tensors: dict[str, Tensor], meta: dict[str, str]) -> Path:
    kept = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic.aside(target) as temporary:
            metadata = {**meta, "step": str(step)}
            save_file(kept, temporary, metadata={**metadata, "sha256": digest(kept), _TOLD: _digest_of_text(metadata)})
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{target}: the checkpoint could not be written ({error}); the last good one is untouched. "
            "Make room and resume the run"
        ) from error
    return target


def read(path: Path) -> Checkpoint | None:
    """The checkpoint in a file, or None where it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            meta = dict(file.metadata() or {})
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
            step = int(meta["step"])
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    if "sha256" in meta and meta["sha256"] != digest(tensors):
        return None
    metadata = {k: v for k, v in meta.items() if k not in ("sha256", _TOLD)}
    if _TOLD in meta and meta[_TOLD] != _digest_of_text(metadata):
        return None
    return Checkpoint(path, step, tensors, meta)


def latest(folder: Path) -> Checkpoint | None:
    """The newest intact checkpoint of a folder, its small state where it has no checkpoint, None where there is neither.

    A damaged newer one is renamed to NAME.damaged, so that it is never counted as the newest again, and named in the result. Raises
    InputError where all are damaged: a run never begins anew because of that without being told to.
    """
    damaged: list[Path] = []
    for path in sorted(folder.glob("step_*.safetensors"), reverse=True):
        found = read(path)
        if found is not None:
            return replace(found, damaged=tuple(damaged))
        aside = path.with_name(path.name + ".damaged")
        os.replace(path, aside)
        damaged.append(aside)
    if damaged:
        raise InputError(
            f"{folder}: no checkpoint can be read ({', '.join(p.name for p in damaged)} set aside); to begin again from step 0, "
            "start a new run in another folder"
        )
    carried = folder / CARRIED
    if not carried.exists():
        return None
    found = read(carried)
    if found is None:
        raise InputError(
            f"{carried}: damaged, and there is no checkpoint beside it; copy it again, or start a new run in another folder"
        )
    return found
