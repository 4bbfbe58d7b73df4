"""Moment fits: golden numbers, round trips, gradients without unrolling, and groups that no law fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unveil.zeroshot.distribution import SHAPES, SMALLEST, fit, log_ratio, shape_of

F64 = torch.float64


@pytest.mark.shared
@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-12), (torch.float32, 1e-4)])
def test_fits_against_golden_moments(dtype: torch.dtype, tolerance: float, shared: Path) -> None:
    golden = np.load(shared / "golden" / "zeroshot_ggd_fits.npz")
    columns = list(golden["columns"])
    for index, row in enumerate(golden["fits"]):
        want = dict(zip(columns, row, strict=True))
        x = torch.tensor(golden[f"x{index}"], dtype=dtype)
        for prefix, centred in (("mm", True), ("mm_nc", False)):
            got = fit(x, centred)
            shape = min(want[f"{prefix}_alpha"], SHAPES[1])  # the last sample's, 8.38, is beyond what is told apart
            assert float(got.alpha) == pytest.approx(shape, rel=tolerance)
            assert float(got.sigma) == pytest.approx(want[f"{prefix}_sigma"], rel=tolerance)
        # And near what maximum likelihood finds: the moments cost a few per cent.
        assert float(fit(x).alpha) == pytest.approx(want["mle_alpha"], rel=0.03)


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-12), (torch.float32, 2e-5)])
def test_shape_inverts_the_ratio(dtype: torch.dtype, tolerance: float) -> None:
    alpha = torch.logspace(np.log10(SHAPES[0]), np.log10(SHAPES[1]), 200, dtype=dtype)
    torch.testing.assert_close(shape_of(log_ratio(alpha).exp()), alpha, rtol=tolerance, atol=0)


def test_shape_is_held_at_its_ends_without_a_gradient() -> None:
    ratio = torch.tensor([1e-4, 0.75, 0.99], dtype=F64, requires_grad=True)
    alpha = shape_of(ratio)
    torch.testing.assert_close(
        alpha.detach(), torch.tensor([SHAPES[0], SHAPES[1], SHAPES[1]], dtype=F64), rtol=1e-9, atol=0
    )
    (grad,) = torch.autograd.grad(alpha.sum(), ratio)
    assert not grad.any()


def test_gradients_against_finite_differences() -> None:
    x = torch.randn(2, 12, dtype=F64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: (fit(x).mean, fit(x).sigma, fit(x).alpha), x)
    assert torch.autograd.gradcheck(lambda x: (fit(x, False).sigma, fit(x, False).alpha), x)


def test_gradient_is_a_sign_and_a_line() -> None:
    """d J / d z = c1 sign(z) + c2 z + c3, whatever J is made of: no place in the image is told from another."""
    z = torch.randn(500, dtype=F64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    law = fit(z)
    (grad,) = torch.autograd.grad(law.alpha * 0.3 + law.sigma**2 - law.mean, z)
    centred = (z - law.mean).detach()
    basis = torch.stack([centred.sign(), centred, torch.ones_like(centred)], 1)
    residual = grad - basis @ torch.linalg.lstsq(basis, grad[:, None]).solution[:, 0]
    assert float(residual.abs().max()) < 1e-14


@pytest.mark.parametrize("centred", [True, False])
def test_a_shift_and_a_scale_do_to_a_fit_what_they_should(centred: bool) -> None:
    x = torch.randn(2, 1000, dtype=F64, generator=torch.Generator().manual_seed(2))
    plain, moved = fit(x, centred), fit(3 * x + (0.5 if centred else 0), centred)
    torch.testing.assert_close(moved.alpha, plain.alpha)
    torch.testing.assert_close(moved.sigma, 3 * plain.sigma)
    torch.testing.assert_close(moved.mean, 3 * plain.mean + (0.5 if centred else 0))


def test_groups_without_spread_stay_finite() -> None:
    x = torch.stack([torch.zeros(16), torch.full((16,), 0.7)]).requires_grad_()
    law = fit(x)
    torch.testing.assert_close(law.sigma.detach(), torch.full((2,), SMALLEST), rtol=1e-6, atol=0)
    (grad,) = torch.autograd.grad((law.alpha + law.sigma).sum(), x)
    assert torch.isfinite(law.alpha).all()
    assert not grad.any()


def test_halves_are_fitted_in_single_precision() -> None:
    x = torch.randn(1, 4096, generator=torch.Generator().manual_seed(3))
    law = fit(x.half())
    assert law.alpha.dtype == torch.float32
    assert float(law.alpha) == pytest.approx(float(fit(x).alpha), rel=1e-3)
