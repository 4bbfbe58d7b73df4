"""UP-ZeroIR (Hu, Yang, Liu, Li and Xu, CVPR 2026): guided by how degradation moves the distribution of latents.

Its options are what the paper prints, and a name for everything that it leaves open (docs/upzeroir.md). PCDM, the physically consistent
degradation module, degrades an image given how its latents are distributed; it is learned while the prior samples. J_total and its
gradient guide one image through its descents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.diffusion.noise import Noise
from unveil.errors import InputError, note
from unveil.networks.blocks import zeroed
from unveil.networks.predictor import pad_to_multiple
from unveil.util.words import check_known
from unveil.zeroshot.adapter import Adversary, Discriminator, applied, simplest, start
from unveil.zeroshot.distribution import BOUNDS, DIRECTIONS, GROUPINGS, LOCATIONS, Fit, deg_loss, laws
from unveil.zeroshot.guided_sampling import (
    DIVERGED,
    Callback,
    Report,
    StepState,
    alone,
    best_step,
    descend,
    generator,
    last_share,
    limit,
    renoise,
)
from unveil.zeroshot.iqa import Judge, Refinement, arniqa, marks
from unveil.zeroshot.ldrps import DRAWS, TASKS, LDRPSTask, row
from unveil.zeroshot.losses import colour_cast, exposure, perceptual
from unveil.zeroshot.priors import Prior
from unveil.zeroshot.ranges import ANY, check_numbers


@dataclass(frozen=True)
class UPZeroIRSettings:
    """How UP-ZeroIR runs. The page docs/upzeroir.md argues every choice.

    steps: that the whole path takes; the paper's are 1000. Guidance and the adapter's rate are given per trained step, so that
    fewer steps, each standing for several, push as far.
    rounds: descents after the first, at most (exactly, where there is no judge); each begins at share `recurrence` of the path.
    begin: "noise" (the paper), or "input": the first descent too begins at `recurrence`, from the photograph's own latents.
    guidance: Z, the factor of the loss's gradient for 512 x 512 pixels; other sizes are scaled to push each pixel as much.
    trust: the most that a guided step may pull (gradient "x0"), as a share of the best step on the gradient's line; 0 is no bound.
    gradient: "x0", with respect to the clean estimate, or "xt", through the prior to the noisy state.
    task: a row of LD-RPS's `TASKS`, whose weights of the terms beside J_deg and J_mse are used, or "auto"; weights: another row
    instead. deg: the weight of J_deg, which counts below share `align_below` of the path: above, the estimate is nearly flat, and the
    divergence's slope, which goes with the inverse of its variance, overshoots.
    first: what PCDM begins as: the "simplest" damage that the task means (`adapter.simplest`), or the "identity".
    adapter_rate: Adam's rate for PCDM. embed: whose law PCDM is told, the clean "estimate"'s or the "input"'s.
    grouping, location, direction, bound: of J_deg, see `distribution`.
    judge_every: share of the path between two scores; judge_below: no score, and so no exit, above this share.
    threshold: eta, the rise of the score below which it has converged. rule: "rise" (s_j - s_(j-1) < eta) or "change" (its absolute
    value). patience: scores in a row that must say so. keep: "best" estimate scored, or the "last".
    arniqa: folder of ARNIQA's weights, which then judges, by its regressor of this name; None the judge that was given.
    prompt, negative, cfg: text and its weight, for priors that take one; without a text there is nothing to weigh.
    vgg: torchvision's VGG-16 weights for J_pse, None seeded random features. width: of PCDM and the discriminator, 64 as LD-RPS has it.
    """

    steps: int = 100
    rounds: int = 2
    recurrence: float = 0.5
    begin: str = "noise"
    guidance: float = 40000.0
    trust: float = 1.0
    gradient: str = "x0"
    task: str = "auto"
    weights: LDRPSTask | None = None
    deg: float = 0.01
    align_below: float = 0.4
    first: str = "simplest"
    adapter_rate: float = 1e-5
    embed: str = "estimate"
    grouping: str = "channel"
    location: str = "shift"
    direction: str = "forward"
    bound: str = "log1p"
    judge_every: float = 0.1
    judge_below: float = 0.4
    threshold: float = 0.01
    rule: str = "rise"
    patience: int = 1
    keep: str = "best"
    arniqa: Path | None = None
    regressor: str = "koniq10k"
    prompt: str = ""
    negative: str = ""
    cfg: float = 8.0
    vgg: Path | None = None
    width: int = 16

    def __post_init__(self) -> None:
        choices = {
            "begin": ("noise", "input"), "gradient": ("x0", "xt"), "task": ("auto", *TASKS), "first": ("simplest", "identity"),
            "embed": ("estimate", "input"), "grouping": GROUPINGS, "location": LOCATIONS, "direction": DIRECTIONS, "bound": BOUNDS,
            "rule": ("rise", "change"), "keep": ("best", "last"),
        }  # fmt: skip
        for name, known in choices.items():
            check_known(name, getattr(self, name), known)
        limits: dict[str, tuple[float, float]] = dict.fromkeys(("guidance", "trust", "deg", "adapter_rate"), ANY)
        check_numbers(self, whole={"steps": 1, "patience": 1, "width": 1, "rounds": 0}, real=limits)
        for name in ("recurrence", "judge_every", "judge_below", "align_below"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} is a share of the path in (0, 1], got {getattr(self, name)}")


class PCDM(nn.Module):
    """phi(x) = h2(m) + p m with m = (1 + g) h1(x) + b and [g, b] = l(ln alpha, ln sigma); images (1, 3, H, W) in [0, 1] to the same.

    h1(x) = A x + o + conv1x1(leaky_relu(conv3x3(x))) and h2, four convolutions, have LD-RPS's widths: 64 and 64, 128, 256. A and o are a
    fixed map of colours, the identity unless `begin_as` names another. Every branch ends in a layer of zeros and p starts at 1, so
    that a new module is that map. Weights that the optimiser moves by 1e-5 a step then say something from the first step on, where a
    random network would stay random.

    groups: how many laws the latents are described by: l takes 2 * groups numbers. width: channels of the first layers.
    generator: of the random first layers.
    """

    matrix: Tensor
    offset: Tensor

    def __init__(self, groups: int, generator: torch.Generator, width: int = 64) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * groups, 6)
        self.h1 = nn.ModuleList([nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 1)])
        widths = (3, width, 2 * width, 4 * width)
        self.h2 = nn.ModuleList([nn.Conv2d(i, o, 3, padding=1) for i, o in zip(widths, widths[1:], strict=False)])
        self.h2.append(nn.Conv2d(4 * width, 3, 1))
        self.skip = nn.Parameter(torch.ones(1, 3, 1, 1))
        self.begin_as(torch.eye(3), torch.zeros(3))
        start(self, generator)
        for last in (self.linear, self.h1[-1], self.h2[-1]):
            zeroed(last)

    def begin_as(self, matrix: Tensor, offset: Tensor) -> None:
        """Degrade first by matrix @ x + offset on colours, (3, 3) and (3,); what is learnt comes on top."""
        self.register_buffer("matrix", matrix, persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, x: Tensor, law: Fit) -> Tensor:
        context = torch.cat([law.alpha.log(), law.sigma.log()], 1).to(x)
        gain, offset = self.linear(context)[:, :, None, None].chunk(2, 1)
        m = (1 + gain) * self._through(self.h1, x, applied(self.matrix, self.offset, x)) + offset
        return self._through(self.h2, m, self.skip * m)

    @staticmethod
    def _through(layers: nn.ModuleList, x: Tensor, beside: Tensor) -> Tensor:
        for layer in list(layers)[:-1]:
            x = F.leaky_relu(layer(x))
        return beside + layers[-1](x)


class Objective:
    """J_total of estimates of one photograph, whose own `latents` (1, C, h, w) are encoded once.

    y: the photograph (1, 3, H, W) in [-1, 1], sides multiples of the prior's. task: the weights of the terms beside J_deg.
    rate: of Adam on PCDM, per step. value: of the last step.
    """

    def __init__(
        self, prior: Prior, y: Tensor, task: LDRPSTask, settings: UPZeroIRSettings, rate: float, noise: Noise
    ) -> None:
        self.prior, self.y, self.task, self.settings, self.value = prior, (y + 1) / 2, task, settings, float("nan")
        with torch.no_grad():
            self.latents = prior.encode(y)
            self.target = laws(self.latents, settings.grouping, settings.location)
        self.pcdm = PCDM(self.target.alpha.shape[1], generator(noise, DRAWS), settings.width)
        if settings.first == "simplest":
            self.pcdm.begin_as(*simplest(task.damage, self.y.cpu()))
        self.pcdm.to(y.device)
        self.optimiser = torch.optim.Adam(self.pcdm.parameters(), lr=rate)
        self.distance = perceptual(settings.vgg, str(y.device)) if task.perceptual else None
        self.adversary = None
        if task.adversarial:
            judge = Discriminator(settings.width, generator(noise, DRAWS + 1)).to(y.device)
            self.adversary = Adversary(judge, task.rates[1])

    def context(self, z0_hat: Tensor) -> Fit:
        """PCDM's condition, a distribution: of z0_hat (1, C, h, w), or the photograph's. No gradient flows through it."""
        if self.settings.embed == "input":
            return self.target
        with torch.no_grad():
            return laws(z0_hat, self.settings.grouping, self.settings.location)

    def fidelity(self, phi: Tensor, aligned: bool = True) -> Tensor:
        """J_mse, J_pse and, where `aligned`, J_deg, weighted, of the re-degraded estimate phi (1, 3, H, W) in [0, 1]; a scalar."""
        value = (phi - self.y).square().mean()
        if aligned and self.settings.deg:
            z_phi = self.prior.encode(2 * phi - 1)
            how = {k: getattr(self.settings, k) for k in ("grouping", "location", "direction", "bound")}
            value = value + self.settings.deg * deg_loss(z_phi, self.target, **how).sum()
        if self.distance is not None:
            value = value + self.task.perceptual * self.distance(phi, self.y)
        return value

    def quality(self, x: Tensor) -> Tensor:
        """Q, weighted: exposure and colour of the estimate x (1, 3, H, W) in [0, 1] itself; a scalar."""
        return self.task.exposure * exposure(x, self.task.patch) + self.task.colour * colour_cast(x).sum()

    def adversarial(self, x: Tensor) -> Tensor:
        """J_adv, weighted: what restoration took away, x - y, should pass for what PCDM adds, x - phi(x); a scalar."""
        return x.new_zeros(()) if self.adversary is None else self.task.adversarial * self.adversary.doubt(x - self.y)

    def total(self, x: Tensor, phi: Tensor, share: float) -> Tensor:
        """J_total of the estimate x and what PCDM makes of it, both (1, 3, H, W) in [0, 1]; a scalar."""
        value = self.fidelity(phi, share <= self.settings.align_below) + self.adversarial(x)
        return value + self.quality(x) if share <= self.task.quality else value

    def at(self, z0_hat: Tensor, share: float) -> Tensor:
        """J_total of an estimate (1, C, h, w), from which nothing is learnt."""
        x = (self.prior.decode(z0_hat) + 1) / 2
        return self.total(x, self.pcdm(x, self.context(z0_hat)), share)

    def pull(self, z0_hat: Tensor, wrt: Tensor | None, scale: float, share: float) -> tuple[Tensor, Tensor | None]:
        """The estimate's image (1, 3, H, W) in [-1, 1], detached, and the gradient of scale * J_total with respect to `wrt`.

        Where that is the estimate itself, the gradient's length is at most `trust` times the step that makes J_total least on its line.

        wrt: z0_hat itself, or the state that it was computed from; None asks for no gradient, and the decoder is not
        differentiated. share: of the path that is still ahead. The scale stands before the backward pass, where in half
        precision it keeps small gradients. The same pass moves PCDM one step towards the photograph (Adam sees the scale
        in its epsilon only); a step whose gradient is not finite is left out.
        """
        with torch.set_grad_enabled(wrt is not None):
            x = (self.prior.decode(z0_hat) + 1) / 2
        with torch.enable_grad():
            phi = self.pcdm(x, self.context(z0_hat))
            if self.adversary is not None and wrt is not None:
                self.adversary.learn(x - self.y, x - phi)
            value = self.fidelity(phi, share <= self.settings.align_below) if wrt is None else self.total(x, phi, share)
            own = list(self.pcdm.parameters())
            asked = own if wrt is None else [*own, wrt]
            grads = list(torch.autograd.grad(value if wrt is None else scale * value, asked))
        self.value = float(value.detach())
        pulled = grads.pop() if wrt is not None else None
        if pulled is not None and wrt is z0_hat and self.settings.trust and bool(torch.isfinite(pulled).all()):
            best = best_step(lambda z: self.at(z, share), z0_hat, pulled / scale, self.value)
            pulled = pulled * min(1.0, self.settings.trust * best / scale)
        if all(bool(torch.isfinite(g).all()) for g in grads):
            for parameter, grad in zip(own, grads, strict=True):
                parameter.grad = grad
            self.optimiser.step()
        return 2 * x.detach() - 1, pulled


PIXELS = 512 * 512
"""The size for which the guidance is given: Stable Diffusion's own."""

