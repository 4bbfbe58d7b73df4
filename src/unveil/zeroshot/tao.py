"""TAO: test-time degradation adaptation (Gou et al., ICML 2024), the ancestor of LD-RPS in pixels; 1000 evaluations of two samples.

A small network psi learns, while the prior samples, to turn clean estimates into pictures like y; its own input is the target
of its content terms, and a discriminator D1 pulls towards y:

    S = w1 MSE(psi(x), x) + w2 P(psi(x), x) + w3 BCE(D1(psi(x)), 1)             an Adam step per trained step, on both samples

and the estimate of the first sample is pulled to where psi of it is y (the second runs free, and shows psi another image):

    x_u = ancestral step - scale grad_{x0_hat} [ MSE(psi(x), y) + a P(psi(x), y) + b BCE(D2(x - y), 1) + c TV(x) ]

Above 0.7 of the path the loss is a share of the MSE alone, over both samples, growing from 0 as t falls from the start; c
counts in the last twentieth. P is VGG-16's perceptual distance. D2 learns to tell x - y (fake) from x - psi(x) (real).
Constants (`TASKS`) as published, one row per degradation, chosen by its authors on representative images.

Ours differs: the scales multiply means over a 256 x 256 image, so here they grow with the number of pixels, and a step that
stands for k of a path of a thousand is pulled k times as far, but never by more than `trust` times the best step on the
gradient's line (`guided_sampling.best_step`), nor beyond the photograph's own noise. The pull is on the estimate, so the state
moves by a_u times it. psi begins as the simplest damage that the task means and is to keep that map of the estimate
(`adapter.simplest`): at random it names another photograph than the one at hand for hundreds of steps. Without VGG weights P
uses seeded random features (`perceptual`). Cross-entropies are taken from logits. psi, D1 and D2 start anew for every
photograph, optimisers included. The weight of the MSE below 0.7 is 1, as in LD-RPS, whose code grew out of this one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.diffusion.noise import Noise
from unveil.diffusion.sampling import Progress
from unveil.errors import InputError
from unveil.util.words import check_known
from unveil.zeroshot.adapter import SLOPE, Adversary, Discriminator, applied, convolutions, cropped, simplest, start
from unveil.zeroshot.guided_sampling import (
    Callback,
    DivergenceGuard,
    GuidedSampling,
    Report,
    alone,
    best_step,
    generator,
    trained_steps,
)
from unveil.zeroshot.ldrps import guess, noise_level
from unveil.zeroshot.losses import Perceptual, perceptual, total_variation
from unveil.zeroshot.operators import Measurement, measured
from unveil.zeroshot.priors import Prior
from unveil.zeroshot.ranges import ANY, check_crop, check_numbers

WARM, SMOOTH, SIZE, MOST = 0.7, 0.05, 3 * 256 * 256, 8
PAIRS = 6


@dataclass(frozen=True)
class TAOTask:
    """One published row.

    adapter: w1, w2, w3. warm: the MSE's weight at WARM, falling to 0 at the start. scale, and perceptual, adversarial and
    smooth (a, b, c): as in the equations. rate: Adam's of D1 and D2.
    """

    adapter: tuple[float, float, float]
    scale: float
    warm: float
    perceptual: float
    adversarial: float
    smooth: float
    rate: float


TASKS = {
    "lowlight": TAOTask((0.02, 0.3, 0.6), 50000, 0.0, 2e-3, 5e-5, 4e-5, 5e-5),
    "dehaze": TAOTask((0.2, 0.5, 0.3), 25000, 2.0, 1e-3, 0.0, 1e-4, 5e-4),
    "denoise": TAOTask((3.0, 2e-3, 1e-3), 6000, 0.5, 0.0, 0.0, 6e-4, 1e-3),
}


@dataclass(frozen=True)
class TaoSettings:
    """task: a row of `TASKS`, or "auto". steps: evaluations of two samples (1000 published). guidance: the scale, None the task's.

    trust: the most that a step may pull, as a share of the best one on the gradient's line; 0 is no bound. first: what psi begins as,
    "simplest" or (published) "random". inner: Adam steps of psi at each evaluation, None one for each step of a path of a thousand, the
    published pace, but 8 at most. crop: side of the random crop that psi and D1 learn from, 0 the whole image (published, on 256 x 256).
    vgg: torchvision's VGG-16 weights, None seeded features. width: of psi and the discriminators (64 as published).
    """

    task: str = "auto"
    steps: int = 50
    guidance: float | None = None
    trust: float = 1.0
    first: str = "simplest"
    inner: int | None = None
    crop: int = 128
    vgg: Path | None = None
    width: int = 16

    def __post_init__(self) -> None:
        check_numbers(self, whole={"steps": 1, "inner": 1, "crop": 0, "width": 1}, real={"guidance": ANY, "trust": ANY})
        check_crop(self.crop)
        if self.task not in ("auto", *TASKS):
            raise InputError(f"tao has no weights for the task {self.task!r}; known are auto, {', '.join(TASKS)}")
        check_known("first", self.first, ("simplest", "random"))
        if self.first == "simplest" and self.width < PAIRS:
            raise InputError(f"width must be at least {PAIRS}, three colours as pairs, got {self.width}")


def adapter(width: int, draw: torch.Generator) -> nn.Sequential:
    """psi: images (B, 3, H, W) in [0, 1] to about [0, 1]; 371,587 parameters at width 64."""
    network = convolutions((3, width, 2 * width, 4 * width))
    start(network, draw)
    return network


@torch.no_grad()
def begin_as(network: nn.Sequential, matrix: Tensor, offset: Tensor) -> None:
    """Make psi x -> matrix @ x + offset on colours, (3, 3) and (3,), exactly; its other channels stay, and count once they are read.

    Each colour passes the rectifiers as a pair of opposite signs, in the first six channels of every layer.
    """
    layers = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    signs = torch.tensor([1.0, -1.0])
    for number, layer in enumerate(layers[:-1]):
        layer.weight[:PAIRS] = 0
        for c in range(3):
            if number == 0:
                layer.weight[2 * c : 2 * c + 2, c, 1, 1] = signs
            else:  # the colour is the difference of its pair, over 1 plus the rectifier's slope
                layer.weight[2 * c : 2 * c + 2, 2 * c : 2 * c + 2, 1, 1] = torch.outer(signs, signs) / (1 + SLOPE)
    last = layers[-1]
    assert last.bias is not None
    last.weight.zero_()
    for c in range(3):
        last.weight[:, 2 * c : 2 * c + 2, 0, 0] = matrix[:, c : c + 1] * signs / (1 + SLOPE)
    last.bias.copy_(offset)


class Pull:
    """What one photograph y (1, 3, H, W) in [0, 1] teaches psi, and how it pulls on the estimates of two samples."""

    def __init__(self, y: Tensor, name: str, settings: TaoSettings, noise: Noise, loss: Perceptual) -> None:
        task = TASKS[name]
        draws = [generator(noise, 2 * settings.steps + k) for k in range(4)]
        self.crop, self.places = settings.crop, draws[3]
        self.y, self.task, self.loss, self.trust = y, task, loss, settings.trust
        self.least = noise_level(y[0]) ** 2  # what is left where psi of the estimate is y without its noise
        self.scale = (task.scale if settings.guidance is None else settings.guidance) * y.numel() / SIZE
        self.psi = adapter(settings.width, draws[0])
        self.first = simplest(name, y) if settings.first == "simplest" else None
        if self.first is not None:
            begin_as(self.psi, *(part.cpu() for part in self.first))
        self.psi.to(y)
        self.optimiser = torch.optim.Adam(self.psi.parameters(), lr=1e-3)
        self.inside, self.outside = (Adversary(Discriminator(settings.width, d).to(y), task.rate) for d in draws[1:3])

    def learn(self, x: Tensor) -> None:
        """One Adam step of psi on estimates x (2, 3, H, W) in [0, 1], and of D1 before it."""
        x, y = cropped(x, self.y, self.crop, self.places)
        phi = self.psi(x)
        self.inside.learn(phi, y)
        w1, w2, w3 = self.task.adapter
        goal = x if self.first is None else applied(*self.first, x)
        loss = w1 * F.mse_loss(phi, goal) + w2 * self.loss(phi, goal) + w3 * self.inside.doubt(phi)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def learn_residuals(self, x: Tensor, time: float) -> None:
        """D2 learns to tell what was taken from the photograph (fake) from what psi adds to the estimate x (2, 3, H, W) in [0, 1]."""
        if self.task.adversarial and time < WARM:
            self.outside.learn(x[:1] - self.y, x[:1] - self.psi(x[:1]))

    def share(self, time: float) -> float:
        """The weight of the MSE: 1, above WARM a part of the task's `warm` that falls to 0 at the start."""
        return self.task.warm * (1 - time) / (1 - WARM) if time >= WARM else 1.0

    def objective(self, x: Tensor, time: float) -> Tensor:
        """The guidance loss at the share `time` of the path, a scalar; x: (2, 3, H, W) in [0, 1]."""
        if time >= WARM:
            return self.share(time) * F.mse_loss(self.psi(x), self.y.expand_as(x))
        x, task = x[:1], self.task
        phi = self.psi(x)
        total = F.mse_loss(phi, self.y)
        if task.perceptual:
            total = total + task.perceptual * self.loss(phi, self.y)
        if task.adversarial:
            total = total + task.adversarial * self.outside.doubt(x - self.y)
        return total + (task.smooth * total_variation(x) if time < SMOOTH else 0.0)

    def pull(self, decode: Callable[[Tensor], Tensor], z: Tensor, image: Tensor, time: float, strides: float) -> Tensor:
        """How far estimates z (2, C, h, w) are to move, for a step that stands for so many trained ones; of their shape.

        decode: z -> images (2, 3, H, W) in [0, 1]; image: decode(z), with the graph. Not bounded where the gradient is not finite.
        """
        with torch.enable_grad():
            loss = self.objective(image, time)
            if not loss.requires_grad:
                return torch.zeros_like(z)
            (slope,) = torch.autograd.grad(self.scale * loss, z)
        slope = slope / self.scale if self.scale else slope
        far = self.scale * strides
        if self.trust and bool(torch.isfinite(slope).all()):
            least = self.share(time) * self.least
            best = best_step(lambda at: self.objective(decode(at), time), z, slope, float(loss.detach()), least)
            far = min(far, self.trust * best)
        return -far * slope if far < float("inf") else torch.zeros_like(z)


