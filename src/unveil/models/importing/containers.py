"""From a published file to a flat table of tensors, without ever running code that a file holds."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unveil.errors import ModelError
from unveil.util.words import first_line


class _Left(dict[Any, Any]):
    """A stand-in for an object beside the weights (a path, a number of NumPy, a configuration): takes any arguments and does nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Ignore the state of the object."""

    __hash__ = object.__hash__  # type: ignore[assignment]


_PLAIN: list[Any] = [argparse.Namespace]
"""Classes besides torch's own that training programs leave in their files and that do nothing when they are read."""

_SETTINGS = (
    "pathlib", "numpy", "omegaconf", "typing", "collections", "datetime", "easydict", "addict", "yacs", "ml_collections",
    "lightning", "lightning_fabric", "pytorch_lightning", "lightning_utilities",
)  # fmt: skip
"""Packages whose objects stand among the hyperparameters. `_Left` is put in their place, so nothing of theirs runs."""

_NAMES = (
    "state_dict", "model_state_dict", "model", "net_g", "netg", "generator", "g", "network", "net", "unet", "denoiser",
    "params", "weights", "module",
)  # fmt: skip
"""What programs call the table of weights, lower case; where several are there the first is the network that restores."""

_AVERAGED = frozenset({"ema", "averaged", "average", "swa", "polyak"})
"""Words of which one stands in the name of averaged weights: model_ema, ema_state_dict, g_ema, average_model_state."""

_OTHERS = frozenset({"optimizer", "optim", "opt", "scheduler", "discriminator", "d", "critic", "loss", "scaler"})
"""Words in the name of a table that is no network that restores."""

_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile, FSDP and checkpointing write into a key, at any depth."""

_DAMAGE = (
    RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError,
    MemoryError, AssertionError, NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What reading a damaged file raises, by where the damage lies."""

