"""DDRM, DiffPIR and DPS beside deepinv's, on one Gaussian prior: PSNR of one sample and milliseconds per step. For developers.

    python -m benchmarks peer_deepinv

deepinv is no dependency: it brings torchvision. Without it the script says so and stops.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from unittest import mock

import torch
from torch import Tensor

from benchmarks._shared import HERE

sys.path.insert(0, str(HERE.parent / "tests" / "zeroshot"))
sys.path.insert(0, str(HERE.parent / "tests" / "zeroshot" / "upzeroir"))
from fakes import smooth
from gaussian import GaussianPrior

from unveil.diffusion.noise import Noise, seeded
from unveil.diffusion.path import GaussianPath
from unveil.zeroshot import ddrm, diffpir, dps, pigdm

SIDE, COUNT, NOISE, KEEP = 64, 8, 0.05, 0.5


def photographs() -> GaussianPrior:
    """Images whose spectrum falls as that of photographs, every pixel with deviation 0.3 in [-1, 1]: deepinv clamps what lies outside."""
    return smooth(SIDE, steps=1000, sd=0.3)


def psnr(out: Tensor, x0: Tensor) -> float:
    return float((10 * torch.log10(4 / (out - x0).square().mean((1, 2, 3)))).mean())


def scored(prior: GaussianPrior, y: Tensor, text: str, seeds: Noise) -> Tensor:
    """DPS with the gradient of the distance between images in [0, 1] put into the score, as deepinv does, and not beside the step.

    There a step's pull is multiplied by what a step makes of the score, a_t a_u sigma_t^2 (1 - sigma_u^2 / sigma_t^2), some beta_t.
    """

    def strides(path: GaussianPath, t: int, u: int) -> float:
        a, sigma = path.alpha, path.sigma / path.alpha
        undone = (dps.SIZE / y[0].numel()) ** 0.5  # our scaling of zeta with the size
        return undone / 2 * float(a[t] * a[u] * (sigma[t] ** 2 - sigma[u] ** 2))

    with mock.patch.object(dps, "trained_steps", strides):
        return dps.restore(prior, y, seeds, dps.DpsSettings(text, NOISE, zeta=1.0))


def timed(run: Callable[[], Tensor], x0: Tensor, steps: int) -> dict[str, float]:
    begun = time.process_time()
    out = run()
    return {"psnr": round(psnr(out, x0), 2), "ms_per_step": round(1000 * (time.process_time() - begun) / steps, 2)}


def main(_: Namespace) -> None:
    torch.manual_seed(0)
    prior = photographs()
    x0 = prior.draw(COUNT, torch.Generator().manual_seed(1))
    mask = (torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < KEEP).float()
    y = mask * (x0 + 2 * NOISE * torch.randn(x0.shape, generator=torch.Generator().manual_seed(2)))
    text, seeds = f"mask:keep={KEEP},seed=0", seeded(range(COUNT))
    quieter: Noise = lambda k, x: seeds(k, x) / 2**0.5  # noqa: E731
    settings = {
        "DDRM 20": (ddrm.restore, ddrm.DdrmSettings(text, NOISE), seeds),
        # deepinv's lambda 7 in the units of ours: half for its prox, a quarter for its range.
        "DiffPIR 100, lambda 3.5, zeta 0.1": (
            diffpir.restore,
            diffpir.DiffpirSettings(text, NOISE, weight=3.5, zeta=0.1),
            seeds,
        ),
        "DiffPIR 100": (diffpir.restore, diffpir.DiffpirSettings(text, NOISE), seeds),
        # deepinv divides the noise it draws by sqrt 2; with the same noise the two must agree.
        "DDRM 20, noise / sqrt 2": (ddrm.restore, ddrm.DdrmSettings(text, NOISE), quieter),
        "PiGDM 100, variance 0.2": (pigdm.restore, pigdm.PigdmSettings(text, NOISE, variance=0.09), seeds),
        "PiGDM 100": (pigdm.restore, pigdm.PigdmSettings(text, NOISE), seeds),
        "DPS 100": (dps.restore, dps.DpsSettings(text, NOISE, 100), seeds),
        "DPS 1000": (dps.restore, dps.DpsSettings(text, NOISE), seeds),
    }
    rows: dict[str, dict[str, float]] = {}
    for name, (restore, chosen, noise) in settings.items():
        steps = int(name.split()[1].rstrip(","))
        rows[f"ours {name}"] = timed(partial(restore, prior, y, noise, chosen), x0, steps)
    rows["ours DPS 1000, pulled through the score"] = timed(lambda: scored(prior, y, text, seeds), x0, 1000)
    rows["zeros"] = {"psnr": round(psnr(0 * y, x0), 2)}
    try:
        import deepinv
    except ImportError as e:
        print(json.dumps(rows, indent=1))
        raise SystemExit(f"deepinv cannot be imported ({e}); only our rows were measured") from None
    rows |= theirs(deepinv, prior, x0, y, mask)
    print(json.dumps(rows, indent=1))


def theirs(deepinv, prior: GaussianPrior, x0: Tensor, y: Tensor, mask: Tensor) -> dict[str, dict[str, float]]:
    """deepinv's samplers with the same ideal denoiser, which there takes images in [0, 1] and a noise level."""

    class Ideal(torch.nn.Module):
        def forward(self, x: Tensor, sigma, *unused, **unused_too) -> Tensor:
            level = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1)
            gain = prior.variance / (prior.variance + 4 * level**2)
            return (prior.back(gain.to(x) * prior.into(2 * x - 1)) + 1) / 2

    physics = deepinv.physics.Inpainting(
        img_size=(3, SIDE, SIDE), mask=mask.expand(3, -1, -1), noise_model=deepinv.physics.GaussianNoise(NOISE)
    )
    seen = mask * (y + 1) / 2
    path, found = prior.process, {}
    # The very noise levels that our 20 steps have, in units of images in [0, 1].
    levels = [float(path.sigma[t] / path.alpha[t]) / 2 for t in path.uniform_timesteps(20)[:0:-1]]
    sampler = deepinv.sampling.DDRM(Ideal(), sigmas=levels, eta=0.85, etab=1.0)
    found["deepinv DDRM 20"] = timed(lambda: 2 * sampler(seen.clone(), physics) - 1, x0, 20)
    fidelity = deepinv.optim.data_fidelity.L2()
    pir = deepinv.sampling.DiffPIR(Ideal(), fidelity, sigma=NOISE, max_iter=100, zeta=0.1, lambda_=7.0)
    found["deepinv DiffPIR 100, lambda 7, zeta 0.1"] = timed(lambda: 2 * pir(seen.clone(), physics) - 1, x0, 100)
    try:
        walk = deepinv.sampling.DPS(Ideal(), num_steps=1000)
        found["deepinv DPS 1000"] = timed(lambda: 2 * walk(seen.clone(), physics, seed=1).float() - 1, x0, 1000)
    except Exception as e:  # noqa: BLE001 - a peer's failure is a finding, not ours to mend
        found["deepinv DPS 1000"] = {"failed": f"{type(e).__name__}: {e}"[:300]}
    return found
