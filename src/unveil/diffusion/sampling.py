"""The one step and the one loop (mathematics, equation 2)."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from unveil.diffusion.path import GaussianPath
from unveil.diffusion.resolution import OFF, Resolution, resize, transfer
from unveil.errors import Cancelled, InputError, still_takes

SOLVERS = ("ancestral", "ddim", "renoise", "2m")
EULER = ("sde", "ode")
"""The baselines of `diffusion.irsde`."""

Noise = Callable[[int, Tensor], Tensor]
"""(draw index, tensor to match (B, C, H, W)) -> standard normal noise of that shape, dtype and device."""

Denoiser = Callable[[Tensor, Tensor, int], Tensor]
"""(x_t, y, t) -> x0_hat, all (B, C, H, W); t is the index into the process."""


Guide = Callable[[Tensor, Tensor, Tensor, int, int], Tensor]
"""(x_u, x0_hat, x_t, t, u) -> the state to go on from instead of x_u; u = 0 is the clean end, where x_u is x0_hat."""


class Progress:
    """What a callback sees after every evaluation: index (0 first) of `steps`, the number that are run (those before `begin` are not), and
    the current x0_hat (B, C, h, w).
    """

    def __init__(self, index: int, steps: int, x0_hat: Tensor) -> None:
        self.index, self.steps, self.shared = index, steps, x0_hat

    @cached_property
    def x0_hat(self) -> Tensor:
        """The estimate: the callback's own, copied when it is first asked for."""
        return self.shared.clone()


def eta(path: GaussianPath, solver: str, t: int, u: int) -> float:
    """How much of the noise at u is drawn afresh: "ancestral" the exact posterior's, "renoise" s_u, the others 0."""
    if solver == "ancestral":
        return path.ancestral(t, u)
    return float(path.sigma[u]) if solver == "renoise" else 0.0


@still_takes("process", "path")
def step(
    path: GaussianPath, t: int, u: int, x_t: Tensor, x0_hat: Tensor, y: Tensor, eta: float, z: Tensor | None
) -> Tensor:
    """From t to u < t: x_u = a_u x0_hat + b_u y + sqrt(s_u^2 - eta^2) eps_hat + eta z.

    eps_hat = (x_t - a_t x0_hat - b_t y) / s_t is the noise that x0_hat leaves over. z: standard normal (times
    1 - fidelity), or None for none. With eta from `GaussianPath.ancestral` this is the exact posterior, which for the
    mean-reverting process is the optimal posterior sampling of the DA-CLIP wild paper.
    """
    keep = max(float(path.sigma[u]) ** 2 - eta**2, 0.0) ** 0.5
    x_u = float(path.alpha[u]) * x0_hat + float(path.beta[u]) * y
    if keep > 0:
        x_u = x_u + keep / float(path.sigma[t]) * (x_t - float(path.alpha[t]) * x0_hat - float(path.beta[t]) * y)
    return x_u if z is None or eta == 0 else x_u + eta * z


def _extrapolated(path: GaussianPath, previous: tuple[int, Tensor] | None, t: int, u: int, x0_hat: Tensor) -> Tensor:
    """Second order: x0_hat extrapolated linearly in lambda = ln(a / s) to the middle of the step.

    DPM-Solver++ 2M on this path. First order where lambda is infinite, at the start (a = 0), and right after it.
    """
    if previous is None:
        return x0_hat
    before, x0_before = previous
    if float(path.alpha[before]) <= 1e-8:
        return x0_hat
    level = [math.log(float(path.alpha[i] / path.sigma[i])) for i in (before, t, u)]
    return x0_hat + (level[2] - level[1]) / (2 * (level[1] - level[0])) * (x0_hat - x0_before)


