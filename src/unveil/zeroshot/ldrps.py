"""LD-RPS: restoration by recurrent posterior sampling of a latent diffusion prior (ICCV 2025, arXiv 2507.00790).

Its options, its published constants as a table of one row per kind of degradation, and a guess at the row of a photograph: LD-RPS calls
itself blind to the task, but in its code losses, weights and rates differ by task. The guidance loss says how badly an estimate,
degraded again by the network F-PAM, explains the photograph, and how natural it looks. Each descent has two stages: F-PAM is learned in
both, and guides the estimate in the second (section 3.3). Rounds repeat the descent from a lower noise level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unveil.diffusion.noise import Noise
from unveil.errors import InputError, note
from unveil.networks.predictor import pad_to_multiple
from unveil.util.words import check_known
from unveil.zeroshot.adapter import FPAM, Adapter, Adversary, Discriminator, applied, cropped, simplest
from unveil.zeroshot.guided_sampling import (
    Callback,
    Report,
    StepState,
    alone,
    best_step,
    descend,
    generator,
    last_share,
    leading_timesteps,
    limit,
    renoise,
)
from unveil.zeroshot.losses import Perceptual, colour_cast, exposure, perceptual
from unveil.zeroshot.priors import Prior
from unveil.zeroshot.ranges import ANY, SHARE, check_crop, check_numbers


@dataclass(frozen=True)
class LDRPSTask:
    """One row. Losses are means over pixels; `scale` multiplies their gradient as it stands for images of 512 x 512.

    adapter: weights of MSE, perceptual and adversarial loss in what F-PAM learns. scale: Z. perceptual, adversarial,
    exposure, colour: weights in the guidance loss beside its MSE of 1. quality: exposure and colour count below this
    share of the path. patch: side in pixels for exposure. rates: Adam's, of F-PAM's discriminator and the guidance's.
    rounds: recurrences after the first descent, the best of the paper's ablation. damage: what F-PAM starts as (`adapter.simplest`); ours.
    """

    adapter: tuple[float, float, float]
    scale: float
    perceptual: float
    adversarial: float
    exposure: float
    colour: float
    quality: float
    patch: int
    rates: tuple[float, float]
    rounds: int
    damage: str = ""


TASKS = {
    "lowlight": LDRPSTask((0.02, 0.3, 0.8), 80000, 2e-3, 5e-5, 1e-2, 1e-2, 0.1, 32, (4e-5, 4e-5), 2, "lowlight"),
    "dehaze": LDRPSTask((0.2, 0.5, 0.2), 25000, 5e-3, 0, 1e-2, 1e-3, 0.15, 64, (1e-4, 2e-5), 3, "dehaze"),
    "denoise": LDRPSTask((3.0, 2e-3, 1e-3), 40000, 0, 0, 0, 0, 0, 64, (1e-4, 1e-3), 1),
    # Nothing was published for colour. This row is dehazing's without the quality terms: a grey photograph has the
    # right exposure, and pulling the channels' means together would take its colours away again.
    "colorize": LDRPSTask((0.2, 0.5, 0.2), 25000, 5e-3, 0, 0, 0, 0, 64, (1e-4, 2e-5), 2, "colorize"),
}


def noise_level(x: Tensor) -> float:
    """Standard deviation of white noise in an image (3, H, W) in [0, 1]: the median of its diagonal Haar detail / 0.6745."""
    h, w = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    x = x[..., :h, :w]
    detail = (x[..., ::2, ::2] - x[..., ::2, 1::2] - x[..., 1::2, ::2] + x[..., 1::2, 1::2]) / 2
    return float(detail.abs().median()) / 0.6745


def guess(y: Tensor, colour: bool = True) -> str:
    """The row for a photograph (3, H, W) in [-1, 1]: the first that fits of grey, dark and noisy, else that of haze.

    colour: whether a grey photograph is one to be coloured, where the method can.

    A guess by four numbers, not a classifier: name the task where you know it.
    """
    x = (y.detach().float().cpu() + 1) / 2
    if colour and float((x - x.mean(0)).abs().mean()) < 2 / 255:
        return "colorize"
    if float(x.mean()) < 0.25:
        return "lowlight"
    return "denoise" if noise_level(x) > 0.03 else "dehaze"


def row(name: str, y: Tensor) -> tuple[str, LDRPSTask]:
    """The named row, or the guessed one for "auto"; y: (3, H, W) in [-1, 1]. Raises InputError for an unknown name."""
    check_known("task", name, ("auto", *TASKS))
    name = guess(y) if name == "auto" else name
    return name, TASKS[name]


@dataclass(frozen=True)
class LDRPSSettings:
    """How LD-RPS runs. docs/ldrps.md argues every default and measures its cost.

    steps: evaluations of the first descent. Guidance is given per two trained steps, the published stride, so that fewer
    steps, each standing for several, push as far.
    rounds: recurrences after the first descent, None the task's; each begins at share `recurrence` of the steps.
    begin: "noise" (published), or "input": the first descent too begins at `recurrence`, from the photograph's own latents.
    task: a row of `tasks.TASKS`, or "auto". guidance: Z, None the task's. prompt, negative, cfg: text and its weight.
    captioner: writes the prompt where none is given: "" none, an http(s) URL of an OpenAI-compatible endpoint, or a folder
    or hub id of a transformers image-to-text model. caption_model: the model's name at the endpoint.
    every: look at each `every`-th step, for as many steps at once; between them only the prior runs.
    warm: Adam steps of F-PAM on the photograph itself before the first evaluation; none are needed where it begins as the
    simplest damage. inner: its steps at each step that is looked at, None one per two trained steps, the
    published pace. crop: side of the random crop that it learns from, 0 the whole image.
    trust: the most that a guided step may pull, as a share of the best step on the gradient's line; 0 is no bound.
    free: keep a second, unguided descent beside the first for F-PAM to learn from (published).
    vgg: torchvision's VGG-16 weights for the perceptual losses, None seeded random features. width: of F-PAM and
    discriminators, 64 as published; 6 or more unless original.
    original: the published order, bugs included: F-PAM random at first, pulls on the estimate added to the state as they are,
    guidance from an estimate that mixes two steps, no text for hazy and noisy photographs, Stable Diffusion's spacing without a
    clean end, weights of guidance that depend on the size.
    """

    steps: int = 50
    rounds: int | None = None
    recurrence: float = 0.5
    begin: str = "noise"
    task: str = "auto"
    guidance: float | None = None
    prompt: str = ""
    negative: str = ""
    cfg: float = 8.0
    captioner: str = ""
    caption_model: str = ""
    every: int = 1
    warm: int = 0
    inner: int | None = 1
    crop: int = 128
    trust: float = 1.0
    free: bool = True
    vgg: Path | None = None
    width: int = 16
    original: bool = False

    def __post_init__(self) -> None:
        whole = {"steps": 1, "every": 1, "inner": 1, "width": 1, "warm": 0, "crop": 0, "rounds": 0}
        check_numbers(self, whole=whole, real=dict.fromkeys(("guidance", "trust", "cfg"), ANY) | {"recurrence": SHARE})
        check_crop(self.crop)
        check_known("task", self.task, ("auto", *TASKS))
        if self.width < 6 and not self.original:
            raise InputError(f"width must be at least 6, three colours as pairs, got {self.width}")
        if self.recurrence == 0:
            raise InputError(f"recurrence is a share of the steps in (0, 1], got {self.recurrence}")
        if self.begin not in ("noise", "input"):
            raise InputError(f"begin must be 'noise' or 'input', got {self.begin!r}")


def published(task: str = "auto", **changes: object) -> LDRPSSettings:
    """What the official code runs: 450 steps, every one guided, on the whole image."""
    return replace(
        LDRPSSettings(steps=450, task=task, warm=0, inner=1, crop=0, trust=0.0, width=64, original=True), **changes
    )  # type: ignore[arg-type]


Draws = tuple[torch.Generator | None, torch.Generator | None, torch.Generator | None]


class Objective:
    """L = MSE(phi, y) + a P(phi, y) + b BCE(D2(x - y), 1) + c Exp(x) + d Col(x), phi = F-PAM(x), and all that is learnt for it.

    y: the photograph (1, 3, H, W) in [0, 1]. draws: of F-PAM's, its discriminator's and D2's first weights. first: the map of colours
    that F-PAM begins as and whose images it is to keep (`simplest`); None begins at random and keeps estimates, as published.
    """

    def __init__(
        self,
        y: Tensor,
        task: LDRPSTask,
        settings: LDRPSSettings,
        perceptual: Perceptual,
        draws: Draws,
        first: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.y, self.task, self.perceptual = y, task, perceptual
        fpam = FPAM(settings.width, draws[0]).to(y.device)
        inside, outside = (Discriminator(settings.width, draw).to(y.device) for draw in draws[1:])
        keep = None
        if first is not None:
            fpam.begin_as(*first)
            keep = partial(applied, *first)
        self.adapter = Adapter(fpam, Adversary(inside, task.rates[0]), task.adapter, perceptual, keep)
        self.adversary = Adversary(outside, task.rates[1])

    def learn_residuals(self, estimates: Tensor) -> None:
        """D2 learns to tell what was taken from the photograph (fake) from what F-PAM adds to estimates (real).

        estimates: (1 or 2, 3, H, W) in [0, 1], the guided one first. Where the task has no such term, nothing is learnt.
        """
        if self.task.adversarial:
            with torch.no_grad():
                added = estimates - self.adapter.network(estimates)
            self.adversary.learn(estimates[:1] - self.y, added)

    def __call__(self, x: Tensor, time: float) -> Tensor:
        """The loss of estimates x (1 or 2, 3, H, W) in [0, 1] at share `time` of the path: a scalar, of the first alone."""
        task, phi, x = self.task, self.adapter.network(x)[:1], x[:1]
        loss = F.mse_loss(phi, self.y)
        if task.perceptual:
            loss = loss + task.perceptual * self.perceptual(phi, self.y)
        if task.adversarial:
            loss = loss + task.adversarial * self.adversary.doubt(x - self.y)
        if time < task.quality:
            loss = loss + task.exposure * exposure(x, task.patch) + task.colour * colour_cast(x).mean()
        return loss


GUIDED = 0.7
"""Share of the path below which there is guidance; above, only F-PAM learns."""

STRIDE, SIZE = 2, 3 * 512 * 512
"""What the published scales are given for: trained steps per step, values per image."""

DRAWS = 1000
"""Draws of noise from here on are F-PAM's, the discriminators' and the crops'; the descents' are below."""


def mixed_estimate(a_t: float, m: StepState) -> Tensor:
    """The published estimate: read from the state already moved to u with the noise found at t, then limited.

    At the published stride of two steps it differs from z0_hat by at most 1 %; at a stride of fifty by 28 %.
    """
    return limit((m.z_u - (m.z_t - a_t * m.z0_hat)) / a_t)


class Guidance:
    """The guide of one photograph's descents. Sample 0 of the state is guided, sample 1 (if kept) runs free.

    y: the photograph (1, 3, H, W) in [-1, 1]. show: told the current estimate as an image (1, 3, H, W) in [-1, 1].
    image, loss: of the last step that was looked at. over: whether guidance broke down, and the rounds should end.
    """

    def __init__(
        self,
        prior: Prior,
        y: Tensor,
        task: LDRPSTask,
        settings: LDRPSSettings,
        perceptual: Perceptual,
        noise: Noise,
        show: Callable[[Callable[[], Tensor]], None],
    ) -> None:
        self.prior, self.task, self.settings, self.show = prior, task, settings, show
        fpam, inside, outside = (generator(noise, DRAWS + i) for i in range(3))
        photograph = (y + 1) / 2
        first = None if settings.original else simplest(task.damage, photograph)
        self.objective = Objective(photograph, task, settings, perceptual, (fpam, inside, outside), first)
        self.crops = generator(noise, DRAWS + 3)
        self.image, self.loss, self.waited, self.count = y, float("nan"), 0, 0
        self.over = False
        for _ in range(settings.warm):
            self._learn(self.objective.y, late=False)

    def __call__(self, m: StepState) -> Tensor | None:
        """One step: F-PAM learns from the estimates; in the second stage sample 0 moves against the loss's gradient."""
        self.count += 1
        self.waited += m.t - m.u
        z_u = m.z_u
        if self.count % self.settings.every == 0 or m.u == 0:
            mixed = self.settings.original
            pulled = self.pull(mixed_estimate(float(self.prior.process.alpha[m.t]), m) if mixed else m.limited, m.t)
            if pulled is None:
                self.over = True
                return None
            # Published as it is; a pull on the estimate is one on the state times a_u, as the noise in it stays.
            z_u, self.waited = z_u + (1.0 if mixed else float(self.prior.process.alpha[m.u])) * pulled, 0
        self.show(lambda: self.image)
        return z_u

    def pull(self, z0: Tensor, t: int) -> Tensor | None:
        """How far estimates z0 (1 or 2, C, h, w) made at index t are to move, of their shape; only the first does.

        F-PAM and the discriminators learn from them on the way. None where nothing finite came of it.
        """
        time = (t - 1) / self.prior.process.steps
        late = time < GUIDED
        z0 = z0.detach()
        lead = len(z0) if self.settings.original else 1  # published: the free sample too, for a gradient of nought
        z = z0[:lead].clone().requires_grad_(late)
        x = self._decode(z)
        with torch.no_grad():
            estimates = torch.cat([x.detach(), self._decode(z0[lead:])]) if len(z0) > lead else x.detach()
        if not bool(torch.isfinite(estimates).all()):
            return None
        self.image = 2 * estimates[:1] - 1
        for _ in range(self.settings.inner or max(1, round(self.waited / STRIDE))):
            self._learn(estimates, late)
        if not late:
            return torch.zeros_like(z0)
        self.objective.learn_residuals(estimates)
        pulled = self._gradient(z, x, time)
        return None if pulled is None else torch.cat([pulled, torch.zeros_like(z0[lead:])])

    def _decode(self, z: Tensor) -> Tensor:
        return (self.prior.decode(z) + 1) / 2

    def _learn(self, estimates: Tensor, late: bool) -> None:
        self.objective.adapter.learn(*cropped(estimates, self.objective.y, self.settings.crop, self.crops), late)

    def _scale(self) -> float:
        scale = self.task.scale if self.settings.guidance is None else self.settings.guidance
        return scale if self.settings.original else scale * self.objective.y.numel() / SIZE * self.waited / STRIDE

    def _gradient(self, z: Tensor, x: Tensor, time: float) -> Tensor | None:
        """-Z times the loss's gradient in z (1 or 2, C, h, w), x its image; once more with half the Z where it is not finite.

        The factor stands before the backward pass, where in half precision it keeps small gradients and overflows large
        ones. None where neither was finite.
        """
        for factor in (1.0, 0.5):
            loss, scale = self.objective(x, time), factor * self._scale()
            (slope,) = torch.autograd.grad(scale * loss, z)
            if bool(torch.isfinite(slope).all()):
                self.loss = float(loss.detach())
                return self._bounded(z, -slope, scale, time)
            note(
                "the guidance was not finite; "
                + ("half of it is tried" if factor == 1 else "the last good estimate is kept"),
            )
            x = self._decode(z)
        return None

    def _bounded(self, z: Tensor, pull: Tensor, scale: float, time: float) -> Tensor:
        """A pull of at most `trust` times the best one on its line."""
        if not self.settings.trust or not scale:
            return pull
        best = best_step(lambda at: self.objective(self._decode(at), time), z, -pull / scale, self.loss)
        return pull * min(1.0, self.settings.trust * best / scale)


LEAST = 64
"""Smallest side in pixels."""

START = 0.9
"""Share of the path at which the first descent begins, as published."""

TEXTLESS = ("dehaze", "denoise")
"""Tasks whose published scripts read the text and then drop it."""

Text = tuple[Any, float]


def grids(prior: Prior, settings: LDRPSSettings, rounds: int) -> list[list[int]]:
    """The descents: indices of the prior's process, one list per round. Their steps are what a run costs."""
    if settings.original:
        whole = leading_timesteps(prior.process, settings.steps)
    else:
        whole = prior.process.uniform_timesteps(settings.steps, START)[::-1]
    part = last_share(whole, settings.recurrence)
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
    task: LDRPSTask,
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
        from unveil.zeroshot.captions import caption

        prompt = caption(image, settings.captioner, settings.caption_model)
    return prior.condition(prompt, settings.negative), settings.cfg if prompt or settings.negative else 1.0
