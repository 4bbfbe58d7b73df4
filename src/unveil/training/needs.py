"""What one training step needs in memory, counted on networks without weights: nothing of that size is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from unveil.models import network_registry
from unveil.networks.predictor import Answer
from unveil.training.learner import described, described_head, recomputed
from unveil.training.settings import Config, Stage

_BYTES = {"weights": 4, "gradients": 4, "moments": 8, "average": 4}
"""Bytes per parameter in fp32: AdamW keeps two moments, the loop the average that is exported."""


@dataclass(frozen=True)
class Needs:
    """Bytes of one step: what all parameters take, what the backward pass keeps of the activations of one part of the batch, and both.

    The largest single block that is computed again comes on top where activations are recomputed, and what the libraries take for
    themselves (scratch space of convolutions) cannot be counted.
    """

    parameters: int
    activations: int
    part: int
    crop: int

    @property
    def total(self) -> int:
        """Bytes of both."""
        return self.parameters + self.activations

    def line(self) -> str:
        """For a reader."""
        gib = 2**30
        return (
            f"{self.total / gib:.1f} GiB: {self.parameters / gib:.1f} for weights, gradients, moments and average, "
            f"{self.activations / gib:.1f} for the activations of {self.part} crop{'s' * (self.part > 1)} of {self.crop} px"
        )


def needs(config: Config, stage: Stage) -> Needs:
    """Bytes that one step of a stage keeps at its peak, on one device; a network that `init` names is not counted.

    Args:
        config: The run. Its `precision` says how large activations are, its `checkpointing` which are kept.
        stage: The stage; its `batch` and `accumulate` say how many samples are computed at once.

    """
    with torch.device("meta"):
        network = described(config)
        predictor: Any = network_registry.build(network)
        head: Any = network_registry.build_head({**network, "head": described_head(config)}, predictor)
    modules = [m.to("meta") for m in (predictor, head) if m is not None]  # see `models.footprint.sizes`
    trained = {"joint": modules, "correction": modules[1:], "adapter": modules[1:]}.get(stage.kind, modules[:1])
    held = sum(p.numel() * (_BYTES["weights"] + _BYTES["average"]) for m in modules for p in m.parameters())
    held += sum(p.numel() * (_BYTES["gradients"] + _BYTES["moments"]) for m in trained for p in m.parameters())
    for module in modules:
        if config.checkpointing:
            recomputed(module)
        if config.precision == "bf16":
            module.to(
                torch.bfloat16
            )  # as autocast computes; what it keeps in fp32 (norms, attention's sums) is counted as 16 bits
        module.requires_grad_(module in trained)
    part = stage.batch // stage.accumulate
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    x = torch.empty(part, 3, stage.crop, stage.crop, dtype=dtype, device="meta")
    level = torch.empty(part, dtype=dtype, device="meta")
    kept = _Kept(modules)
    with saved_tensors_hooks(kept.keep, lambda tensor: tensor):
        answer = _answered(predictor, x, level)
        if head is not None and head in trained:
            head(answer._replace(residual=answer.residual.detach()), level)
    return Needs(held, kept.bytes, part, stage.crop)


def _answered(predictor: Any, x: Tensor, level: Tensor) -> Answer:
    context = getattr(predictor, "context_dim", None)
    if context is None:
        return predictor.answer(x, x, level)
    embeddings = [x.new_empty(len(x), context)] * (1 + predictor.degradation)
    return Answer(x, x, level, predictor(x, x, level, *embeddings))


class _Kept:
    """Counts the bytes of all storages that the backward pass keeps, weights apart, each once."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.bytes = 0
        self._kept: list[
            Tensor
        ] = []  # kept alive until the count is over, so that no new storage gets the address of a freed one
        self._seen = {p.untyped_storage()._cdata for m in modules for p in m.parameters()}

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self._kept.append(tensor)
            self.bytes += storage.nbytes()
        return tensor
