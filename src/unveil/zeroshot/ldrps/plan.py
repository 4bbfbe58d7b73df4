"""What a run of LD-RPS costs before it starts: the formula, and the price of its own small networks."""

from __future__ import annotations

import torch

from unveil.diffusion.process import Process
from unveil.zeroshot.cost import Counts, Price, flops
from unveil.zeroshot.ldrps.restore import GUIDED, STRIDE, Objective
from unveil.zeroshot.ldrps.settings import LDRPSSettings
from unveil.zeroshot.ldrps.tasks import Task
from unveil.zeroshot.perceptual import Perceptual


def counts(process: Process, run: list[list[int]], settings: LDRPSSettings, text: bool) -> Counts:
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
            late = (t - 1) / process.steps < GUIDED
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


def own_price(task: Task, settings: LDRPSSettings, height: int, width: int) -> tuple[float, float]:
    """FLOPs of one step of F-PAM's learning from one image and of one guidance loss with its gradient, by shapes alone."""
    samples = 2 if settings.free else 1
    y, whole = (torch.zeros(n, 3, height, width, device="meta") for n in (1, samples))
    seen = y[..., : settings.crop or height, : settings.crop or width]
    first = None if settings.original else (torch.eye(3, device="meta"), torch.zeros(3, device="meta"))
    objective = Objective(y, task, settings, Perceptual().to("meta"), (None, None, None), first)

    def guided() -> None:
        objective.learn_residuals(whole)
        leaf = whole[: samples if settings.original else 1].clone().requires_grad_(True)
        torch.autograd.grad(objective(leaf.clone(), 1.0), leaf)  # see cost.Counted.decode
        if settings.trust:
            with torch.no_grad():
                objective(leaf.detach().clone(), 1.0)  # the step's length is tried once

    with torch.enable_grad():
        return flops(lambda: objective.adapter.learn(seen, seen, late=False)), flops(guided)


def priced(price: Price, task: Task, settings: LDRPSSettings, height: int, width: int) -> Price:
    """A prior's price with F-PAM's beside it."""
    learn, guide = own_price(task, settings, height, width)
    return Price(price.denoise, price.decode, price.decode_gradient, price.encode, learn, guide)
