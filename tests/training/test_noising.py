"""Which states a predictor meets in training: shares, levels, and what the change of resolution leaves."""

from __future__ import annotations

import pytest
import torch

from unveil.diffusion import linear_pro, residual
from unveil.diffusion.path import residual_coefficients
from unveil.diffusion.resolution import resize
from unveil.training.batches import Batch
from unveil.training.noising import forward_states, levels

PROCESS = residual(linear_pro(12))
COUNT = 4000


@pytest.mark.parametrize(("low", "noise"), [(True, PROCESS.sigma[5]), (False, PROCESS.sigma[2])])
def test_first_states_are_those_that_sampling_from_coarse_to_fine_meets_first(low: bool, noise: torch.Tensor) -> None:
    signal, first = levels(PROCESS, COUNT, low, 0.6, torch.Generator().manual_seed(1))
    # 0.6 of them, within four standard errors of a share.
    assert first.float().mean() == pytest.approx(0.6, abs=4 * (0.6 * 0.4 / COUNT) ** 0.5)
    torch.testing.assert_close(residual_coefficients(signal[first])[2], noise.float().expand(int(first.sum())))


def test_reduced_views_only_meet_the_noisy_half() -> None:
    signal, _ = levels(PROCESS, COUNT, True, 0.0, torch.Generator().manual_seed(2))
    assert residual_coefficients(signal)[2].min() > 0.55
    signal, _ = levels(PROCESS, COUNT, False, 0.0, torch.Generator().manual_seed(2))
    assert residual_coefficients(signal)[2].min() < 0.1


def test_first_native_states_carry_the_low_stage_s_residual_and_not_its_detail() -> None:
    generator = torch.Generator().manual_seed(3)
    x0, y = torch.rand(64, 3, 32, 32, generator=generator) * 2 - 1, torch.rand(64, 3, 32, 32, generator=generator) - 0.5
    x_t, noise = forward_states(
        PROCESS, Batch(x0, y, False, torch.zeros(len(x0), 7)), 0.0, 1.0, torch.Generator().manual_seed(4)
    )
    a, b, s = (float(c[2]) for c in (PROCESS.alpha, PROCESS.beta, PROCESS.sigma))
    assert torch.allclose(noise, torch.tensor(s).float())
    # Some reduction of 2^0.5 to 2^4 explains every state but for unit noise; the true x0 does not.
    spreads = []
    for side in range(2, 24):
        blurred = y - resize(resize(y - x0, (side, side)), (32, 32))
        spreads.append(float(((x_t - a * blurred - b * y) / s).std()))
    assert min(spreads) == pytest.approx(1.0, abs=0.01)
    assert float(((x_t - a * x0 - b * y) / s).std()) > 1.15
