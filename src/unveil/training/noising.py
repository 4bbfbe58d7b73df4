"""The states a predictor is trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.diffusion.path import GaussianPath, residual_coefficients
from unveil.diffusion.prediction import residual_noise_factor
from unveil.diffusion.resolution import guided, resize
from unveil.networks.condition import KINDS, LIGHT, condition
from unveil.training.batches import Batch
from unveil.training.on_device import Counted

_LOW_FROM = 0.6  # reduced views are only ever sampled at the noise levels of the first half of the steps


def levels(
    path: GaussianPath, count: int, low: bool, start: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(count,) sqrt(abar) values, half from the grid of the path, half anywhere between its ends; (count,) which are first states.

    The grid is what the paper trains; the rest lets one network serve other grids and numbers of steps. Reduced views
    draw from the noisy end. start: share of states moved to the first one that sampling from coarse to fine meets at this
    resolution: the very start of all for reduced views, the one after the change of resolution for native ones.
    """
    full = path.decay[1:].float()
    noisy = path.sigma[1:].float() >= _LOW_FROM
    grid = full[noisy] if low else full
    entry = full[-1] if low or bool(noisy.all()) else full[~noisy][-1]
    on_grid = grid[torch.randint(len(grid), (count,), generator=generator)]
    u = torch.rand(count, generator=generator)
    anywhere = (1.0 - 0.5 * (1.0 - (u * 0.3 if low else u)) ** 3).clamp(max=0.9985)
    drawn = torch.where(torch.rand(count, generator=generator) < 0.5, on_grid, anywhere)
    if start <= 0:
        return drawn, torch.zeros(count, dtype=torch.bool)
    first = torch.rand(count, generator=generator) < start
    return torch.where(first, entry, drawn), first


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise of the shape (B, ...) and device of `like`, a function of the generator (a CPU one) alone.

    On other devices it is made there, keyed by a draw of the generator and the number of the sample: the same on all of them
    (`training.on_device`), and not that of a CPU, where torch's own is faster.
    """
    if like.device.type == "cpu":
        return torch.randn(like.shape, generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    return Counted(seed, 0, range(len(like)), like.device).randn(tuple(like.shape))


def forward_states(
    path: GaussianPath, batch: Batch, switch: float, start: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(x_t, s_t) with x_t = a x0 + b y + s eps; a share `switch` of native states carries the estimate of the low-resolution stage.

    For those x0 is replaced by y - up(D(y - x0)), the estimate after an ideal change of resolution (mathematics, equation 5).
    The first states of native views are always such ones.
    """
    x0 = batch.x0
    signal, first = levels(path, len(x0), batch.low, start, generator)
    if (switch > 0 or start > 0) and not batch.low:
        factor = 2.0 ** (0.5 + 3.5 * float(torch.rand((), generator=generator)))
        small = (max(1, round(x0.shape[-2] / factor)), max(1, round(x0.shape[-1] / factor)))
        blurred = batch.y - resize(resize(batch.y - x0, small), (int(x0.shape[-2]), int(x0.shape[-1])))
        after = (torch.rand(len(x0), generator=generator) < switch) & (residual_coefficients(signal)[2] < _LOW_FROM)
        after |= first
        x0 = torch.where(after[:, None, None, None].to(x0.device), blurred, x0)
    a, b, s = (c[:, None, None, None].to(x0.device) for c in residual_coefficients(signal))
    eps = normal(x0, generator)
    return a * x0 + b * batch.y + s * eps, s.flatten()


_LIGHT_ERROR = 0.12  # relative error of the low stage's correction of the light, as on held-out photographs


