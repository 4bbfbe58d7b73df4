"""Priors that were not trained on the variance-preserving path: VE, EDM and rectified flow, against closed forms and diffusers.

The networks of the first tests are E[x0 | x_t] of Gaussian images in the answer that such a network gives, so that every sampler's law is
known; those of the last ones have random weights and were written by diffusers itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import laws
import pytest
import torch
from gaussian import F64, Problem, agrees, matrix, white
from torch import Tensor

from unveil.errors import ModelError
from unveil.zeroshot import ddrm, diffpir, dps, pigdm
from unveil.zeroshot.operators import parse
from unveil.zeroshot.priors.opening import open_prior
from unveil.zeroshot.priors.scheduler import EDM, EXPLODING, FLOW, PRESERVING, trained
from unveil.zeroshot.priors.spaces import PixelPrior

MEAN, VARIANCE = 0.2, 0.3
SHAPE = (3, 2, 2)


def ve(x: Tensor, told: Tensor) -> Tensor:
    """The score of images in [0, 1], told sigma on that range (Song et al. 2021)."""
    m, v = (MEAN + 1) / 2, VARIANCE / 4
    return (m - x) / (v + told.double().view(-1, 1, 1, 1) ** 2)


def edm(x: Tensor, told: Tensor) -> Tensor:
    """F of Karras et al. 2022, told ln(sigma) / 4 and shown x / sqrt(sigma^2 + sigma_data^2)."""
    sigma, data = (4 * told.double()).exp().view(-1, 1, 1, 1), 0.5
    noisy = x * (sigma**2 + data**2).sqrt()
    x0 = MEAN + VARIANCE / (VARIANCE + sigma**2) * (noisy - MEAN)
    skip, out = data**2 / (sigma**2 + data**2), sigma * data / (sigma**2 + data**2).sqrt()
    return (x0 - skip * noisy) / out


def edm_v(x: Tensor, told: Tensor) -> Tensor:
    """diffusers' "v_prediction" under EDM: minus F."""
    return -edm(x, told)


def flow(x: Tensor, told: Tensor) -> Tensor:
    """The velocity eps - x0 of x_t = (1 - t) x0 + t eps, told 1000 t."""
    t = told.double().view(-1, 1, 1, 1) / 1000
    x0 = MEAN + (1 - t) * VARIANCE / ((1 - t) ** 2 * VARIANCE + t**2) * (x - (1 - t) * MEAN)
    return (x - (1 - t) * x0) / t - x0


Network = Callable[[Tensor, Tensor], Tensor]
KINDS: dict[str, tuple[dict[str, Any], Network]] = {
    "ve": ({"_class_name": "ScoreSdeVeScheduler", "num_train_timesteps": 1000, "sigma_max": 50.0}, ve),
    "edm": ({"_class_name": "EDMEulerScheduler", "sigma_data": 0.5}, edm),
    "edm v": ({"_class_name": "EDMDPMSolverMultistepScheduler", "prediction_type": "v_prediction"}, edm_v),
    "flow": ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 1.0}, flow),
    "flow, shifted": ({"_class_name": "FlowMatchHeunDiscreteScheduler", "shift": 3.0}, flow),
    "flow by its prediction": ({"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction"}, flow),
}


def prior(kind: str) -> PixelPrior:
    config, network = KINDS[kind]
    told = trained(config)

    def said(x: Tensor, t: Tensor) -> Tensor:
        return network(x.double(), t)

    return PixelPrior(
        kind, "0" * 64, told.process, said, told.prediction, 1, 2, dtype=F64, preconditioning=told.preconditioning
    )


@pytest.mark.parametrize("kind", KINDS)
def test_denoising_is_the_gaussians_own(kind: str) -> None:
    """E[x0 | x_t] in closed form at every part of the path. 2e-4: states and what is told are fp32, and VE's scores are 1e4 large."""
    p = prior(kind)
    process = p.process
    torch.testing.assert_close(process.alpha**2 + process.sigma**2, torch.ones_like(process.alpha), rtol=0, atol=1e-12)
    for t in (1, 10, 300, 700, process.steps):
        a, s = float(process.alpha[t]), float(process.sigma[t])
        z = (
            a * MEAN
            + (a * a * VARIANCE + s * s) ** 0.5 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(t))
        ).float()
        expected = MEAN + a * VARIANCE / (a * a * VARIANCE + s * s) * (z.double() - a * MEAN)
        assert float((p.denoise(z, t) - expected).abs().max()) < 2e-4, t


