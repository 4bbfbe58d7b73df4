"""Folders as diffusers keeps them: a model_index.json and one folder per part, each a config.json with its weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unveil.errors import ModelError

NAMES = ("diffusion_pytorch_model", "model")
_OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of attention's weights before diffusers 0.16, which published autoencoders still have."""


def config(folder: Path, part: str, file: str = "config.json") -> dict[str, Any]:
    """The description of a part. Raises ModelError where it is missing or no JSON."""
    path = folder / part / file
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise ModelError(
            f"{folder}: no {part}/{file} in it; a prior is a folder as diffusers' save_pretrained writes it"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path}: not valid JSON ({error})") from error


def weights(folder: Path, part: str) -> Path:
    """The safetensors of a part, or the index of its shards; the fp16 variant where there is no other, raw weights (non_ema) last of all.

    Raises ModelError naming what was looked for.
    """
    ends = (
        ".safetensors",
        ".safetensors.index.json",
        ".fp16.safetensors",
        ".safetensors.index.fp16.json",
        ".non_ema.safetensors",
    )
    tried = [f"{name}{end}" for end in ends for name in NAMES]
    for name in tried:
        if (folder / part / name).is_file():
            return folder / part / name
    found = sorted(p.name for p in (folder / part).glob("*.bin"))
    hint = (
        f"; {found[0]} may run code when it is read, save the model again with safe_serialization=True" if found else ""
    )
    raise ModelError(f"{folder / part}: none of {', '.join(tried)}{hint}")


def fill(module: nn.Module, folder: Path, part: str) -> nn.Module:
    """Weights into a network, frozen. Raises ModelError for a damaged file, or tensors that do not fit the description beside it."""
    path = weights(folder, part)
    try:
        tensors = {_current(k): v.float() for file in _files(path) for k, v in load_file(file).items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file ({error})") from error
    wanted = module.state_dict()
    try:
        module.load_state_dict(
            {
                k: v.view_as(wanted[k]) if k in wanted and v.numel() == wanted[k].numel() else v
                for k, v in tensors.items()
            }
        )
    except RuntimeError as error:
        raise ModelError(
            f"{path}: its tensors do not fit the config.json beside it ({str(error).splitlines()[-1].strip()})"
        ) from error
    return module.eval().requires_grad_(False)


def _files(path: Path) -> list[Path]:
    """The file itself, or the shards that it is the index of. Raises ModelError where it is no index, or one is missing."""
    if path.suffix != ".json":
        return [path]
    try:
        names = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: no index of shards ({error})") from error
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise ModelError(f"{path}: {missing[0]}, one of its {len(names)} shards, does not lie beside it")
    return [path.parent / name for name in names]


def _current(key: str) -> str:
    head, _, last = key.rpartition(".")
    block, _, name = head.rpartition(".")
    return f"{block}.{_OLD[name]}.{last}" if name in _OLD and "attentions" in block else key


def digest(folder: Path, parts: tuple[str, ...]) -> str:
    """SHA-256 over the names and bytes of the parts' JSON and safetensors files, in the order of their names."""
    out = hashlib.sha256()
    for path in sorted(p for part in parts for p in (folder / part).iterdir() if p.suffix in (".json", ".safetensors")):
        with path.open("rb") as file:
            out.update(
                f"{path.relative_to(folder).as_posix()} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
            )
    return out.hexdigest()


def placed(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network on a device and in a precision, in channels-last layout (faster for convolutions on CPUs)."""
    return module.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]


def images(x: Tensor) -> Tensor:
    """Images as diffusers' own modules return them, taken out of their wrapper."""
    return x if isinstance(x, Tensor) else x[0]
