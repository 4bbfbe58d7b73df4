"""DiffPIR: denoise, fit the measurement in closed form, re-noise (Zhu et al., CVPRW 2023). No gradient, 100 evaluations.

At each step, with sigma_t = s_t / a_t (eqs. 12 to 14 of the paper):

    x0   = argmin |A x - y|^2 + rho_t |x - x0_hat|^2,      rho_t = lambda sigma_y^2 / sigma_t^2
    x_u  = a_u x0 + s_u (sqrt(1 - zeta) eps_hat + sqrt(zeta) n),      eps_hat = (x_t - a_t x0) / s_t

which is the package's one step with the fitted x0 and eta = sqrt(zeta) s_u. Steps crowd near the clean end: index
N (1 - sqrt(1 - i / K)).

Constants: published zeta 0.1 for blur, 0.25 for super-resolution, 1 for missing pixels, and 0.3 (the older scripts') elsewhere. lambda:
the code's 1 mixes units (noise of images in [0, 1] against sigma_t of states in [-1, 1]); in the same units it is 1/4. Here both are 1
by default: with lambda = 1 in equal units the fit is the mean of the posterior of x0 where the prior's estimate errs by sigma_t, and with
fresh noise alone nothing that a fit has amplified is carried on (docs/known_operators.md has what the published ones did). Ours also
differs in knowing the singular values of every operator, so the fit is exact for all of them, with mirrored borders; the
original's is circular.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.diffusion.path import GaussianPath
from unveil.diffusion.sampling import step
from unveil.errors import InputError
from unveil.zeroshot.guided_sampling import Callback, GuidedSampling, in_pixels
from unveil.zeroshot.operators import measured
from unveil.zeroshot.priors import Prior
from unveil.zeroshot.ranges import ANY, SHARE, check_numbers


@dataclass(frozen=True)
class DiffpirSettings:
    """operator, noise: see `measured`. steps: evaluations. weight: lambda. zeta: share of fresh noise, 0 to 1."""

    operator: str = "identity"
    noise: float | None = None
    steps: int = 100
    weight: float = 1.0
    zeta: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self, real={"noise": SHARE, "weight": ANY, "zeta": SHARE}, whole={"steps": 1})


def quadratic_timesteps(path: GaussianPath, steps: int) -> list[int]:
    """Indices N (1 - sqrt(1 - i / K)), rounded, each at least one above the last. Raises InputError for too many."""
    n = path.steps
    if not 1 <= steps <= n:
        raise InputError(f"steps must be between 1 and {n} for {path.name}, got {steps}")
    indices = [0]
    for i in range(1, steps + 1):
        wanted = round(n * (1 - (1 - i / steps) ** 0.5))
        indices.append(min(max(wanted, indices[-1] + 1), n - steps + i))
    return indices


@torch.inference_mode(False)
@torch.no_grad()
def restore(
    prior: Prior, y: Tensor, noise: Noise, settings: DiffpirSettings, callback: Callback | None = None
) -> Tensor:
    """Sample images (B, 3, H, W) around [-1, 1] for the photographs y; see `measured` for shapes, units and errors."""
    in_pixels(prior, "diffpir")
    m = measured(prior, y, settings.operator, settings.noise)
    path = prior.process
    sampling = GuidedSampling(prior, m, quadratic_timesteps(path, settings.steps), noise, callback)

    def denoise(x: Tensor, t: int) -> Tensor:
        rho = settings.weight * (m.sigma * float(path.alpha[t] / path.sigma[t])) ** 2
        return m.operator.prox(m.y, prior.denoise(x, t), rho)

    def guide(x_u: Tensor, x0: Tensor, x_t: Tensor, t: int, u: int) -> Tensor:
        fresh = sampling.fresh(u, x_t) if u > 0 else None
        return step(path, t, u, x_t, x0, x0, settings.zeta**0.5 * float(path.sigma[u]), fresh)

    return sampling.run(denoise, "ddim", guide)
