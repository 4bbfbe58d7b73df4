"""What zero-shot methods cost in floating-point operations: a prior's parts, and a run of LD-RPS before it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from unveil.diffusion.path import GaussianPath
from unveil.zeroshot.ldrps import GUIDED, STRIDE, LDRPSSettings, LDRPSTask, Objective
from unveil.zeroshot.losses import Perceptual
from unveil.zeroshot.priors import Counts, Prior


@dataclass(frozen=True)
class Price:
    """FLOPs of one of each of `Counts`; a multiplication and an addition are two."""

    denoise: float
    decode: float
    decode_gradient: float
    encode: float
    learn: float = 0.0
    guide: float = 0.0

    def bill(self, counts: Counts) -> float:
        """FLOPs of it all: the sum over parts of count times price."""
        return sum(getattr(self, part) * number for part, number in asdict(counts).items())


def flops(work: Callable[[], Any]) -> float:
    """FLOPs of calling `work`, backward passes included: torch's count of matrix products, convolutions and attention."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def prior_price(prior: Prior, height: int, width: int) -> Price:
    """What one image of a size (multiples of `prior.multiple_of`) costs a prior, by running each part once."""
    z = torch.zeros(1, prior.channels, height // prior.factor, width // prior.factor, device=prior.device)
    x = torch.zeros(1, 3, height, width, device=prior.device)
    condition = prior.condition("")

    def differentiated() -> None:
        leaf = z.clone().requires_grad_(True)
        decoded = prior.decode(leaf.clone())  # see prior.Counted.decode
        torch.autograd.grad(decoded.sum(), leaf)

    with torch.no_grad():
        plain = [
            flops(work)
            for work in (lambda: prior.denoise(z, 1, condition), lambda: prior.decode(z), lambda: prior.encode(x))
        ]
    with torch.enable_grad():
        backwards = flops(differentiated)
    return Price(plain[0], plain[1], backwards, plain[2])


SD21 = Price(denoise=0.804e12, decode=2.515e12, decode_gradient=5.063e12, encode=1.117e12)
"""Stable Diffusion 2.1-base at 512 x 512, counted the same way on tensors without data."""

SD21_TAESD = Price(denoise=0.804e12, decode=0.141e12, decode_gradient=0.283e12, encode=1.117e12)
"""The same with the tiny decoder TAESD."""


def counts(path: GaussianPath, run: list[list[int]], settings: LDRPSSettings, text: bool) -> Counts:
    """One photograph, `run` the grids of its descents (`restore.grids`). text: whether a prompt doubles the evaluations.

    Per step: samples denoised, twice with a text. Per step that is looked at: every sample decoded and F-PAM's
    steps; below share 0.7 of the path the guided sample's decoder runs backwards too, and once more to find the length of the
    pull. And one encoding, one decoding.
    """
    samples = 2 if settings.free else 1
    lead = samples if settings.original else 1
    total = Counts(encode=1, decode=1, learn=settings.warm)
    step = waited = 0
    for grid in run:
        for t, u in zip(grid, grid[1:], strict=False):
            step += 1
            waited += t - u
            total.denoise += samples * (2 if text else 1)
            if step % settings.every and u > 0:
                continue
            late = (t - 1) / path.steps < GUIDED
            total.decode_gradient += lead if late else 0
            total.decode += samples - lead + bool(settings.trust) if late else samples
            total.learn += samples * (settings.inner or max(1, round(waited / STRIDE)))
            total.guide += late
            waited = 0
    return total


def official(rounds: int, steps: int = 450) -> Counts:
    """What the official code does for one image: four evaluations, two decodings forwards and backwards and two unused
    encodings at each of its steps, whether their gradient is used, is nought, or there is no text.
    """
    n = steps + rounds * (steps // 2)
    return Counts(denoise=4 * n, decode_gradient=2 * n, encode=2 * n, learn=2 * n, guide=n)


def own_price(task: LDRPSTask, settings: LDRPSSettings, height: int, width: int) -> tuple[float, float]:
    """FLOPs of one step of F-PAM's learning from one image and of one guidance loss with its gradient, by shapes alone."""
    samples = 2 if settings.free else 1
    y, whole = (torch.zeros(n, 3, height, width, device="meta") for n in (1, samples))
    seen = y[..., : settings.crop or height, : settings.crop or width]
    first = None if settings.original else (torch.eye(3, device="meta"), torch.zeros(3, device="meta"))
    objective = Objective(y, task, settings, Perceptual().to("meta"), (None, None, None), first)

    def guided() -> None:
        objective.learn_residuals(whole)
        leaf = whole[: samples if settings.original else 1].clone().requires_grad_(True)
        torch.autograd.grad(objective(leaf.clone(), 1.0), leaf)  # see prior.Counted.decode
        if settings.trust:
            with torch.no_grad():
                objective(leaf.detach().clone(), 1.0)  # the step's length is tried once

    with torch.enable_grad():
        return flops(lambda: objective.adapter.learn(seen, seen, late=False)), flops(guided)


def priced(price: Price, task: LDRPSTask, settings: LDRPSSettings, height: int, width: int) -> Price:
    """A prior's price with F-PAM's beside it."""
    learn, guide = own_price(task, settings, height, width)
    return Price(price.denoise, price.decode, price.decode_gradient, price.encode, learn, guide)