_HALVINGS = 4


class Descents:
    """One image through its descents, each from noise to an estimate; draw k of the image's noise begins descent k."""

    def __init__(
        self,
        prior: Prior,
        y: Tensor,
        noise: Noise,
        settings: UPZeroIRSettings,
        condition: tuple[Any, float],
        show: Callable[[Tensor], None],
        judge: Judge | None,
    ) -> None:
        self.prior, self.noise, self.settings, self.condition, self.show = prior, noise, settings, condition, show
        self.size, self.total = y.shape[-2:], prior.process.steps
        padded = pad_to_multiple(y, prior.multiple_of)
        # A step of a coarse grid stands for several of the trained ones, and pushes as far as they would.
        stride = self.total / settings.steps
        self.push = settings.guidance * stride * padded[0, 0].numel() / PIXELS
        self.task = settings.weights or row(settings.task, y[0])[1]
        self.objective = Objective(prior, padded, self.task, settings, settings.adapter_rate, noise)
        self.refinement = Refinement(judge, settings.threshold, settings.rule, settings.patience) if judge else None
        self.latest, self.ended, self.halved = y, False, 0
        self.whole: Tensor | None = None
        self.leaf = y  # of the graph through the prior, where the gradient takes that way

    def __call__(self, grids: list[list[int]]) -> Tensor:
        z = self.objective.latents
        last = None if self.settings.begin == "noise" else z
        for k, grid in enumerate(grids):
            eps = self.noise(k, z)
            z = eps if last is None else renoise(self.prior.process, z, grid[0], eps)
            self.marks = marks(grid, self.total, self.settings.judge_every, self.settings.judge_below)
            if self.refinement is not None:
                self.refinement.begin()
            z = descend(self.prior.process, z, grid, self._denoise, self._guide, last)
            if self.ended:
                break
            self._see(self.prior.decode(z))
            last, self.whole = z, self.latest
            if self.refinement is not None and self.refinement.finished(self.latest):
                break
        kept = self.refinement.best if self.refinement is not None and self.settings.keep == "best" else None
        return self.latest if kept is None else kept

    def _denoise(self, z: Tensor, t: int) -> Tensor:
        with torch.set_grad_enabled(self.settings.gradient == "xt"):
            self.leaf = z.detach().requires_grad_(self.settings.gradient == "xt")
            z0_hat = self.prior.denoise(self.leaf, t, *self.condition)
        if not bool(torch.isfinite(z0_hat).all()):
            self._stop()  # `descend` says why
        return z0_hat

    def _guide(self, moment: StepState) -> Tensor | None:
        with torch.enable_grad():
            if self.settings.gradient == "xt":
                wrt, z0_hat = self.leaf, limit(moment.z0_hat)
            else:
                wrt = z0_hat = moment.limited.detach().requires_grad_()
        if self.push == 0:
            wrt = None
        image, pulled = self.objective.pull(z0_hat, wrt, self.push, moment.t / self.total)
        good = self._see(image)
        self.show(self.latest)
        if not good:
            return self._fail("the estimate diverged")
        if self.refinement is not None and moment.t in self.marks and self.refinement.converged(self.latest):
            self.ended = True
            return None
        if pulled is None:
            return moment.z_u
        # A pull on the estimate is one on the state times a_u, as the noise in it stays.
        return self._pushed(
            moment.z_u, pulled if wrt is self.leaf else float(self.prior.process.alpha[moment.u]) * pulled
        )

    def _pushed(self, z_u: Tensor, pulled: Tensor) -> Tensor | None:
        """z_u moved against `pulled`; where that is not finite, left as it is, and pushed half as much from then on."""
        if bool(torch.isfinite(pulled).all()):
            self.halved = 0
            return z_u - pulled
        self.halved += 1
        self.push /= 2
        return z_u if self.halved < _HALVINGS else self._fail(f"the guidance was not finite, halved {_HALVINGS} times")

    def _see(self, image: Tensor) -> bool:
        """Keep an image around [-1, 1], cut to the photograph's size, as the latest estimate; False where it is none."""
        good = bool((image.abs() < DIVERGED).all())
        if good:
            self.latest = image[..., : self.size[0], : self.size[1]]
        return good

    def _fail(self, reason: str) -> None:
        note(f"{reason}; the last good estimate is kept")
        self._stop()

    def _stop(self) -> None:
        """End with the last whole descent's result, or without one with the latest estimate; at first that is the photograph."""
        self.ended = True
        self.latest = self.latest if self.whole is None else self.whole


