"""Weight files: safetensors with the specification in the header, in half precision by default. No pickle anywhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from unveil.errors import ModelError
from unveil.models.model import Model
from unveil.models.network_registry import Weightless, parts
from unveil.models.spec import Spec
from unveil.util.atomic import aside

if TYPE_CHECKING:
    from unveil.networks.daclip import DACLIP
    from unveil.networks.doubt import DoubtNetwork


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(
    path: Path,
    spec: Spec,
    predictor: nn.Module,
    head: nn.Module | None,
    dtype: torch.dtype = torch.float16,
    doubt: DoubtNetwork | None = None,
) -> str:
    """Write the model in fp16, or another floating type, aside and renamed; returns its sha256."""
    tensors = {f"predictor.{k}": v for k, v in predictor.state_dict().items()}
    for name, part in (("head", head), ("doubt", doubt)):
        if part is not None:
            tensors |= {f"{name}.{k}": v for k, v in part.state_dict().items()}
    kept = {k: v.detach().to(dtype).contiguous() for k, v in tensors.items()}
    with aside(path) as temporary:
        save_file(kept, temporary, metadata={"unveil": spec.to_json()})
    return sha256_of(path)


def read(path: Path, expected_sha256: str | None = None) -> Model:
    """The model in a file, in fp32 on the CPU. Raises ModelError: missing, damaged, altered, or not one of ours."""
    spec, empty, tensors, digest = _opened(path, expected_sha256)
    if spec.network.get("kind") == "daclip":
        raise ModelError(f"{path}: DA-CLIP describes photographs and restores none; give it as the guide of a network")
    if spec.sampler == "guide":
        raise ModelError(f"{path}: describes photographs and restores none; see `unveil describe`")
    filled = {name: _filled(path, spec, name, module, tensors) for name, module in empty.items()}
    doubt: Any = filled.get("doubt")
    return Model(spec, filled["predictor"], filled.get("head"), digest, _guide(path, spec), doubt=doubt)


def read_guide(path: Path, expected_sha256: str | None = None) -> tuple[nn.Module, Spec, str]:
    """(network, description, sha256) of a file whose network describes photographs, in fp32 on the CPU.

    Raises ModelError: missing, damaged, altered, not one of ours, or one that restores.
    """
    spec, empty, tensors, digest = _opened(path, expected_sha256)
    if spec.sampler != "guide":
        raise ModelError(
            f"{path}: restores photographs and describes none; import a DA-CLIP with `unveil models import`"
        )
    return _filled(path, spec, "predictor", empty["predictor"], tensors), spec, digest


def _filled(path: Path, spec: Spec, name: str, empty: nn.Module, tensors: dict[str, torch.Tensor]) -> nn.Module:
    """The module with its tensors, frozen and ready to be evaluated.

    empty: the module without memory, which takes the tensors as they are, so that no weights are initialised in vain. Its other buffers (a
    table that is not stored) are made as usual.
    """
    own = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
    light = all(not b.is_meta for buffer, b in empty.named_buffers() if buffer not in own)
    module = empty if light else parts(spec.network)[name]
    kinds = {k: tensor.dtype for k, tensor in module.state_dict().items()}
    try:
        module.load_state_dict({k: v.to(kinds[k]) for k, v in own.items()}, assign=light)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: its tensors do not fit its own description ({str(error).splitlines()[-1].strip()})"
        ) from error
    return module.eval().requires_grad_(False)


def _guide(path: Path, spec: Spec) -> DACLIP | None:
    """The DA-CLIP that a network needs, from the file beside it that its description names. None where it needs none."""
    named = spec.network.get("guide")
    if named is None:
        if spec.network.get("context_dim"):
            raise ModelError(
                f"{path}: this network is told by DA-CLIP what a photograph shows, and no DA-CLIP was given when it was "
                "imported; import both: unveil models import DACLIP.pt -o daclip.safetensors, then this one with --guide"
            )
        return None
    beside = path.parent / Path(str(named["file"])).name
    from unveil.networks.daclip import DACLIP

    guide, _, _ = read_guide(beside, named["sha256"])
    if not isinstance(guide, DACLIP):
        raise ModelError(f"{beside}: not a DA-CLIP, which {path.name} needs beside it")
    return guide


def _opened(path: Path, expected_sha256: str | None) -> tuple[Spec, dict[str, nn.Module], dict[str, torch.Tensor], str]:
    """Description, the modules without memory, tensors in fp32 and sha256 of a file."""
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    digest = sha256_of(path)
    if expected_sha256 is not None and digest != expected_sha256:
        raise ModelError(
            f"{path}: the file is not the one it claims to be (sha256 {digest[:12]}..., "
            f"expected {expected_sha256[:12]}...); install it again"
        )
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            if "unveil" not in meta:
                raise ModelError(f"{path}: safetensors without a description by unveil; see `unveil models import`")
            try:
                spec = Spec.from_json(meta["unveil"])
                with Weightless():
                    empty = parts(spec.network)
            except ModelError as error:
                raise ModelError(f"{path}: {error}") from error
            wanted = {
                f"{part}.{name}": tuple(tensor.shape)
                for part, module in empty.items()
                for name, tensor in module.state_dict().items()
            }
            names = set(file.keys())
            found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            wrong = next((n for n in sorted(wanted.keys() | names) if wanted.get(n) != found.get(n)), None)
            if wrong is not None:
                raise ModelError(
                    f"{path}: its tensors do not fit its own description ({wrong} is {found.get(wrong, 'missing')}, "
                    f"should be {wanted.get(wrong, 'absent')})"
                )
            # Copies: otherwise the position in the file decides the alignment, and with it the last digit.
            copies = {name: file.get_tensor(name).to(torch.float32, copy=True) for name in wanted}
            return spec, empty, copies, digest
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: {_what_it_is(path) or f'damaged or not a safetensors file ({error})'}") from error


def _what_it_is(path: Path) -> str:
    """What a file is, of the kinds that are often given in place of a safetensors file; "" for others."""
    with path.open("rb") as file:
        head = file.read(1024)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page (HTML), not a model: what was downloaded is the page about it; download the file itself"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the model itself; fetch it with `git lfs pull`"
    if head.startswith((b"PK\x03\x04", b"\x80\x02")):
        return "a checkpoint in PyTorch's own format or an archive; see `unveil models import`"
    if head and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        return "a text, not a model"
    return ""
