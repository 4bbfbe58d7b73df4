"""PiGDM: pseudo-inverse guided diffusion (Song et al., ICLR 2023). A gradient through the network, 100 evaluations.

The clean image given the state is taken for N(x0_hat, r_t^2 I). Then y given the state is Gaussian, and (eq. 7 of the paper)

    g = (d x0_hat / d x_t)^T A^T (r_t^2 A A^T + sigma_y^2 I)^-1 (y - A x0_hat),      r_t^2 = v sigma_t^2 / (v + sigma_t^2)

is the gradient of log p(y | x_t); v is the variance of clean images, 1 in the paper, sigma_t = s_t / a_t.

Ours differs in where g goes. The paper adds sqrt(abar_t) r_t^2 g to the DDIM step. Tweedie's formula says what it is worth:
x0_hat + (s_t^2 / a_t) g is E[x0 | x_t, y] under the approximation, and the ordinary step does the rest. For x0 ~ N(m, v I) this is
exact, and the samples are those of the posterior up to the step size; the paper's form is not.
Constants: 100 even steps, eta of the exact posterior (the paper's eta = 1). v = 1 as published.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.zeroshot.guided_sampling import Callback, DivergenceGuard, GuidedSampling, in_pixels
from unveil.zeroshot.operators import measured
from unveil.zeroshot.priors import Prior
from unveil.zeroshot.ranges import ANY, SHARE, check_numbers


@dataclass(frozen=True)
class PigdmSettings:
    """operator, noise: see `measured`. steps: evaluations. variance: v, of clean images in [-1, 1]."""

    operator: str = "identity"
    noise: float | None = None
    steps: int = 100
    variance: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self, real={"noise": SHARE, "variance": ANY}, whole={"steps": 1})


@torch.inference_mode(False)
@torch.no_grad()
def restore(prior: Prior, y: Tensor, noise: Noise, settings: PigdmSettings, callback: Callback | None = None) -> Tensor:
    """Sample images (B, 3, H, W) around [-1, 1] for the photographs y; see `measured` for shapes, units and errors."""
    in_pixels(prior, "pigdm")
    m = measured(prior, y, settings.operator, settings.noise)
    a, level, s = prior.process.alpha, prior.process.sigma, m.operator.weights
    guard = DivergenceGuard(m.y)

    def denoise(x: Tensor, t: int) -> Tensor:
        squared = float(level[t] / a[t]) ** 2
        trust = squared * settings.variance / (settings.variance + squared)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x0_hat = prior.denoise(x, t)
        rest = m.operator.read(m.y - m.operator.apply(x0_hat.detach()))
        total = trust * s * s + m.sigma**2
        pull = m.operator.synthesise(torch.where(total > 0, s * rest / torch.where(total > 0, total, 1.0), 0.0))
        (g,) = torch.autograd.grad(x0_hat, x, pull)
        x0_hat, g = guard(x0_hat.detach(), g)
        return x0_hat + guard.share * float(level[t] ** 2 / a[t]) * g

    sampling = GuidedSampling(prior, m, prior.process.uniform_timesteps(settings.steps), noise, callback)
    return guard.run(lambda: sampling.run(denoise, "ancestral"))
