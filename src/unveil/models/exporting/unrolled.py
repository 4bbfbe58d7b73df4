"""A whole restoration as one network: photograph in, photograph out, every evaluation of the sampler written out one after the other.

At fidelity 1 the sampler draws no noise, so that what it does is a fixed chain of networks and weighted sums: the path's coefficients
and what the networks are told become constants of the graph. Nothing in it depends on pixels or on sizes but through tensors, so that
other programs' formats can hold it with any height and width.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.diffusion.process import Process
from unveil.diffusion.resolution import guided
from unveil.diffusion.sampling import SOLVERS, eta
from unveil.errors import ModelError
from unveil.models.model import Model
from unveil.models.treatment import Treatment, first_native, steps_of
from unveil.networks.compact import TimestepExperts
from unveil.networks.condition import KINDS, condition
from unveil.networks.predictor import Predictor


class Unrolled(nn.Module):
    """(B, 3, H, W) sRGB in [0, 1] -> the restoration, likewise; the sampler's defaults of a model at fidelity 1, without noise.

    What `Restorer` does beside the sampler is not part of it: the mean of each channel is not held, bars, grey and black are not
    looked at. Those need the whole photograph, and a program that hands over tiles has no whole.

    Args:
        model: A compact model or one of experts, as on the shelf.
        treat: What to fix, for a model that can be told; None otherwise.
        reduced: (height, width) of the reduced photograph on which light is decided; by default a square with the model's own
            long side. Without effect where no light is fixed.

    Raises:
        ModelError: A kind of model or a solver that is not a fixed chain of evaluations.

    """

    told: Tensor | None
    told_levels: Tensor
    fidelity: Tensor

    def __init__(self, model: Model, treat: Treatment | None = None, reduced: tuple[int, int] | None = None) -> None:
        super().__init__()
        spec, d = model.spec, model.spec.defaults
        if not spec.trained_here or spec.sampler != "diffusion":
            raise ModelError(
                f"{spec.name} cannot be exported: only compact models and models of experts can, such as general"
            )
        if d.solver not in SOLVERS or d.solver == "2m" or d.resolution == "hourglass" or d.switch == "state":
            raise ModelError(f"{spec.name} cannot be exported: its defaults are not a fixed chain without noise")
        process = spec.process(steps=steps_of(treat, d.steps))
        self.switch, self.value_range = d.switch, spec.value_range
        n = process.steps
        self.begin = first_native(process) if treat is not None and not treat.light else 0
        # As Resolution.factor: reduced while more than half of the path is left, the last evaluation always native.
        early = sum(n - i > n / 2 and i < n - 1 for i in range(n)) if d.resolution == "coarse_to_fine" else 0
        self.early = max(early - self.begin, 0)
        first = n - self.begin
        self.start = float(process.a[first] + process.b[first])
        self.levels = [float(process.time[t]) for t in range(first, 0, -1)]
        fresh = [i + 1 == self.early for i in range(first - 1)]
        self.sums = [_sum(process, d.solver, t, f) for t, f in zip(range(first, 1, -1), fresh, strict=True)]
        self.reduced = (d.low, d.low) if reduced is None else reduced
        asked = [
            model.predictor.expert(level) if isinstance(model.predictor, TimestepExperts) else model.predictor
            for level in self.levels
        ]
        self.networks = nn.ModuleList(dict.fromkeys(asked))  # an expert that is never asked is not carried along
        self.which = [list(self.networks).index(network) for network in asked]
        self.head = model.head
        self.multiple_of = model.predictor.multiple_of
        told = None
        if isinstance(model.predictor, TimestepExperts):
            known = torch.tensor([treat is not None])
            vector = torch.zeros(1, len(KINDS)) if treat is None else treat.vector()[None]
            told = condition(vector, known, torch.ones(1))
        self.register_buffer("told", told, persistent=False)
        self.register_buffer("fidelity", torch.ones(1), persistent=False)
        self.register_buffer("told_levels", torch.tensor(self.levels), persistent=False)

    @property
    def looks_at_the_whole(self) -> bool:
        """Whether a pixel depends on the reduced photograph, and so on pixels at any distance."""
        return self.early > 0

    def forward(self, input: Tensor) -> Tensor:
        low, high = self.value_range
        full = input * (high - low) + low
        y = resized(full, self.reduced) if self.early else full
        # The start, or the state that evaluations which find y clean would leave behind; its noise is left out.
        x = self.start * y
        for i, (of_x, of_x0, of_y) in enumerate(self.sums):
            x0_hat = self._estimate(x, y, i)
            if i + 1 == self.early:
                x0_hat = self._enlarged(x0_hat, y, full)
                y = full
                x = of_x0 * x0_hat + of_y * y
            else:
                x = of_x * x + of_x0 * x0_hat + of_y * y
        return ((self._estimate(x, y, len(self.sums)) - low) / (high - low)).clamp(0, 1)

    def _enlarged(self, x0_hat: Tensor, y: Tensor, full: Tensor) -> Tensor:
        """As `diffusion.resolution.transfer`."""
        if self.switch == "guided":
            return full - guided(y - x0_hat, y, full, partial(_resized_like, like=full))
        if self.switch == "residual":
            return full - _resized_like(y - x0_hat, full)
        return _resized_like(x0_hat, full)

    def _estimate(self, x_t: Tensor, y: Tensor, index: int) -> Tensor:
        """x0_hat as `Model.predict` has it, without branches on sizes or values."""
        states = _padded(torch.cat([x_t, y], dim=1), self.multiple_of)
        x_t, padded = states[:, :3], states[:, 3:]
        level = self.told_levels[index : index + 1]
        network: Predictor = self.networks[self.which[index]]  # type: ignore[assignment]
        answer = network.answer(x_t, padded, level, self.told)
        residual = answer.residual
        if self.head is not None:
            residual = residual + self.head(answer, self.fidelity)
        return (y - _cropped(residual, y)).clamp(*self.value_range)


def _sum(process: Process, solver: str, t: int, fresh: bool) -> tuple[float, float, float]:
    """Weights of x_t, x0_hat and y in the state at t - 1, as `diffusion.sampling.step` adds them up, without noise.

    fresh: whether the state is made anew from x0_hat, as at a change of resolution: what is left of the old noise has no weight then.
    """
    u = t - 1
    (a_t, b_t, s_t), (a_u, b_u, s_u) = ([float(c[i]) for c in (process.a, process.b, process.s)] for i in (t, u))
    kept = 0.0 if fresh else max(s_u**2 - eta(process, solver, t, u) ** 2, 0.0) ** 0.5 / s_t
    return kept, a_u - kept * a_t, b_u - kept * b_t


def _padded(x: Tensor, multiple: int) -> Tensor:
    """As `networks.predictor.pad_to_multiple`, by indices even where nothing is to do: a graph for any size has no branches."""
    for axis in (-2, -1):
        length = x.shape[axis]
        total = (length + multiple - 1) // multiple * multiple
        index = torch.arange(total, device=x.device)
        last = torch.full_like(index, length - 1)
        period = (2 * last).clamp(min=1)  # a line of one pixel repeats it
        index = torch.remainder(index, period)
        index = torch.minimum(torch.minimum(index, period - index), last)
        x = x.index_select(axis, index)
    return x


def _cropped(x: Tensor, like: Tensor) -> Tensor:
    """The top left part of x in the size of `like`, by indices: a slice would have to prove, for any size, that it lies within."""
    for axis in (-2, -1):
        x = x.index_select(axis, torch.arange(like.shape[axis], device=x.device))
    return x


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """As `diffusion.resolution.resize` (bilinear, antialiased), as two products of matrices that every format knows.

    Formats' own resizing differs in where it places pixels and in whether it filters before it reduces. (B, C, H, W) -> (B, C, *size).
    """
    rows = _weights(x.shape[-2], size[0], x)
    columns = _weights(x.shape[-1], size[1], x)
    return torch.matmul(torch.matmul(rows, x), columns.transpose(0, 1))


def _resized_like(x: Tensor, like: Tensor) -> Tensor:
    return resized(x, (like.shape[-2], like.shape[-1]))


def _weights(length: int, wanted: int, like: Tensor) -> Tensor:
    """(wanted, length): each row the triangle around a new pixel's centre, as wide as a new pixel and never narrower than an old one."""
    new = torch.arange(wanted, device=like.device, dtype=torch.float32) + 0.5
    old = torch.arange(length, device=like.device, dtype=torch.float32) + 0.5
    scale = torch.full_like(new[:1], length) / torch.full_like(new[:1], wanted)
    away = (old[None] - (new * scale)[:, None]) / scale.clamp(min=1)
    weights = F.relu(1 - away.abs())
    return weights / weights.sum(dim=1, keepdim=True)
