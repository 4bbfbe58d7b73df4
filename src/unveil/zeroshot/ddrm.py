"""DDRM: denoising diffusion restoration models (Kawar et al., NeurIPS 2022). No gradient, 20 evaluations.

Each coefficient of the image in the basis of A's right singular vectors moves by itself. With the state in units of
noise per signal, sigma_t = s_t / a_t, sigma' that of the next index, s its singular value, sigma_y the measurement's noise, x the
coefficient of x0_hat, y_ that of U^T y, n fresh noise (eqs. 7 and 8 of the paper):

    s = 0                x + sqrt(1 - eta^2) sigma' eps_hat + eta sigma' n
    s sigma' <  sigma_y  x + sqrt(1 - eta^2) sigma' (y_ - s x) / sigma_y + eta sigma' n
    s sigma' >= sigma_y  eta_b y_ / s + (1 - eta_b) x + sqrt(sigma'^2 - (sigma_y eta_b / s)^2) n

Constants: eta = 0.85, eta_b = 1, 20 even steps, as published. Ours differs in the start: pure noise at the prior's last index
instead of y_ / s + noise of the same total; sigma there is 150, and the first step forgets it wherever s > 0. The noise
level may differ from image to image and may be estimated; the original must be told it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.zeroshot.guided_sampling import Callback, GuidedSampling, in_pixels
from unveil.zeroshot.operators import measured
from unveil.zeroshot.priors import Prior
from unveil.zeroshot.ranges import SHARE, check_numbers


@dataclass(frozen=True)
class DdrmSettings:
    """operator, noise: see `measured`. steps: evaluations. eta: share of fresh noise.

    eta_b: trust in y where it is clearer than the state.
    """

    operator: str = "identity"
    noise: float | None = None
    steps: int = 20
    eta: float = 0.85
    eta_b: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self, real={"noise": SHARE, "eta": SHARE, "eta_b": SHARE}, whole={"steps": 1})


@torch.inference_mode(False)
@torch.no_grad()
def restore(prior: Prior, y: Tensor, noise: Noise, settings: DdrmSettings, callback: Callback | None = None) -> Tensor:
    """Sample images (B, 3, H, W) around [-1, 1] for the photographs y; see `measured` for shapes, units and errors."""
    in_pixels(prior, "ddrm")
    m = measured(prior, y, settings.operator, settings.noise)
    sampling = GuidedSampling(prior, m, prior.process.uniform_timesteps(settings.steps), noise, callback)
    a, level = prior.process.alpha, prior.process.sigma
    s, eta = m.operator.weights, settings.eta
    kept = (1 - eta**2) ** 0.5
    reading, exact = m.operator.read(m.y), m.operator.scaled(m.y)
    # 1 / sigma_y and sigma_y / s are only used where their branch holds; elsewhere any finite number will do.
    inverse = torch.where(m.sigma > 0, 1 / m.sigma.clamp(min=1e-30), 0.0)
    spread = settings.eta_b * m.sigma / torch.where(s > 0, s, 1.0)

    def guide(x_u: Tensor, x0_hat: Tensor, x_t: Tensor, t: int, u: int) -> Tensor:
        sigma = float(level[u] / a[u])
        x = m.operator.analyse(x0_hat)
        eps = m.operator.analyse((x_t - float(a[t]) * x0_hat) / float(level[t]))
        n = m.operator.analyse(sampling.fresh(u, x_t)) if u > 0 else torch.zeros_like(x)
        unseen = x + sigma * (kept * eps + eta * n)
        faint = x + sigma * (kept * (reading - s * x) * inverse + eta * n)
        clear = settings.eta_b * exact + (1 - settings.eta_b) * x + (sigma**2 - spread**2).clamp(min=0).sqrt() * n
        moved = torch.where(s == 0, unseen, torch.where(s * sigma < m.sigma, faint, clear))
        return float(a[u]) * m.operator.synthesise(moved)

    return sampling.run(prior.denoise, "ddim", guide)