STEPS, PATHS, SIGMA = 8, 6_000, 0.3
METHODS: dict[str, Any] = {
    "ddrm": (ddrm.restore, lambda o: ddrm.DdrmSettings(o, SIGMA / 2, STEPS), lambda p: laws.ddrm(p, p.process.uniform_timesteps(STEPS))),
    "diffpir": (
        diffpir.restore,
        lambda o: diffpir.DiffpirSettings(o, SIGMA / 2, STEPS, zeta=0.3),
        lambda p: laws.diffpir(p, diffpir.quadratic_timesteps(p.process, STEPS), 1.0, 0.3),
    ),
    "pigdm": (
        pigdm.restore,
        lambda o: pigdm.PigdmSettings(o, SIGMA / 2, STEPS, VARIANCE),
        lambda p: laws.pigdm(p, p.process.uniform_timesteps(STEPS), VARIANCE),
    ),
}  # fmt: skip


def problem(kind: str, operator: str) -> tuple[Problem, Tensor]:
    recipe = parse(operator)
    built = recipe.build(torch.zeros(1, 3, 2, 2, dtype=F64), (2, 2))
    y = 0.5 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(5), dtype=F64)
    mean, covariance = torch.full((12,), MEAN, dtype=F64), VARIANCE * torch.eye(12, dtype=F64)
    seen = built.take(y)
    return Problem(
        mean, covariance, matrix(built.apply, SHAPE), seen.flatten(), SIGMA, trained(KINDS[kind][0]).process
    ), y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_samplers_have_the_law_that_the_papers_give(method: str, kind: str) -> None:
    """Mean and covariance of 6,000 samples within 4 standard errors of the exact law of the sampler."""
    restore, settings, law = METHODS[method]
    at, y = problem(kind, "blur:sigma=0.6")
    out = restore(prior(kind), y.float().expand(PATHS, -1, -1, -1), white(7), settings("blur:sigma=0.6"))
    agrees(out.double(), *law(at))


@pytest.mark.parametrize("kind", ["ve", "edm", "flow"])
def test_pigdm_samples_the_posterior(kind: str) -> None:
    """Not through its law: 100 steps against the posterior, 4 standard errors plus what the law says of the discretisation."""
    at, y = problem(kind, "identity")
    out = pigdm.restore(
        prior(kind),
        y.float().expand(3000, -1, -1, -1),
        white(9),
        pigdm.PigdmSettings("identity", SIGMA / 2, 100, VARIANCE),
    )
    (mean, covariance), law = at.posterior(), laws.pigdm(at, at.process.uniform_timesteps(100), VARIANCE)
    x, variance = out.double().flatten(1), covariance.diagonal()
    assert ((x.mean(0) - mean).abs() < 4 * (variance / len(x)).sqrt() + (law[0] - mean).abs()).all()
    error = ((torch.outer(variance, variance) + covariance**2) / len(x)).sqrt()
    assert ((torch.cov(x.T) - covariance).abs() < 4 * error + (law[1] - covariance).abs()).all()
    assert float((law[1] - covariance).diagonal().abs().max()) < 0.2 * float(variance.max())


def test_dps_walks_the_same_way_on_every_path() -> None:
    """One pixel's mean is pulled to the measurement alike, whatever the units the prior was trained in."""
    found = {}
    for kind in ("ve", "edm", "flow"):
        _, y = problem(kind, "identity")
        out = dps.restore(
            prior(kind), y.float().expand(200, -1, -1, -1), white(3), dps.DpsSettings(noise=0.1, steps=200, zeta=5.0)
        )
        found[kind] = float((out.double() - y).abs().mean())
    assert max(found.values()) < 0.6 * VARIANCE**0.5
    assert max(found.values()) < 1.5 * min(found.values())


