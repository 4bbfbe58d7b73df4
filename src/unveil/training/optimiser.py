"""Optimisers by name, with their state by the names of the parameters, as checkpoints keep it.

"muon": the matrices of a network (its convolutions as output channels by everything else) are moved along the orthogonalised
momentum (Jordan et al. 2024, `torch.optim.Muon`), everything else by AdamW. Measured beside AdamW in docs/train.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unveil.training.config import Stage
from unveil.training.sharding import put

_MUON_DECAY = 0.01
_APART = ("stem", "out", "embed", "condition")
"""Layers that Muon leaves to AdamW: the first, the last and the embeddings, as its authors advise."""


@dataclass(frozen=True)
class AdamW:
    """Settings of AdamW: decay of its two moments, what is added to the root of the second, decay of the weights."""

    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8
    decay: float = 1e-4


CONTRASTIVE = AdamW((0.9, 0.98), 1e-6, 0.05)
"""As CLIP and DA-CLIP were trained."""


def adamw_of(stage: Stage) -> AdamW:
    """What a stage says, and for the rest what is usual for its kind."""
    usual = CONTRASTIVE if stage.kind == "contrastive" else AdamW()
    betas = (stage.betas[0], stage.betas[1]) if stage.betas else usual.betas
    return AdamW(betas, usual.eps, stage.decay if stage.decay >= 0 else usual.decay)


def _matrix(tensor: Tensor) -> Tensor:
    """A convolution's weight (O, I, h, w) as (O, h w I): a view of memory in channels-last order; a matrix as it is."""
    return tensor.permute(0, 2, 3, 1).reshape(tensor.shape[0], -1) if tensor.ndim == 4 else tensor


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A whole tensor laid out, and split, as a parameter is."""
    out = torch.empty_like(parameter)
    put(out, value)
    return out


class Optimiser:
    """One or two optimisers of torch behind the calls of one.

    Args:
        kind: "adamw" or "muon".
        module: What is trained: those of its parameters that ask for a gradient.
        lr: Peak learning rate. For "muon" it is that of the matrices, scaled to AdamW's step (`match_rms_adamw`).
        adamw: Settings of AdamW.

    """

    def __init__(self, kind: str, module: nn.Module, lr: float, adamw: AdamW | None = None) -> None:
        adamw = adamw or AdamW()
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        muon = kind == "muon"
        matrices = {k: p for k, p in named.items() if muon and p.ndim in (2, 4) and not set(k.split(".")) & set(_APART)}
        rest = {k: p for k, p in named.items() if k not in matrices}
        self.lr = lr
        self._sources = list(matrices.values())
        # Muon takes matrices only: it is given views that share memory with the convolutions.
        self._views = [nn.Parameter(_matrix(p.data)) for p in self._sources]
        for view, source in zip(self._views, self._sources, strict=True):
            if view.data_ptr() != source.data_ptr():
                raise ValueError("Muon needs convolutions in channels-last memory, where a matrix is a view of them")
        self._named: list[tuple[torch.optim.Optimizer, dict[str, nn.Parameter]]] = []
        if rest:
            moved = torch.optim.AdamW(
                list(rest.values()), lr=lr, betas=adamw.betas, eps=adamw.eps, weight_decay=adamw.decay
            )
            self._named.append((moved, rest))
        if matrices:
            optimiser = torch.optim.Muon(
                self._views, lr=lr, weight_decay=_MUON_DECAY, momentum=0.95, adjust_lr_fn="match_rms_adamw"
            )
            self._named.append((optimiser, dict(zip(matrices, self._views, strict=True))))

    def rate(self, lr: float) -> None:
        """Set the learning rate."""
        for optimiser, _ in self._named:
            for group in optimiser.param_groups:
                group["lr"] = lr

    def step(self) -> None:
        """Move the parameters by their gradients."""
        for view, source in zip(self._views, self._sources, strict=True):
            view.grad = None if source.grad is None else _matrix(source.grad)
        for optimiser, _ in self._named:
            optimiser.step()

    def state(self) -> dict[str, Tensor]:
        """All moments as "parameter.moment" -> tensor."""
        out: dict[str, Tensor] = {}
        for optimiser, named in self._named:
            names = list(named)
            for index, entry in optimiser.state_dict()["state"].items():
                out |= {f"{names[index]}.{key}": value for key, value in entry.items() if torch.is_tensor(value)}
        return out

    def restore(self, saved: Mapping[str, Tensor]) -> bool:
        """Take moments that `state` gave, laid out as the optimiser would have made them. False where there are none that fit."""
        complete = True
        for optimiser, named in self._named:
            state: dict[int, dict[str, Tensor]] = {}
            for index, (name, parameter) in enumerate(named.items()):
                found = {k.removeprefix(f"{name}."): v for k, v in saved.items() if k.rpartition(".")[0] == name}
                fits = all(v.ndim == 0 or v.shape == parameter.shape for v in found.values())
                if not found or not fits:
                    complete = False
                    continue
                state[index] = {k: v if v.ndim == 0 else _like(parameter, v) for k, v in found.items()}
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        return complete
