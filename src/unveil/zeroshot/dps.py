"""DPS: diffusion posterior sampling (Chung et al., ICLR 2023). A gradient through the network, 1000 evaluations.

    x_u = ancestral step(x_t, x0_hat) - zeta grad_{x_t} |y - A x0_hat(x_t)|

with the norm, not its square (algorithm 1 with zeta_i = zeta / |y - A x0_hat|): the pull has the same size however well y is
fitted, and does not ask how noisy y is. So it is no sampler of the posterior; docs/known_operators.md says by how much.

Constants: zeta 0.3, 0.5 for missing pixels, per step of a path of a thousand and for images of 256 x 256, as published. Ours
differs elsewhere: the gradient's length is fixed, so each pixel of an image of n values is pulled by 1 / sqrt(n) of it, and
zeta grows with sqrt(n) to make up for that; a step that stands for k of a thousand is pulled k times (the published weight
at 100 steps hardly pulls at all). The step is always ancestral: with a deterministic one the published code returns black
pictures. Works through a decoder too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.zeroshot.guided_sampling import Callback, DivergenceGuard, GuidedSampling, trained_steps
from unveil.zeroshot.operators import measured
from unveil.zeroshot.priors import Prior
from unveil.zeroshot.ranges import ANY, SHARE, check_numbers

SIZE = 3 * 256 * 256
ZETA = {"blur": 0.3, "downsample": 0.3, "mask": 0.5, "grey": 0.3, "identity": 0.3}


@dataclass(frozen=True)
class DpsSettings:
    """operator, noise: see `measured` (the noise level does not enter). steps: evaluations. zeta: None for the operator's own."""

    operator: str = "identity"
    noise: float | None = None
    steps: int = 1000
    zeta: float | None = None

    def __post_init__(self) -> None:
        check_numbers(self, real={"noise": SHARE, "zeta": ANY}, whole={"steps": 1})


@torch.inference_mode(False)
@torch.no_grad()
def restore(prior: Prior, y: Tensor, noise: Noise, settings: DpsSettings, callback: Callback | None = None) -> Tensor:
    """Sample images (B, 3, H, W) around [-1, 1] for the photographs y; see `measured` for shapes, units and errors."""
    m = measured(prior, y, settings.operator, settings.noise)
    zeta = ZETA[m.kind] if settings.zeta is None else settings.zeta
    zeta *= (3 * m.size[0] * m.size[1] / SIZE) ** 0.5
    guard, pull = DivergenceGuard(m.y), torch.zeros(())

    def denoise(x: Tensor, t: int) -> Tensor:
        nonlocal pull
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x0_hat = prior.denoise(x, t)
            distance = (m.y - m.operator.apply(prior.decode(x0_hat))).flatten(1).norm(dim=1).sum()
        (g,) = torch.autograd.grad(distance, x)
        x0_hat, pull = guard(x0_hat.detach(), g)
        return x0_hat

    def guide(x_u: Tensor, x0_hat: Tensor, x_t: Tensor, t: int, u: int) -> Tensor:
        return x_u - guard.share * zeta * trained_steps(prior.process, t, u) * pull

    sampling = GuidedSampling(prior, m, prior.process.uniform_timesteps(settings.steps), noise, callback)
    return guard.run(lambda: sampling.run(denoise, "ancestral", guide))
