"""GDP: generative diffusion prior (Fei et al., CVPR 2023). Known operators and blind low light; 1000 evaluations.

    x_u = ancestral step(x_t, x0_hat) - scale grad_{x0_hat} MSE(A x0_hat, y)

with the gradient at x0_hat and not through the network (the variant that the authors recommend). The published scales (4000 for
missing pixels, 2000 for super-resolution, 6000 for blur and colour, 80000 for low light) multiply a mean over the 256 x 256
image in [0, 1]; what they are per pixel is `WEIGHT`: the share by which one step moves x0_hat towards y where A keeps it
whole. Here

    x_u = ancestral step - w A^T (A x0_hat - y) / max(s)^2,       w = 1 - (1 - WEIGHT)^k

for a step that stands for k of a path of a thousand, so that it means the same at any size and any number of steps, and
never overshoots.

Blind low light (operator "light"): y = f x + M in [0, 1], f one number and M one per pixel for each image, both fitted by
plain gradient descent on the mean squared error, rate 1, once per evaluation, from N(0, 1) / 100 and U(0, 1e-4). As
published: the exposure, colour and smoothness terms of the paper are computed by its code and not used, and M hardly moves
(a step is 1e-5 of the residual at 256 x 256), so it is f that is fitted.

Ours differs: f and M belong to one image (the original shares them in a batch, which turns batches of over four black);
the whole image is one state, not 256-pixel patches; the ancestral variance is the schedule's, not a learned one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.zeroshot.guided_sampling import Callback, DivergenceGuard, GuidedSampling, trained_steps
from unveil.zeroshot.operators import measured
from unveil.zeroshot.priors import Prior
from unveil.zeroshot.ranges import SHARE, check_numbers

# scale / (2 n), n the values in the mean: a 256 x 256 image's (248 x 248 for blur, whose original convolution keeps no border).
WEIGHT = {
    "mask": 4000 / (2 * 3 * 256**2),
    "identity": 4000 / (2 * 3 * 256**2),
    "downsample": 2000 / (2 * 3 * 256**2),
    "blur": 6000 / (2 * 3 * 248**2),
    "grey": 6000 / (2 * 3 * 256**2),
    "light": 80000 / (2 * 3 * 256**2),
}


@dataclass(frozen=True)
class GdpSettings:
    """operator: see `measured`, or "light". noise: of no effect here. steps: evaluations. weight: None for the operator's own."""

    operator: str = "light"
    noise: float | None = None
    steps: int = 1000
    weight: float | None = None

    def __post_init__(self) -> None:
        check_numbers(self, real={"noise": SHARE, "weight": SHARE}, whole={"steps": 1})


class Light:
    """The blind model y = f x + M of one batch, images in [0, 1]. gain: (B, 1, 1, 1). veil: (B, 1, H, W)."""

    def __init__(self, y: Tensor, noise: Noise, draw: int) -> None:
        self.gain = noise(draw, y[:, :1, :1, :1]) / 100
        uniform = torch.special.ndtr(noise(draw + 1, y[:, :1]))
        self.veil = 1e-4 * uniform

    def descend(self, x: Tensor, y: Tensor) -> Tensor:
        """Move f and M one step of rate 1 down the mean squared error; returns f x + M - y from before it."""
        rest = self.gain * x + self.veil - y
        n = rest[0].numel()
        self.veil = self.veil - 2 / n * rest.sum(1, keepdim=True)
        self.gain = self.gain - 2 / n * (rest * x).sum((1, 2, 3), keepdim=True)
        return rest


@torch.inference_mode(False)
@torch.no_grad()
def restore(prior: Prior, y: Tensor, noise: Noise, settings: GdpSettings, callback: Callback | None = None) -> Tensor:
    """Sample images (B, 3, H, W) around [-1, 1] for the photographs y; see `measured` for shapes, units and errors."""
    blind = settings.operator == "light"
    m = measured(prior, y, "identity" if blind else settings.operator, 0.0)
    weight = WEIGHT["light" if blind else m.kind] if settings.weight is None else settings.weight
    sampling = GuidedSampling(prior, m, prior.process.uniform_timesteps(settings.steps), noise, callback)
    guard = DivergenceGuard(m.y)
    light, pull = None, torch.zeros(())

    def fit(x: Tensor) -> Tensor:
        """Gradient at the image x of half the squared error, in units where one is a whole step to y."""
        if light is None:
            return m.operator.adjoint(m.operator.apply(x) - m.y) / m.operator.strength**2
        gain = light.gain
        return 2 * gain * light.descend((x + 1) / 2, (m.y + 1) / 2)

    def denoise(x: Tensor, t: int) -> Tensor:
        nonlocal pull
        x0_hat = prior.denoise(x, t)
        if prior.factor == 1:
            g = fit(prior.decode(x0_hat))
        else:
            with torch.enable_grad():
                z = x0_hat.detach().requires_grad_()
                image = prior.decode(z)
            (g,) = torch.autograd.grad(image, z, fit(image.detach()))
        x0_hat, pull = guard(x0_hat, g)
        return x0_hat

    def guide(x_u: Tensor, x0_hat: Tensor, x_t: Tensor, t: int, u: int) -> Tensor:
        share = 1 - (1 - weight) ** trained_steps(prior.process, t, u)
        return x_u - guard.share * share * pull

    def once() -> Tensor:
        nonlocal light
        light = Light(m.y, noise, settings.steps + 1) if blind else None
        return sampling.run(denoise, "ancestral", guide)

    return guard.run(once)
