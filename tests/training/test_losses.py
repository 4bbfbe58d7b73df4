from __future__ import annotations

import math

import pytest
import torch

from unveil.training.objectives import LOSSES, loss


def test_values_by_hand() -> None:
    error = torch.tensor([0.1, -0.3]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    assert loss("squared", error).tolist() == pytest.approx([0.01, 0.09])
    assert loss("l1", error).tolist() == pytest.approx([0.1, 0.3])
    assert loss("charbonnier", error).tolist() == pytest.approx([math.hypot(0.1, 0.002), math.hypot(0.3, 0.002)])
    assert loss("psnr", error, 0.02).tolist() == pytest.approx([0.5 * math.log(0.03), 0.5 * math.log(0.11)])


def test_psnr_pulls_every_sample_by_its_relative_error() -> None:
    """d/de of half the logarithm of the mean square is e / (n mse): ten times the error, a tenth of the gradient."""
    error = torch.cat([torch.full((1, 3, 2, 2), 0.01), torch.full((1, 3, 2, 2), 0.1)]).requires_grad_()
    loss("psnr", error).sum().backward()
    assert error.grad is not None
    assert (error.grad[0] / error.grad[1]).mean().item() == pytest.approx(10.0, rel=1e-4)


@pytest.mark.parametrize("kind", LOSSES)
def test_gradients_match_finite_differences(kind: str) -> None:
    error = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: loss(kind, e, 1e-3), (error,))


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(ValueError, match=r"'huber'.*squared, l1"):
        loss("huber", torch.zeros(1, 1, 1, 1))
