"""How much memory a network needs per pixel, measured by running it once on a small tile and counting what is alive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from unveil.models.model import Model

MARGIN = 1.5
"""What the libraries below take for themselves (reordered copies, scratch space), which cannot be counted; found by measuring."""


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


def bytes_per_pixel(model: Model, fidelity: float = 0.5) -> float:
    """Bytes of main or device memory per pixel of a tile while `model` is evaluated on it, in fp32; the same on every run.

    Every tensor of a convolutional network grows with the tile's area, so one small tile tells for all.
    """
    side = 4 * model.spec.multiple_of
    tile = torch.zeros(1, 3, side, side, device=next(model.predictor.parameters()).device)
    process = model.spec.process()
    denoise = model.looking_at(tile).denoiser(process, fidelity)
    modules = [m for m in (model.predictor, model.head) if m is not None]
    with _Alive(modules) as alive:
        denoise(tile, tile.clone(), process.steps)
    return MARGIN * alive.most / side**2


def weight_bytes(model: Model) -> int:
    """Bytes of all parameters and buffers."""
    modules = [m for m in (model.predictor, model.head, model.guide) if m is not None]
    return sum(p.numel() * p.element_size() for m in modules for p in (*m.parameters(), *m.buffers()))
