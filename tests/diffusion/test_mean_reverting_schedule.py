from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from unveil.diffusion import mean_reverting
from unveil.diffusion.irsde import SCHEDULES, theta, theta_sum
from unveil.errors import InputError


@pytest.fixture(scope="module")
def tables(shared: Path) -> dict[str, Tensor]:
    return load_file(shared / "golden" / "irsde_schedules.safetensors")


STORED = [
    *((schedule, 100, eps, sigma) for schedule in SCHEDULES for eps, sigma in ((0.005, 10), (0.005, 50), (0.01, 50))),
    ("cosine", 1000, 0.005, 50),
]


@pytest.mark.shared
@pytest.mark.parametrize(("schedule", "steps", "eps", "sigma"), STORED)
def test_the_official_tables(tables: dict[str, Tensor], schedule: str, steps: int, eps: float, sigma: int) -> None:
    key = f"{schedule}_s{sigma}_T{steps}_eps{eps}_sT-1"
    # The official tables are sums in float32; over 1000 steps these are 3e-6 off themselves.
    tolerance = 1e-6 if steps == 100 else 4e-6

    def close(got: Tensor, name: str) -> None:
        torch.testing.assert_close(got.float(), tables[f"{key}.{name}"], rtol=tolerance, atol=tolerance)

    process = mean_reverting(theta_sum(schedule, steps, eps), sigma / 255)
    close(theta(schedule, steps), "thetas")
    close(process.sigma, "sigma_bars")
    close(sigma / 255 * (2 * theta(schedule, steps)).sqrt(), "sigmas")
    dt = theta_sum(schedule, steps, eps)[1] / theta(schedule, steps)[1]
    close(dt[None], "dt")
    close(theta_sum(schedule, steps, eps) / dt, "thetas_cumsum")
    close(torch.tensor([process.ancestral(t, t - 1) for t in range(1, steps + 1)]), "posterior_std")


@pytest.mark.shared
def test_the_denoising_variant_has_the_same_tables(tables: dict[str, Tensor]) -> None:
    key = "denoisingsde_s70_T100"
    s = mean_reverting(theta_sum("cosine", 100, 0.04), 70 / 255).sigma
    torch.testing.assert_close(s.float(), tables[f"{key}.sigma_bars"], rtol=0, atol=1e-6)
    nearest = [int((s - sigma / 255).abs().argmin()) for sigma in (15, 25, 50)]
    assert nearest == tables[f"{key}.optimal_t_sigma15_25_50"].tolist()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_the_integral_ascends_from_nothing_to_what_eps_says(schedule: str, steps: int) -> None:
    total = theta_sum(schedule, steps, 0.02)
    assert total.shape == (steps + 1,)
    assert total[0] == 0
    assert (total.diff() > 0).all()
    assert math.exp(-total[-1]) == pytest.approx(0.02, rel=1e-12)


def test_what_makes_no_schedule_is_refused() -> None:
    with pytest.raises(InputError, match="known are cosine, linear, constant"):
        theta("quadratic", 10)
    with pytest.raises(InputError, match="at least one step, got 0"):
        theta_sum("cosine", 0)
    with pytest.raises(InputError, match=r"lies in \(0, 1\); got 1.0"):
        theta_sum("cosine", 10, 1.0)
