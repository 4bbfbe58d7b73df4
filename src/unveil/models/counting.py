"""How large networks are: parameters, and multiply-adds of one evaluation, counted without their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from unveil.models.kinds import build, build_head
from unveil.networks.predictor import Answer, Features


@dataclass(frozen=True)
class Size:
    """parameters: of the network. macs: multiply-adds of its convolutions, linear layers and attention in one evaluation of `side` x
    `side` pixels.
    """

    parameters: int
    macs: int
    side: int

    def line(self) -> str:
        """For a reader, as papers print it: "39.1 M parameters, 90.2 GMAC at 512x512"."""
        return f"{self.parameters / 1e6:,.1f} M parameters, {self.macs / 1e9:,.1f} GMAC at {self.side}x{self.side}"


def sizes(network: Mapping[str, Any], side: int = 512) -> dict[str, Size]:
    """Sizes of the predictor that a description names and, where it has one, of its correction.

    Of a network with experts the two are counted apart, each at `side`; a network that is told by DA-CLIP is counted without it.

    Args:
        network: The entry of a `Spec`.
        side: Height and width of the image, a multiple of what the network needs.

    Returns:
        "predictor" (or "low" and "native"), and "correction" where there is one.

    """
    with torch.device("meta"):
        predictor: Any = build(network)
        head = build_head(network, predictor)
        x, level = torch.empty(1, 3, side, side), torch.empty(1)
    parts: dict[str, nn.Module] = {"predictor": predictor}
    if network.get("kind") == "experts":
        parts = {"low": predictor.low, "native": predictor.native}
    contexts: tuple[torch.Tensor, ...] = ()
    if network.get("context_dim"):
        embedding = torch.empty(1, int(network["context_dim"]), device="meta")
        contexts = (embedding, embedding) if network.get("degradation") else (embedding,)
    mask = int(network.get("mask_channels") or 0)
    if mask:
        contexts = (torch.empty(1, mask, side, side, device="meta"),)
    out = {name: _size(part, side, x, x, level, *contexts) for name, part in parts.items()}
    if head is not None:
        features = None
        if network.get("kind", "compact") == "compact":
            features = Features(
                tuple(torch.empty(1, w, side >> (i + 1), side >> (i + 1), device="meta") for i, w in enumerate(predictor.widths)),
                torch.empty(1, 128, device="meta"),
            )  # fmt: skip
        out["correction"] = _size(head, side, Answer(x, x, level, x, features), level)
    return out


def _size(module: nn.Module, side: int, *inputs: Any) -> Size:
    from torch.utils.flop_counter import FlopCounterMode  # late: it brings torch's dispatcher for Python along

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return Size(sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2, side)