def test_what_is_not_supported_is_refused_by_name() -> None:
    for name in (
        "KarrasVeScheduler",
        "LCMScheduler",
        "CMStochasticIterativeScheduler",
        "ScoreSdeVpScheduler",
        "IPNDMScheduler",
    ):
        with pytest.raises(ModelError, match=name):
            trained({"_class_name": name})
    with pytest.raises(ModelError, match="EulerDiscreteScheduler tells the network continuous times"):
        trained({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"})
    with pytest.raises(ModelError, match="'sample' is not known; known are epsilon, v_prediction"):
        trained({"_class_name": "EDMEulerScheduler", "prediction_type": "sample"})


def test_every_scheduler_of_diffusers_is_known_or_refused() -> None:
    diffusers = pytest.importorskip("diffusers")
    names = {n for n in dir(diffusers) if n.endswith("Scheduler")}
    assert names >= PRESERVING
    assert names >= EXPLODING | EDM | FLOW
    for name in names - PRESERVING - EXPLODING - EDM - FLOW:
        with pytest.raises(ModelError, match=name):
            trained({"_class_name": name})


def saved(folder: Path, scheduler: Any, **network: Any) -> Any:
    """A tiny prior of pixels at random weights, written by diffusers; the network."""
    from diffusers import DDPMPipeline, UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=16, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False, **network,
    )  # fmt: skip
    DDPMPipeline(unet, scheduler).save_pretrained(folder)
    return unet.eval()


@torch.no_grad()
def test_score_sde_as_diffusers_walks_it(tmp_path: Path) -> None:
    """NCSN++'s Fourier embedding of sigma; x0 from its score, images in [0, 1] there and in [-1, 1] here."""
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.ScoreSdeVeScheduler(num_train_timesteps=100, sigma_max=50.0)
    network = saved(tmp_path, scheduler, time_embedding_type="fourier")
    p = open_prior(tmp_path)
    scheduler.set_timesteps(100)
    scheduler.set_sigmas(100)
    for t in (5, 60, 100):
        sigma = float(scheduler.discrete_sigmas[t - 1])
        x = torch.rand(1, 3, 16, 16) + sigma * torch.randn(1, 3, 16, 16)
        score = network(x, torch.tensor([sigma])).sample
        z = (2 * x - 1) / math.hypot(1, 2 * sigma)
        expected = 2 * (x + sigma**2 * score) - 1
        torch.testing.assert_close(p.denoise(z, t), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@torch.no_grad()
def test_edm_as_diffusers_preconditions_it(tmp_path: Path, prediction: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.EDMEulerScheduler(prediction_type=prediction)
    network = saved(tmp_path, scheduler)
    p = open_prior(tmp_path)
    for t in (3, 400, 1000):
        sigma = float(math.exp(4 * float(p.process.timestep[t])))
        x = 2 * torch.rand(1, 3, 16, 16) - 1 + sigma * torch.randn(1, 3, 16, 16)
        said = network(scheduler.precondition_inputs(x, sigma), torch.tensor([0.25 * math.log(sigma)])).sample
        expected = scheduler.precondition_outputs(x, said, sigma)
        torch.testing.assert_close(p.denoise(x / math.hypot(1, sigma), t), expected, rtol=1e-3, atol=1e-3)
    assert float((4 * p.process.timestep[1:]).exp().max()) == pytest.approx(80.0)


@torch.no_grad()
def test_flow_matching_as_diffusers_steps(tmp_path: Path) -> None:
    """From any t its Euler step to 0 is x - t v, and that is x0_hat."""
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
    network = saved(tmp_path, scheduler)
    p = open_prior(tmp_path)
    for index in (2, 500, 1000):
        t = float(p.process.timestep[index]) / 1000
        x = (1 - t) * (2 * torch.rand(1, 3, 16, 16) - 1) + t * torch.randn(1, 3, 16, 16)
        scheduler.set_timesteps(sigmas=[t])
        said = network(x, scheduler.timesteps[:1]).sample
        stepped = scheduler.step(said, scheduler.timesteps[0], x).prev_sample
        torch.testing.assert_close(p.denoise(x / math.hypot(1 - t, t), index), stepped, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # diffusers and NumPy 2.4
@pytest.mark.parametrize(
    "name", ["EulerDiscreteScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "HeunDiscreteScheduler"]
)
def test_samplers_of_the_preserving_path_open_as_before(tmp_path: Path, name: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    saved(
        tmp_path,
        getattr(diffusers, name)(
            prediction_type="v_prediction", beta_schedule="scaled_linear", beta_start=1e-4, beta_end=0.02
        ),
    )
    p = open_prior(tmp_path)
    assert isinstance(p, PixelPrior)
    assert (p.preconditioning, p.prediction, p.process.steps) == (None, "v_prediction", 1000)
    beta = torch.linspace(1e-4**0.5, 0.02**0.5, 1000, dtype=F64) ** 2
    torch.testing.assert_close(p.process.alpha[1:] ** 2, torch.cumprod(1 - beta, 0))
