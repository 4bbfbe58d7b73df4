"""Writing networks as diffusers keeps them: a folder per part with config.json and safetensors, and a model_index.json over all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from unveil.util.atomic import aside

WEIGHTS = "diffusion_pytorch_model.safetensors"
_VERSION = {"_diffusers_version": "0.31.0"}


def write_part(
    folder: Path,
    part: str,
    config: Mapping[str, Any],
    network: nn.Module | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """One part: a network's config.json and weights, written aside and renamed, or a scheduler_config.json."""
    (folder / part).mkdir(parents=True, exist_ok=True)
    name = "scheduler_config.json" if network is None else "config.json"
    (folder / part / name).write_text(json.dumps({**_VERSION, **config}, indent=2) + "\n")
    if network is not None:
        target = folder / part / WEIGHTS
        tensors = {k: v.detach().to(dtype).contiguous() for k, v in network.state_dict().items()}
        with aside(target) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
        target.chmod(0o644)


def write_index(folder: Path, pipeline: str, parts: Mapping[str, str]) -> None:
    """The model_index.json. parts: folder -> class of diffusers."""
    index = {"_class_name": pipeline, **_VERSION, **{k: ["diffusers", v] for k, v in parts.items()}}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
