"""The frozen DA-CLIP whose embeddings condition a network while it is trained (Luo et al., ICLR 2024)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unveil.errors import InputError
from unveil.models.weights_file import read_guide
from unveil.networks.daclip import DACLIP
from unveil.training.settings import Config
from unveil.util import atomic

FILE = "daclip.safetensors"
"""Name of its file in the folder of a run, beside the trained model."""


@dataclass
class Guide:
    """A DA-CLIP on its device, its file and that file's sha256, and whether the network is conditioned on the degradation embedding too."""

    network: DACLIP
    source: Path
    sha256: str
    degradation: bool = True

    @torch.no_grad()
    def contexts(self, y: Tensor, value_range: tuple[float, float] = (-1.0, 1.0)) -> tuple[Tensor, ...]:
        """Of damaged crops (B, 3, H, W) in `value_range`, as `models.model.Model.contexts` of photographs."""
        return self.network.contexts(y, value_range, self.degradation)

    def entry(self) -> dict[str, Any]:
        """The guide's entry in the description of the trained model."""
        return {"file": FILE, "sha256": self.sha256}

    def put_into(self, folder: Path) -> None:
        """Copy its file into the folder of a run, byte for byte, unless it lies there. Raises InputError where that cannot be written."""
        place = folder / FILE
        if place.is_file() and place.samefile(self.source):
            return
        folder.mkdir(parents=True, exist_ok=True)
        atomic.replace(place, self.source.read_bytes())


def opened(config: Config, device: torch.device) -> Guide | None:
    """The guide that a configuration names, frozen, on a device; None where it names none.

    Raises ModelError for a file that cannot be read, or restores and describes nothing, InputError for a describer that is no DA-CLIP.
    """
    if not config.network.guide:
        return None
    source = Path(config.network.guide)
    network, _, digest = read_guide(source)
    if not isinstance(network, DACLIP):
        raise InputError(
            f"{source} is no DA-CLIP; `unveil train daclip` makes one, and `unveil models import` published ones"
        )
    return Guide(network.to(device), source, digest, config.network.degradation)


def with_context_length(config: Config) -> Config:
    """The configuration with the length of its guide's embeddings filled in. Raises what `opened` raises, and where another is named."""
    guide = opened(config, torch.device("cpu"))
    if guide is None:
        return config
    length = int(guide.network.clip.visual.proj.shape[1])
    if config.network.context not in (0, length):
        raise InputError(
            f"network.context is {config.network.context}, and the embeddings of {guide.source} have {length} numbers; leave it out"
        )
    return dataclasses.replace(config, network=dataclasses.replace(config.network, context=length))
