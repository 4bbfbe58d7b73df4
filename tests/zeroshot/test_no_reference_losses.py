import numpy as np
import pytest
import torch

from unveil.zeroshot.losses import colour_cast, exposure, total_variation


@pytest.mark.shared
@pytest.mark.parametrize("index", range(4))
def test_golden_values_and_gradients_of_the_original_losses(shared, index):
    golden = np.load(shared / "golden" / "zeroshot_quality_losses.npz")
    x = torch.tensor(golden[f"img{index}"], requires_grad=True)
    for name, value in {
        "exp32": exposure(x, 32),
        "exp64": exposure(x, 64),
        "exp8_03": exposure(x, 8, 0.3),
        "col": colour_cast(x),
        "tv": total_variation(x),
    }.items():
        torch.testing.assert_close(value.detach().squeeze(), torch.tensor(golden[f"{name}_{index}"]), rtol=1e-6, atol=0)
    (slope,) = torch.autograd.grad(exposure(x, 32) + colour_cast(x).sum(), x)
    expected = torch.tensor(golden[f"grad_exp32_col_{index}"])
    assert (slope - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_a_grey_image_has_no_cast_and_a_finite_slope():
    x = torch.full((2, 3, 8, 8), 0.3)
    x[1, 0] += 0.1
    x.requires_grad_(True)
    cast = colour_cast(x)
    # Only red stands apart, by 0.1: two of the three differences are 0.01.
    torch.testing.assert_close(cast.detach(), torch.tensor([0.0, 0.01 * 2**0.5]), rtol=1e-5, atol=0)
    (slope,) = torch.autograd.grad(cast.sum(), x)
    assert torch.isfinite(slope).all()
    assert not slope[0].any()
    assert slope[1].any()


def test_the_patch_shrinks_to_the_image():
    x = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    assert exposure(x, 64) == exposure(x, 16)
    assert exposure(torch.full((1, 3, 16, 16), 0.5), 4) == 0