@torch.inference_mode(False)
@torch.no_grad()
def restore(prior: Prior, y: Tensor, noise: Noise, settings: TaoSettings, callback: Callback | None = None) -> Tensor:
    """Restore photographs y (B, 3, H, W) in [-1, 1], one after the other; the same shape, unclipped.

    callback: after every evaluation, with the estimates of the whole batch as they stand. Raises InputError as `measured` does.
    """
    whole = measured(prior, y, "identity", 0.0)
    indices, loss = prior.process.uniform_timesteps(settings.steps), perceptual(settings.vgg, str(y.device))
    report, shown = Report(callback, settings.steps * len(y)), y.clone()
    for i in range(len(y)):
        task = _row(settings.task, y[i])
        m = Measurement(
            "identity", whole.operator, whole.y[i : i + 1].expand(2, -1, -1, -1), whole.sigma[:1], whole.size
        )

        def show(progress: Progress, i: int = i) -> None:
            shown[i] = progress.x0_hat[0]
            report(shown.clone)

        shown[i] = _one(prior, m, indices, alone(noise, i, len(y)), task, settings, loss, show)
    return shown


def _row(name: str, y: Tensor) -> str:
    return guess(y, colour=False) if name == "auto" else name


def _one(
    prior: Prior,
    m: Measurement,
    indices: list[int],
    noise: Noise,
    task: str,
    settings: TaoSettings,
    loss: Perceptual,
    show: Callback,
) -> Tensor:
    """One photograph as a pair of samples; its restoration (3, H, W)."""
    path = prior.process
    guard, pull = DivergenceGuard(m.y), torch.zeros(())
    to_image = (m.y[:1] + 1) / 2
    strides = {t: trained_steps(path, t, u) for u, t in pairwise(indices)}

    def twice(k: int, like: Tensor) -> Tensor:
        return torch.cat([noise(2 * k, like[:1]), noise(2 * k + 1, like[1:])])

    def once() -> Tensor:
        teacher = Pull(to_image, task, settings, noise, loss)

        def decode(z: Tensor) -> Tensor:
            return (prior.decode(z) + 1) / 2

        def denoise(x: Tensor, t: int) -> Tensor:
            nonlocal pull
            x0_hat = prior.denoise(x, t)
            time = (t - 1) / path.steps
            with torch.enable_grad():
                z = x0_hat.detach().requires_grad_()
                image = decode(z)
                for _ in range(settings.inner or min(MOST, max(1, round(strides[t])))):
                    teacher.learn(image.detach())
                teacher.learn_residuals(image.detach(), time)
            x0_hat, pull = guard(x0_hat, teacher.pull(decode, z, image, time, strides[t]))
            return x0_hat

        def guide(x_u: Tensor, x0_hat: Tensor, x_t: Tensor, t: int, u: int) -> Tensor:
            return x_u + guard.share * float(path.alpha[u]) * pull

        return GuidedSampling(prior, m, indices, twice, show).run(denoise, "ancestral", guide)

    return guard.run(once)[0]
