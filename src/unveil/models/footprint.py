"""How large networks are: bytes that an evaluation takes per pixel, parameters, multiply-adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from unveil.models.model import Model
from unveil.models.network_registry import build, build_head
from unveil.networks.predictor import Answer, Features

MARGIN = 1.5
"""Memory of the libraries themselves (reordered copies, scratch space), which cannot be counted; measured."""


class _Alive(TorchFunctionMode):
    """Counts the bytes of all storages that functions have returned and that still live; keeps the largest count.

    TorchDispatchMode would see more, but it imports the whole of torch's compiler, which takes longer than a small restoration.
    """

    def __init__(self, modules: Iterable[torch.nn.Module]) -> None:
        """modules: their weights are not counted."""
        super().__init__()
        self.most = 0
        self._given = {p.untyped_storage().data_ptr() for m in modules for p in (*m.parameters(), *m.buffers())}
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self._given:
                    self._storages[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._storages = {k: v for k, v in self._storages.items() if not v[0].expired()}
        self.most = max(self.most, sum(size for _, size in self._storages.values()))
        return out


def bytes_per_pixel(model: Model) -> float:
    """Bytes of main or device memory per pixel of a tile while `model` is evaluated on it, in fp32; the same on every run.

    Every tensor of a convolutional network grows with the tile's area, so one small tile is enough to measure.
    """
    side = 4 * model.spec.multiple_of
    tile = torch.zeros(1, 3, side, side, device=next(model.predictor.parameters()).device)
    path = model.spec.process()
    denoise = model.with_guide_of(tile).denoiser(path, 0.5)  # a fidelity at which a head is evaluated too
    modules = [m for m in (model.predictor, model.head) if m is not None]
    with _Alive(modules) as alive:
        denoise(tile, tile.clone(), path.steps)
    return MARGIN * alive.most / side**2


def weight_bytes(model: Model) -> int:
    """Bytes of all parameters and buffers."""
    modules = [m for m in (model.predictor, model.head, model.guide) if m is not None]
    return sum(p.numel() * p.element_size() for m in modules for p in (*m.parameters(), *m.buffers()))


@dataclass(frozen=True)
class Size:
    """parameters: of the network. macs: multiply-adds of its convolutions, linear layers and attention in one evaluation of `side` x
    `side` pixels.
    """

    parameters: int
    macs: int
    side: int

    def line(self) -> str:
        """As text, as papers print it: "39.1 M parameters, 90.2 GMAC at 512x512"."""
        return f"{self.parameters / 1e6:,.1f} M parameters, {self.macs / 1e9:,.1f} GMAC at {self.side}x{self.side}"


def sizes(network: Mapping[str, Any], side: int = 512) -> dict[str, Size]:
    """Sizes of the predictor that a `Spec`'s network names, "predictor" (or "low" and "native"), and of its "correction" where it has one.

    Of a network with experts the two are counted apart, each at `side`, a multiple of what the network needs; a network that DA-CLIP
    guides is counted without it.
    """
    with torch.device("meta"):
        predictor: Any = build(network)
        head = build_head(network, predictor)
        x, level = torch.empty(1, 3, side, side), torch.empty(1)
    # Once more: where transformers has loaded a model, torch.linspace makes its numbers on the processor all the same.
    predictor, head = predictor.to("meta"), head if head is None else head.to("meta")
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
    from torch.utils.flop_counter import FlopCounterMode  # imported here: it loads torch's dispatcher for Python

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return Size(sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2, side)
