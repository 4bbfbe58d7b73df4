from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from unveil.diffusion import sample, step
from unveil.diffusion.path import SHAPES, GaussianPath, from_both, rddm, shares
from unveil.diffusion.prediction import from_x0, to_x0
from unveil.errors import InputError

PUBLISHED = {"exp2_T1000": (1000, 1.0), "exp2_T10": (10, 1.0), "exp2_T1000_s001": (1000, 0.01)}
TAGS = [*PUBLISHED, "exp3_T1000"]


@pytest.fixture(scope="module")
def official(shared: Path) -> dict[str, Tensor]:
    return load_file(shared / "golden" / "rddm_diffusion.safetensors")


def process_of(tag: str) -> GaussianPath:
    """The paths of the stored runs; "exp3" takes its sums from DDPM's betas, and keeps A = 1 all the same."""
    if tag in PUBLISHED:
        steps, total = PUBLISHED[tag]
        return rddm(shares("decreased", steps), shares("increased", steps), total)
    zero = torch.zeros(1, dtype=torch.float64)
    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    return rddm(torch.diff(1 - abar.sqrt(), prepend=zero), torch.diff(1 - abar, prepend=zero), 1.0)


def fake(process: GaussianPath, output: int, x: Tensor, y: Tensor, t: int) -> Tensor:
    told = float(process.timestep[t])
    return (0.3 * y - 0.1 * x + 0.05 * told / 1000) if output == 0 else 0.5 * torch.sin(2 * x) - 0.2 * y


@pytest.mark.shared
@pytest.mark.parametrize("steps", [5, 10, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_official_shares(shared: Path, shape: str, steps: int) -> None:
    table = np.load(shared / "golden" / "rddm_gen_coefficients.npz")
    np.testing.assert_allclose(shares(shape, steps).numpy(), table[f"exp2__{shape}__T{steps}"], rtol=1e-12)


@pytest.mark.shared
@pytest.mark.parametrize("tag", TAGS)
def test_the_official_tables_and_posterior(official: dict[str, Tensor], tag: str) -> None:
    process = process_of(tag)
    x0, y, noise = official["x0"], official["y"], official["noise"]
    torch.testing.assert_close(process.beta[1:].float(), official[f"{tag}.buf.alphas_cumsum"], rtol=0, atol=2e-6)
    torch.testing.assert_close(process.sigma[1:].float(), official[f"{tag}.buf.betas_cumsum"], rtol=1e-5, atol=2e-6)
    variance = torch.tensor([process.ancestral(t, t - 1) ** 2 for t in range(1, process.steps + 1)])
    # Differences of sums in float32 where the official tables are DDPM's.
    rounding = 1e-7 if tag == "exp3_T1000" else 1e-9
    torch.testing.assert_close(variance, official[f"{tag}.buf.posterior_variance"], rtol=1e-5, atol=rounding)
    for i, t in enumerate((official[f"{tag}.t"] + 1).tolist()):
        x_t = process.forward(x0[i], y[i], t, noise[i])
        torch.testing.assert_close(x_t, official[f"{tag}.q_sample"][i], rtol=0, atol=2e-6)
        mean = step(process, t, t - 1, x_t[None], x0[i][None], y[i][None], process.ancestral(t, t - 1), None)
        torch.testing.assert_close(mean[0], official[f"{tag}.q_post_mean"][i], rtol=0, atol=5e-6)


@pytest.mark.shared
@pytest.mark.parametrize("tag", TAGS)
def test_residual_and_noise_imply_each_other(official: dict[str, Tensor], tag: str) -> None:
    process, y = process_of(tag), official["y"]
    for i, t in enumerate((official[f"{tag}.t"] + 1).tolist()):
        x_t = official[f"{tag}.q_sample"][i]
        residual = fake(process, 0, x_t, y[i], t).clamp(-1, 1)
        eps = from_x0("epsilon", process, t, to_x0("residual", process, t, residual, x_t, y[i]), x_t, y[i])
        torch.testing.assert_close(eps, official[f"{tag}.pred_res.pred_noise"][i], rtol=1e-5, atol=2e-5)
        if float(process.alpha[t]) > 1e-2:
            x0 = to_x0("epsilon", process, t, fake(process, 0, x_t, y[i], t), x_t, y[i])
            torch.testing.assert_close(x0.clamp(-1, 1), official[f"{tag}.pred_noise.pred_x0"][i], rtol=1e-5, atol=1e-4)


def tied(process: GaussianPath, x: Tensor, y: Tensor, t: int) -> Tensor:
    """x0_hat of a predicted residual; the state ties the noise to it, and the official step is equation 2."""
    return y - fake(process, 0, x, y, t).clamp(-1, 1)


def free(process: GaussianPath, x: Tensor, y: Tensor, t: int) -> Tensor:
    """The one x0_hat that leads to the official next state, of residual and noise predicted apart."""
    return from_both(process, t, fake(process, 0, x, y, t).clamp(-1, 1), fake(process, 1, x, y, t), x, y)


@pytest.mark.shared
@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize(("objective", "estimate"), [("pred_res", tied), ("pred_res_noise", free)])
def test_five_official_steps_are_five_of_ours(
    official: dict[str, Tensor], tag: str, objective: str, estimate: Callable[..., Tensor]
) -> None:
    process, y = process_of(tag).respaced(5), official["y"]
    expected = official[f"{tag}.{objective}.ddim5"] * 2 - 1
    states: list[Tensor] = []

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        states.append(x)
        return estimate(process, x, y, t)

    start = (expected[0] - y) / float(process.sigma[-1])
    end = sample(denoise, y, process, lambda index, like: start, solver="ddim")
    states.append(end.clamp(-1, 1))
    torch.testing.assert_close(torch.stack(states), expected, rtol=0, atol=2e-4 if tag == "exp3_T1000" else 5e-6)


def test_two_predictions_that_agree_are_one() -> None:
    process = rddm(shares("decreased", 10), shares("increased", 10), 1.0)
    x0, y, eps = torch.rand(3, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t in (1, 4, 10):
        x_t = process.forward(x0, y, t, eps)
        torch.testing.assert_close(from_both(process, t, y - x0, eps, x_t, y), x0, rtol=0, atol=1e-10)


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(InputError, match="known are decreased, increased, average"):
        shares("flat", 10)
    with pytest.raises(InputError, match="at least one step"):
        shares("average", 0)