_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}\.(safetensors|bin)")
_MAGIC = (
    (b"\x89HDF", "an HDF5 file (Keras, or MATLAB)"),
    (b"GGUF", "a GGUF file of a quantised model"),
    (b"\x1f\x8b", "a gzip archive; unpack it and give the file inside"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it and give the file inside"),
    (b"Rar!", "a RAR archive; unpack it and give the file inside"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file that it stands for; fetch it with `git lfs pull`"),
)  # fmt: skip


class Flat(NamedTuple):
    """tensors by their keys; where: how they were packed, outermost first; averaged: the name under which averaged weights were taken."""

    tensors: dict[str, Tensor]
    where: tuple[str, ...]
    averaged: str | None = None


def load(path: Path) -> Flat:
    """The weights in a .ckpt, .pt, .pth, .bin or .safetensors file or an index of shards, on the CPU; the averaged where both are there.

    Formats are recognised by what is in the file, not by its name. Looks into the containers of Lightning, open_clip, RDDM, BasicSR and of
    programs like them, takes torch's AveragedModel apart, and strips what wrappers write into keys (`module.`, `_orig_mod.`).

    Raises:
        ModelError: missing, damaged, something else than weights (said what), a file that holds code, or no weights at all.

    """
    tree = _read(path)
    where: list[str] = []
    averaged: str | None = None
    nameless: tuple[str, list[Tensor]] | None = None
    while isinstance(tree, Mapping):
        nameless = nameless or _nameless(tree)
        inside = _inside(tree)
        if inside is None:
            break
        name, table = inside
        if averaged is None and _words(name) & _AVERAGED:
            averaged = name
        tree = table
        where.append(name)
    found = _tensors(tree)
    if not found:
        raise ModelError(
            f"{path}: holds no table of weights; give the file of a network, not of a dataset or a run's log"
        )
    if nameless is not None and averaged is None:
        averaged = nameless[0]
        if [v.shape for v in found.values()] != [v.shape for v in nameless[1]]:
            raise ModelError(
                f"{path}: its averaged weights ({averaged}) bear no names, and do not stand in the order of the raw ones beside them; "
                "save the network with the averaged weights copied into it"
            )
        found = dict(zip(found, nameless[1], strict=True))
        where[-1:] = [averaged]
    found = {_WRAPPERS.sub("", k): v for k, v in found.items()}
    if "n_averaged" in found:  # torch.optim.swa_utils.AveragedModel counts beside the weights
        del found["n_averaged"]
        averaged = averaged or "AveragedModel"
        where.append("AveragedModel")
    found, name = _parted(found)
    if name is not None:
        where.append(name)
        averaged = averaged or (name if _words(name) & _AVERAGED else None)
    while found and all(k.startswith("module.") for k in found):
        found = {k.removeprefix("module."): v for k, v in found.items()}
        where.append("module")
    return Flat(found, tuple(where), averaged)


def _inside(tree: Mapping[Any, Any]) -> tuple[str, Any] | None:
    """The table to go into: averaged weights before raw, known names in their order, and any other only where it is alone."""
    tables = {k: v for k, v in tree.items() if isinstance(k, str) and _holds(v) and not _words(k) & _OTHERS}
    averaged = [k for k in tables if _words(k) & _AVERAGED]
    if averaged:
        return averaged[0], tables[averaged[0]]
    for callback in _values(tree.get("callbacks")):  # Lightning's own averaging during the last epochs
        for k, v in callback.items() if isinstance(callback, Mapping) else ():
            if isinstance(k, str) and _words(k) & _AVERAGED and _holds(v):
                return k, v
    if _tensors(tree) and not any(k.lower() in _NAMES for k in tables):
        return None
    known = sorted((_NAMES.index(k.lower()), k) for k in tables if k.lower() in _NAMES)
    if known:
        return known[0][1], tables[known[0][1]]
    return next(iter(tables.items())) if len(tables) == 1 else None


def _nameless(tree: Mapping[Any, Any]) -> tuple[str, list[Tensor]] | None:
    """Averaged weights as a list in the order of the parameters (`shadow_params` of diffusers' EMAModel and of torch_ema)."""
    for k, v in tree.items():
        if isinstance(k, str) and _words(k) & _AVERAGED and isinstance(v, Mapping):
            shadow = v.get("shadow_params")
            if isinstance(shadow, list) and shadow and all(isinstance(t, Tensor) for t in shadow):
                return k, shadow
    return None


def _values(tree: Any) -> Iterator[Any]:
    return iter(tree.values()) if isinstance(tree, Mapping) else iter(())


def _holds(tree: Any, deep: int = 2) -> bool:
    """Whether a table holds weights: tensors with at least one dimension, directly or in a table within it."""
    if not isinstance(tree, Mapping):
        return False
    if any(isinstance(v, Tensor) and v.ndim > 0 for v in tree.values()):
        return True
    return deep > 1 and any(
        _holds(v, deep - 1) for k, v in tree.items() if isinstance(k, str) and not _words(k) & _OTHERS
    )


def _words(name: str) -> set[str]:
    """The words of a name, lower case: model_ema, model-ema and modelEMA have the same two."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return set(re.split(r"[^a-z0-9]+", parted.lower())) - {""}


def _parted(found: dict[str, Tensor]) -> tuple[dict[str, Tensor], str | None]:
    """Averaged and raw weights that lie in one table under two prefixes: the averaged ones, and the prefix."""
    heads = {k.partition(".")[0] for k in found}
    for head in sorted(heads, key=lambda h: (h != "ema_model", h)):
        if not _words(head) & _AVERAGED:
            continue
        inside = {k.removeprefix(f"{head}."): v for k, v in found.items() if k.startswith(f"{head}.")}
        # Latent diffusion's LitEma takes the dots out of the keys; the raw ones beside it say where they stood.
        raw = {k: k.partition(".")[2].replace(".", "") for k in found if not k.startswith(f"{head}.")}
        flat = not any("." in k for k in inside)
        squeezed = {k: inside[short] for k, short in raw.items() if flat and short in inside}
        if squeezed:
            return {k: squeezed.get(k, v) for k, v in found.items() if not k.startswith(f"{head}.")}, head
        if sum(v.ndim > 0 for v in inside.values()):
            return inside, head
    if "online_model" in heads:
        prefix = "online_model."
        return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}, "online_model"
    return found, None


def _tensors(tree: Any) -> dict[str, Tensor]:
    """The tensors directly in a table (numbers beside them, such as a count of steps, are left)."""
    if not isinstance(tree, Mapping):
        return {}
    return {k: v for k, v in tree.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _read(path: Path) -> Any:
    if path.is_dir():
        raise ModelError(f"{path}: {_folder(path)}")
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    shard = _SHARD.fullmatch(path.name)
    if shard is not None:
        index = path.with_name(f"{shard[1]}.{shard[2]}.index.json")
        if not index.is_file():
            raise ModelError(
                f"{path}: one shard of several, and {index.name}, which says where the rest is, is missing"
            )
        return _shards(index)
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    for magic, name in _MAGIC:
        if start.startswith(magic):
            raise ModelError(f"{path}: is {name}")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        raise ModelError(
            f"{path}: is a web page, not weights: the address gave a page about the file; download the file itself"
        )
    if text.startswith(b"{"):
        return _shards(path)
    if (
        not start.startswith((b"\x80", b"PK"))
        and b"ustar" not in start
        and start[8:9] != b"{"
        and path.suffix != ".safetensors"
    ):
        raise ModelError(f"{path}: damaged, or no file of weights; give a .safetensors, .pth, .pt, .ckpt or .bin")
    if start[8:9] == b"{" or (path.suffix == ".safetensors" and not start.startswith(b"PK")):
        return _safetensors(path)
    return _torch(path)


def _folder(path: Path) -> str:
    """What a folder is that was given where a file belongs."""
    if (path / "model_index.json").is_file():
        return "a folder of diffusers, which is no single network; it is used as it is: --prior FOLDER"
    if (path / ".metadata").is_file() or any(path.glob("*.distcp")):
        return (
            "a distributed checkpoint of torch; make it one file first: python -m torch.distributed.checkpoint.format_utils "
            "dcp_to_torch FOLDER FILE.pt"
        )
    ends = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".index.json")
    inside = sorted(p.name for p in path.iterdir() if p.name.endswith(ends))
    best = [n for n in inside if n.endswith(".index.json")] or inside
    return f"a folder; give one file of it: {', '.join(best[:5])}" if best else "a folder without weights in it"


def _shards(index: Path) -> dict[str, Tensor]:
    """The tensors of all shards that an index names. Every one must lie beside it and hold what the index says."""
    try:
        content = json.loads(index.read_text())
        wanted: dict[str, str] = content["weight_map"]
        names = sorted({str(name) for name in wanted.values()})
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ModelError(
            f"{index}: a JSON file that is no index of shards (it has no weight_map); give the file with the weights"
        ) from error
    found: dict[str, Tensor] = {}
    for name in names:
        shard = index.parent / Path(name).name
        if not shard.is_file():
            raise ModelError(f"{index}: {shard.name}, one of its {len(names)} shards, does not lie beside it")
        tree = _safetensors(shard) if shard.suffix == ".safetensors" else _torch(shard)
        found |= _tensors(tree)
    missing = [k for k in wanted if k not in found]
    if missing:
        raise ModelError(f"{index}: its shards lack {len(missing)} of {len(wanted)} tensors ({missing[0]}, ...)")
    return {k: found[k] for k in wanted}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file ({error})") from error


def _torch(path: Path) -> Any:
    allowed = list(_PLAIN)
    try:
        _check_archive(path)
        while True:
            try:
                # Opened here: given a path, torch would go by its suffix.
                with path.open("rb") as file, torch.serialization.safe_globals(allowed):
                    return torch.load(file, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                name = _unknown(error)
                known = {entry[1] for entry in allowed if isinstance(entry, tuple)}
                if name is None or name in known or name.split(".")[0] not in _SETTINGS:
                    raise
                allowed.append((_Left, name))
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "Unsupported global" in reason or "weights_only" in reason or "Weights only" in reason:
            name = _unknown(error) or "an object that is no weight"
            raise ModelError(
                f"{path}: refused, because reading it would run code ({name}). Ask its author for a file with weights "
                "alone, or load it where you trust it and save its state_dict"
            ) from error
        raise ModelError(f"{path}: damaged, or no file of torch ({first_line(error)}); download it again") from error
    except _DAMAGE as error:
        raise ModelError(f"{path}: damaged, or no file of torch ({first_line(error)}); download it again") from error


def _unknown(error: pickle.UnpicklingError) -> str | None:
    """The name at which torch stopped, since it is not among what it allows."""
    stopped = re.search(r"GLOBAL ([\w.]+)", str(error))
    return None if stopped is None else stopped[1]


def _check_archive(path: Path) -> None:
    """Compare every part of a zip file, torch's format since 1.6, with its checksum, which torch itself does not; name other archives."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as file:
        wrong = file.testzip()
        names = file.namelist()
    if wrong is not None:
        raise zipfile.BadZipFile(f"the checksum of {wrong} differs")
    if any(n.endswith("/constants.pkl") for n in names):
        raise ModelError(
            f"{path}: is TorchScript, a program with its weights, and is not run; give the checkpoint that it was made from"
        )
    if any(n.endswith(".npy") for n in names):
        raise ModelError(f"{path}: is an archive of NumPy arrays (.npz), not weights of torch")
    if names and not any(n.endswith("data.pkl") for n in names):
        raise ModelError(f"{path}: is a zip archive ({names[0]}, ...); unpack it and give the file inside")