def restore(
    prior: Prior,
    y: Tensor,
    noise: Noise,
    settings: UPZeroIRSettings | None = None,
    callback: Callback | None = None,
    *,
    judge: Judge | None = None,
) -> Tensor:
    """Restore photographs y (B, 3, H, W) in [-1, 1]; returns the same shape, unclipped. Image by image: a batch changes nothing.

    judge: what scores estimates, unless the settings name ARNIQA's weights; without one every round is run and the last result returned.
    callback: after every evaluation; `steps` is the most there can be, and an image that exits early skips the rest of its own.
    Raises Cancelled where the callback returns True, InputError for what is no finite colour image or a prompt that the prior cannot
    take, ModelError where the prior's very first answer is not finite or ARNIQA's
    files are not there.
    """
    settings = settings or UPZeroIRSettings()
    if y.ndim != 4 or y.shape[1] != 3 or not bool(torch.isfinite(y).all()):
        raise InputError(f"UP-ZeroIR restores finite colour images (B, 3, H, W), got {tuple(y.shape)} or NaN in it")
    if settings.arniqa is not None:
        judge = arniqa(settings.arniqa, settings.regressor)
    with torch.inference_mode(False), torch.no_grad():
        y = y.clone()  # a tensor made in inference mode could not be differentiated by
        text = settings.prompt or settings.negative
        condition = prior.condition(settings.prompt, settings.negative), settings.cfg if text else 1.0
        grids = _grids(prior, settings)
        each = sum(len(grid) - 1 for grid in grids)
        report = Report(callback, each * len(y))
        shown = y.clone()
        for i in range(len(y)):
            report.index = i * each

            def show(image: Tensor, i: int = i) -> None:
                report(lambda: torch.cat([shown[:i], image, shown[i + 1 :]]))

            run = Descents(prior, y[i : i + 1], alone(noise, i, len(y)), settings, condition, show, judge)
            shown[i : i + 1] = run(grids)
        return shown


def _grids(prior: Prior, settings: UPZeroIRSettings) -> list[list[int]]:
    """The indices of the first descent and of every later one."""
    whole = prior.process.uniform_timesteps(settings.steps)[::-1]
    later = last_share(whole, settings.recurrence)
    return [whole if settings.begin == "noise" else later] + settings.rounds * [later]