@still_takes("process", "path")
def sample(
    denoise: Denoiser,
    y: Tensor,
    path: GaussianPath,
    noise: Noise,
    *,
    solver: str = "ancestral",
    fidelity: float = 0.0,
    resolution: Resolution = OFF,
    guide: Guide | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
    begin: int = 0,
) -> Tensor:
    """Run the reverse process from the path's start to its clean end; returns x0 (B, C, H, W) in its state range.

    denoise: (x_t, y, t) -> x0_hat.
    noise: draw k is the start's for k = 0 and the one before evaluation k otherwise.
    fidelity: f in [0, 1]; every noise drawn is scaled by 1 - f: 0 samples the posterior, 1 takes one path without noise
    (to the posterior's mean where that is Gaussian, or where the denoiser was trained on such paths).
    guide: moves every state that a step arrives at, the result too; at a change of resolution x_u has the new size, x0_hat
    and x_t still have the old one.
    callback: called after each evaluation; returning True cancels (raises Cancelled).
    begin: how many evaluations are left out at the start, as if each had returned y: for kinds of damage that the early, reduced
    evaluations do not correct. The first state is then drawn around y.
    solver: "ancestral" (exact posterior), "ddim", "renoise", "2m" (second order), or the baselines "sde" and "ode".
    Raises InputError for an unknown solver, one that the path does not allow, or a fidelity out of range.
    """
    if solver not in (*SOLVERS, *EULER):
        raise InputError(f"unknown solver {solver!r}; known are {', '.join((*SOLVERS, *EULER))}")
    if not 0.0 <= fidelity <= 1.0:
        raise InputError(f"fidelity must lie in [0, 1], got {fidelity}")
    if solver in EULER:
        from unveil.diffusion.irsde import check

        check(path)
    n = path.steps
    sizes = resolution.sizes(n, (int(y.shape[-2]), int(y.shape[-1])))
    if not 0 <= begin < n:
        raise InputError(f"begin must leave at least one of {n} evaluations, got {begin}")

    def drawn(index: int, like: Tensor) -> Tensor | None:
        # Noise that would be multiplied by 0 is not drawn: at fidelity 1 drawing it took most of the sampler's own time.
        return (1 - fidelity) * noise(index, like) if fidelity < 1 else None

    y_now = resize(y, sizes[begin])
    z = drawn(begin, y_now)
    x = path.start(y_now, z) if begin == 0 else path.forward(y_now, y_now, n - begin, z)
    previous: tuple[int, Tensor] | None = None
    for index, t in enumerate(range(n, 0, -1)):
        if index < begin:
            continue
        u = t - 1
        x0_hat = denoise(x, y_now, t)
        if callback is not None and callback(Progress(index - begin, n - begin, x0_hat)):
            raise Cancelled(f"cancelled after step {index - begin + 1} of {n - begin}")
        if u == 0 and solver not in EULER:
            return x0_hat if guide is None else guide(x0_hat, x0_hat, x, t, u)
        if u > 0 and sizes[index + 1] != sizes[index]:
            y_to = resize(y, sizes[index + 1])
            if resolution.switch == "state":
                z = drawn(index + 1, y_now)
                x_u = resize(step(path, t, u, x, x0_hat, y_now, eta(path, solver, t, u), z), sizes[index + 1])
            else:
                x0_to = transfer(x0_hat, y_now, y_to, resolution.switch)
                z = drawn(index + 1, y_to)
                x_u = step(path, t, u, x0_to, x0_to, y_to, float(path.sigma[u]), z)
            y_now, previous = y_to, None
        elif solver in EULER:
            from unveil.diffusion.irsde import euler, noise_scale

            x_u = euler(path, t, x, x0_hat, y_now, share=1.0 if solver == "sde" else 0.5)
            if solver == "sde":
                x_u = x_u + (1 - fidelity) * noise_scale(path, t, x_u) * noise(index + 1, x_u)
        else:
            amount = eta(path, solver, t, u)
            z = drawn(index + 1, x) if amount > 0 else None
            used = _extrapolated(path, previous, t, u, x0_hat) if solver == "2m" else x0_hat
            x_u = step(path, t, u, x, used, y_now, amount, z)
            previous = (t, x0_hat)
        x = x_u if guide is None else guide(x_u, x0_hat, x, t, u)
    return x  # the Euler solvers take the last step too, where the others return x0_hat


_HERE = threading.local()


class _Asking(TorchFunctionMode):
    def __init__(self, stop: Callable[[], bool]) -> None:
        super().__init__()
        self.stop = stop

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.stop():
            raise Cancelled
        return func(*args, **(kwargs or {}))


@contextmanager
def stoppable(stop: Callable[[], bool]) -> Iterator[None]:
    """Within this context, on this thread, every operation of torch first calls `stop`, and raises Cancelled once it returns True.

    A sampler's callback is called once a step, and a step of a large photograph takes minutes on a CPU; a single operation takes at most
    about a second. This covers whatever is computed inside (tiles, networks, the inner loops of zero-shot methods) and changes no result.
    stop: must be fast, since it is called thousands of times a second.
    """
    before, _HERE.stop = getattr(_HERE, "stop", None), stop
    try:
        with _Asking(stop):
            yield
    finally:
        _HERE.stop = before


def check() -> None:
    """For long work without torch: raises Cancelled within `stoppable` once its `stop` returns True; elsewhere does nothing."""
    stop = getattr(_HERE, "stop", None)
    if stop is not None and stop():
        raise Cancelled