def after_switch(batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(x0, given) of a native view: what its expert should reach, and the estimate that the low stage passes on.

    given = y - k G(D(y - x0)), with G the guided switch of the sampler and k near 1 as the low stage errs (mathematics, equation 5),
    and y itself where no kind of damage to the light is present: such photographs pass the low stage unchanged. x0 has the light that
    was given: it is the clean image moved by given - (y - G(D(y - x0))), clamped.
    """
    b, size = len(batch.x0), (int(batch.x0.shape[-2]), int(batch.x0.shape[-1]))
    factor = 2.0 ** (0.5 + 3.5 * float(torch.rand((), generator=generator)))
    small = (max(1, round(size[0] / factor)), max(1, round(size[1] / factor)))
    error = 1 + _LIGHT_ERROR * torch.randn(b, generator=generator)
    lit = batch.kinds[:, [KINDS.index(k) for k in LIGHT]].amax(1) > 0
    y = resize(batch.y, small)
    light = guided(y - resize(batch.x0, small), y, batch.y) * lit.to(batch.y)[:, None, None, None]
    off = light * (error.to(batch.y)[:, None, None, None] - 1)
    return (batch.x0 - off).clamp(-1, 1), (batch.y - light - off).clamp(-1, 1)


def sampled_conditions(kinds: Tensor, share: float, fidelity: float, generator: torch.Generator) -> Tensor:
    """(B, SIZE) conditions of samples with these kinds of damage (B, K) of 0 and 1.

    A share is given the truth. Of the rest one half is given an uncertain guess and one half nothing. A guess p has the density 2p
    where the kind is present and 2(1 - p) where it is not, so that where both are equally frequent it is calibrated by construction.
    """
    b = len(kinds)
    truth = kinds.cpu()
    u = torch.rand(truth.shape, generator=generator).sqrt()
    guess = torch.where(truth > 0.5, u, 1 - u)
    drawn = torch.rand(b, generator=generator)
    guessed = torch.where((drawn < share)[:, None], truth, guess)
    known = drawn < share + (1 - share) / 2
    return condition(guessed, known, torch.full((b,), fidelity))


def grid_states(path: GaussianPath, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(x_t, t) on any path: t (B,) uniform on its trained grid, 1..T, as published; reduced views in its upper half, t > T/2."""
    least = path.steps // 2 + 1 if batch.low else 1
    t = least + torch.randint(path.steps + 1 - least, (len(batch.x0),), generator=generator)
    return path.forward(batch.x0, batch.y, t, normal(batch.x0, generator)), t


def weight(level: Tensor) -> Tensor:
    """Weight of the squared error of x0 at noise level s: 1.25 / (s^2 + 0.25), so that nearly clean states count more."""
    return 1.25 / (level**2 + 0.25)


def residual_noise_weight(path: GaussianPath, t: Tensor, like: Tensor) -> Tensor:
    """(B,) weights that make the squared error of x0 at the indices t that of the residual noise (LearnIR, Eq. 5): (a / s + k)^2.

    eps_res = (x_t - a x0 - b y) / s + k (y - x0) is linear in x0 where the state is given, so the one error is the other, weighted.
    """
    factors = [float(path.alpha[i]) / float(path.sigma[i]) + residual_noise_factor(path, i) for i in t.tolist()]
    return torch.tensor(factors, dtype=torch.float32).square().to(like.device)


_PRIOR = 0.01
_LEAST = 0.05


def grid_weight(path: GaussianPath, t: Tensor, like: Tensor, value_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """(B,) weights of the squared error of x0 at the indices t of a path whose noise is small: 1 at the start, up to 20 at its end.

    A state determines x0 up to the variance v = (s / a)^2, and y alone up to about 0.01 on [-1, 1], so that an error of v * 0.01 / (v +
    0.01) can be reached; this is its inverse, bounded. Without it the last steps, whose errors are the smallest and stay in the
    photograph, would hardly be trained.
    """
    a, s = (path.at(c, t, like).flatten() for c in (path.alpha, path.sigma))
    prior = _PRIOR * ((value_range[1] - value_range[0]) / 2) ** 2
    attainable = s**2 / (s**2 + prior * a**2)
    return 1 / (attainable + _LEAST) * (1 + _LEAST)
