"""Optimisers by name, with their state by the names of the parameters, as checkpoints keep it.

"muon": the matrices of a network (its convolutions as output channels by everything else) are moved along the orthogonalised
momentum (Jordan et al. 2024, `torch.optim.Muon`), everything else by AdamW. Measured beside AdamW in docs/train.md.

Several processes share Muon's work: each moves the matrices that it owns, which cost about as much as those of every other, and all are
given the result. So one process alone keeps the momentum of a matrix; `Optimiser.state` collects it.

`torch.optim.Muon` orthogonalises in bf16 on every device. A processor without instructions for bf16 emulates it: the orthogonalisation of
one step then takes longer than the gradients. There `MuonFloat32` does the same in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unveil.training.distributed import World, balanced, put
from unveil.training.settings import Stage
from unveil.util.devices import computes_bf16

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
    """AdamW's settings of a stage, with the defaults of its kind for what it leaves out."""
    usual = CONTRASTIVE if stage.kind == "contrastive" else AdamW()
    betas = (stage.betas[0], stage.betas[1]) if stage.betas else usual.betas
    return AdamW(betas, usual.eps, stage.decay if stage.decay >= 0 else usual.decay)


def _matrix(tensor: Tensor) -> Tensor:
    """A convolution's weight (O, I, h, w) as (O, h w I): a view of memory in channels-last order; a matrix as it is."""
    return tensor.permute(0, 2, 3, 1).reshape(tensor.shape[0], -1) if tensor.ndim == 4 else tensor


def _cost(matrix: Tensor) -> float:
    """What it takes to orthogonalise a matrix: the multiplications of one iteration of Newton-Schulz."""
    small, large = sorted(matrix.shape)
    return small**2 * (2 * large + small)


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A whole tensor laid out, and split, as a parameter is."""
    out = torch.empty_like(parameter)
    put(out, value)
    return out


def orthogonalise(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Newton-Schulz iteration of Muon (Jordan et al. 2024): the singular values of a matrix (N, M), float32, moved towards one.

    X <- a X + (b A + c A A) X with A = X X^T. The iterations are a polynomial of the first A times X, so that all but one product are of
    small square matrices: a third of the arithmetic where a matrix is nine times as long as it is high, as a 3x3 convolution is. The
    rounding errors are negligible in fp32, and too large in bf16. coefficients: a, b, c. eps: smallest norm that is divided by.
    """
    a, b, c = coefficients
    high = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if high else matrix
    x = x / x.norm().clamp(min=eps)
    gram = x @ x.T
    one = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    product = one
    for step in range(steps):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c).add_(one, alpha=a)
        product = factor @ product if step else factor
        if step < steps - 1:
            gram = factor @ gram @ factor
    x = product @ x
    return x.T if high else x


class MuonFloat32(torch.optim.Muon):
    """`torch.optim.Muon` with its orthogonalisation in fp32 instead of bf16, and `match_rms_adamw` as scale. The state is the same."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move the matrices by their gradients. closure: computes the loss anew, which is returned, as with every optimiser of torch."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, matrix.grad, group)
        return loss

    def _move(self, matrix: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient, memory_format=torch.preserve_format)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
        update = orthogonalise(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(update, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)


class Optimiser:
    """One or two optimisers of torch with the interface of one, for the parameters of a module that require a gradient.

    lr: peak learning rate; for "muon" it is that of the matrices, scaled to AdamW's step (`match_rms_adamw`). world: the processes that
    train the module. Each has an optimiser of the same kind for it, and all take their steps together.
    """

    def __init__(
        self, kind: str, module: nn.Module, lr: float, adamw: AdamW | None = None, world: World | None = None
    ) -> None:
        adamw = adamw or AdamW()
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        muon = kind == "muon"
        matrices = {k: p for k, p in named.items() if muon and p.ndim in (2, 4) and not set(k.split(".")) & set(_APART)}
        rest = {k: p for k, p in named.items() if k not in matrices}
        self.lr = lr
        self._world = world or World()
        self._sources = list(matrices.values())
        # Muon takes matrices only: it is given views that share memory with the convolutions.
        self._views = {name: nn.Parameter(_matrix(p.data)) for name, p in matrices.items()}
        for view, source in zip(self._views.values(), self._sources, strict=True):
            if view.data_ptr() != source.data_ptr():
                raise ValueError("Muon needs convolutions in channels-last memory, where a matrix is a view of them")
        self._named: list[tuple[torch.optim.Optimizer, dict[str, nn.Parameter]]] = []
        if rest:
            moved = torch.optim.AdamW(
                list(rest.values()), lr=lr, betas=adamw.betas, eps=adamw.eps, weight_decay=adamw.decay
            )
            self._named.append((moved, rest))
        self._owners = balanced([_cost(view) for view in self._views.values()], self._world.size)
        owned = {
            k: v for (k, v), owner in zip(self._views.items(), self._owners, strict=True) if owner == self._world.rank
        }
        if owned:
            views = list(owned.values())
            muon_class = torch.optim.Muon if computes_bf16(views[0].device) else MuonFloat32
            optimiser = muon_class(
                views, lr=lr, weight_decay=_MUON_DECAY, momentum=0.95, adjust_lr_fn="match_rms_adamw"
            )
            self._named.append((optimiser, owned))

    def rate(self, lr: float) -> None:
        """Set the learning rate."""
        for optimiser, _ in self._named:
            for group in optimiser.param_groups:
                group["lr"] = lr

    def step(self) -> None:
        """Move the parameters by their gradients. All processes call it."""
        for view, source in zip(self._views.values(), self._sources, strict=True):
            view.grad = None if source.grad is None else _matrix(source.grad)
        for optimiser, _ in self._named:
            optimiser.step()
        self._world.exchange(list(self._views.values()), self._owners)

    def state(self) -> dict[str, Tensor]:
        """All moments as "parameter.moment" -> tensor. All processes call it."""
        out: dict[str, Tensor] = {}
        for optimiser, named in self._named:
            names = list(named)
            for index, entry in optimiser.state_dict()["state"].items():
                out |= {f"{names[index]}.{key}": value for key, value in entry.items() if torch.is_tensor(value)}
        if self._world.size > 1:
            for name, view in self._views.items():  # a matrix that never moved has the momentum that Muon begins with
                out.setdefault(f"{name}.momentum_buffer", torch.zeros_like(view))
            self._world.exchange([out[f"{name}.momentum_buffer"] for name in self._views], self._owners)
        return out

    def restore(self, saved: Mapping[str, Tensor]) -> bool:
        """Load what is this process's of moments that `state` gave, in the optimiser's own layout. False where some do not fit."""
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
