"""Weight files: safetensors in half precision with the specification in the header. No pickle anywhere."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from unveil.errors import ModelError
from unveil.models.model import Model
from unveil.models.spec import Spec
from unveil.networks.compact import CompactUNet, CorrectionHead


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, spec: Spec, predictor: CompactUNet, head: CorrectionHead | None) -> str:
    """Write the model in fp16, aside and renamed; returns its sha256."""
    tensors = {f"predictor.{k}": v for k, v in predictor.state_dict().items()}
    if head is not None:
        tensors |= {f"head.{k}": v for k, v in head.state_dict().items()}
    temporary = path.with_name(path.name + ".tmp")
    save_file(
        {k: v.detach().to(torch.float16).contiguous() for k, v in tensors.items()},
        temporary,
        metadata={"unveil": spec.to_json()},
    )
    os.replace(temporary, path)
    return sha256_of(path)


def read(path: Path, expected_sha256: str | None = None) -> Model:
    """The model in a file, in fp32 on the CPU. Raises ModelError: missing, damaged, altered, or not one of ours."""
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
            spec = Spec.from_json(meta["unveil"])
            tensors = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file ({error})") from error
    net = spec.network
    predictor = CompactUNet(net["base"], tuple(net["mults"]), net["blocks"])
    head = CorrectionHead(predictor.widths, net["head"]) if net.get("head") else None
    try:
        predictor.load_state_dict({k[10:]: v for k, v in tensors.items() if k.startswith("predictor.")})
        if head is not None:
            head.load_state_dict({k[5:]: v for k, v in tensors.items() if k.startswith("head.")})
    except RuntimeError as error:
        raise ModelError(
            f"{path}: its tensors do not fit its own description ({str(error).splitlines()[-1].strip()})"
        ) from error
    for module in (predictor, head):
        if module is not None:
            module.eval().requires_grad_(False)
    return Model(spec, predictor, head, digest)
