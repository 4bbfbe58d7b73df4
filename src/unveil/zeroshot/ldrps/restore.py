"""LD-RPS: restoration by recurrent posterior sampling of a latent diffusion prior (ICCV 2025, arXiv 2507.00790)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.errors import InputError
from unveil.networks.padding import pad_to_multiple
from unveil.zeroshot.ldrps.captions import caption
from unveil.zeroshot.ldrps.guidance import Guidance
from unveil.zeroshot.ldrps.settings import LDRPSSettings
from unveil.zeroshot.ldrps.tasks import Task, row
from unveil.zeroshot.perceptual import Perceptual, perceptual
from unveil.zeroshot.prior import Prior
from unveil.zeroshot.recurrence import Callback, Report, alone, below, descend, even_grid, published_grid, renoise

LEAST = 64
"""Smallest side in pixels."""

TEXTLESS = ("dehaze", "denoise")
"""Tasks whose published scripts read the text and then drop it."""

Text = tuple[Any, float]


def grids(prior: Prior, settings: LDRPSSettings, rounds: int) -> list[list[int]]:
    """The descents: indices of the prior's process, one list per round. Their steps are what a run costs."""
    whole = (published_grid if settings.original else even_grid)(prior.process, settings.steps)
    part = below(whole, settings.recurrence)
    return [part if settings.begin == "input" else whole, *[part] * rounds]


def restore(
    prior: Prior, y: Tensor, noise: Noise, settings: LDRPSSettings | None = None, callback: Callback | None = None
) -> Tensor:
    """Restore photographs y (B, 3, H, W) in [-1, 1], sides of 64 or more; returns the same shape, unclipped.

    One after the other, each with its own F-PAM, discriminators and noise: a batch and its order change nothing.
    callback: after every evaluation, with the estimates of the whole batch as they stand.
    Raises InputError for a size or a prompt that cannot be used, Cancelled where the callback returns True.
    """
    settings = settings or LDRPSSettings()
    if y.ndim != 4 or y.shape[1] != 3 or min(y.shape[-2:]) < LEAST:
        raise InputError(
            f"LD-RPS restores colour images of {LEAST} x {LEAST} pixels or more, got {tuple(y.shape)}; enlarge it first"
        )
    if not bool(torch.isfinite(y).all()):
        raise InputError("the photograph holds NaN or infinity")
    with torch.inference_mode(False), torch.enable_grad():
        tasks = [row(settings.task, image) for image in y]
        runs = [
            grids(prior, settings, task.rounds if settings.rounds is None else settings.rounds) for _, task in tasks
        ]
        conditions = [_condition(prior, image, name, settings) for image, (name, _) in zip(y, tasks, strict=True)]
        report = Report(callback, sum(len(grid) - 1 for run in runs for grid in run))
        loss = perceptual(settings.vgg, str(y.device))
        shown = y.clone()
        for i, (run, (_, task), condition) in enumerate(zip(runs, tasks, conditions, strict=True)):

            def show(image: Callable[[], Tensor], i: int = i) -> None:
                def current() -> Tensor:
                    shown[i : i + 1] = image()[..., : y.shape[-2], : y.shape[-1]]
                    return shown.clone()

                report(current)

            shown[i : i + 1] = one(
                prior, y[i : i + 1], alone(noise, i, len(y)), settings, task, run, condition, loss, show
            )[0]
    return shown


def one(
    prior: Prior,
    y: Tensor,
    noise: Noise,
    settings: LDRPSSettings,
    task: Task,
    run: list[list[int]],
    condition: Text,
    loss: Perceptual,
    show: Callable[[Callable[[], Tensor]], None],
) -> tuple[Tensor, Guidance]:
    """All rounds of one photograph (1, 3, H, W) in [-1, 1]: what came out, of its size, and the guidance as it ended."""
    h, w = y.shape[-2:]
    y = pad_to_multiple(y.clone(), prior.multiple_of)
    guidance = Guidance(prior, y, task, settings, loss, noise, show)

    def denoise(z: Tensor, t: int) -> Tensor:
        with torch.no_grad():
            return prior.denoise(z, t, *condition)

    with torch.no_grad():
        clean = prior.encode(y).expand(2 if settings.free else 1, -1, -1, -1)
    z = None if settings.begin == "noise" else clean
    for index, grid in enumerate(run):
        eps = torch.cat([noise(2 * index + k, clean[k : k + 1]) for k in range(len(clean))])
        z_t = eps if z is None else renoise(prior.process, z, grid[0], eps)
        z = descend(prior.process, z_t, grid, denoise, guidance, last=z)
        if guidance.over:
            break
    with torch.no_grad():
        return (prior.decode(z[:1]) if z is not None else y)[..., :h, :w], guidance


def _condition(prior: Prior, image: Tensor, task: str, settings: LDRPSSettings) -> Text:
    """The text as the prior takes it, and its weight: without a text there is nothing to weigh, and half the cost is saved."""
    prompt = settings.prompt
    if settings.original and task in TEXTLESS:
        prompt = ""
    elif not prompt and settings.captioner:
        prompt = caption(image, settings.captioner, settings.caption_model)
    return prior.condition(prompt, settings.negative), settings.cfg if prompt or settings.negative else 1.0
