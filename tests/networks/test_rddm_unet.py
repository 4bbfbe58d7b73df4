from __future__ import annotations

import pickle

import pytest
import torch

from unveil.errors import InputError, ModelError
from unveil.networks.rddm_unet import UNet


@pytest.mark.shared
@pytest.mark.parametrize("suffix", ["", "2"])
@torch.no_grad()
def test_equals_resfusion(golden, close, suffix: str) -> None:
    g = golden("rddm_unet_resfusion_dim8")
    net = g.into(UNet(8))
    close(net(g["x" + suffix], g["cond" + suffix], g["t" + suffix]), g["out" + suffix])


@pytest.mark.shared
@torch.no_grad()
def test_equals_resfusion_with_a_mask(golden, close) -> None:
    g = golden("rddm_unet_resfusion_mask_dim8")
    net = g.into(UNet(8, (1, 2), mask_channels=2))
    close(net(g["x"], g["cond"], g["t"], g["mask"]), g["out"])


@pytest.mark.shared
@torch.no_grad()
def test_equals_rddms_single_network(golden, close) -> None:
    g = golden("rddm_unetres_share-1_dim8")
    net = g.into(UNet(8, (1, 2)), prefix="unet0.")
    close(net(*g["x"].split(3, dim=1), g["t"]), g["out0"])


@torch.no_grad()
def test_a_group_of_one_value_is_no_error() -> None:
    torch.manual_seed(0)
    assert UNet(8, (1,))(torch.ones(1, 3, 1, 1), torch.ones(1, 3, 1, 1), torch.ones(1)).isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (13, 21)])
@torch.no_grad()
def test_any_size_is_reflected_and_cropped(images, perturbed, reflected_image, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = perturbed(UNet(8))
    x_t, y, t = images(2, *size)
    out = net(x_t, y, t)
    assert out.shape == x_t.shape
    whole = net(reflected_image(x_t, 8), reflected_image(y, 8), t)
    torch.testing.assert_close(out, whole[..., : size[0], : size[1]], rtol=1e-5, atol=1e-6)


def test_gradient_reaches_every_parameter(images, perturbed, without_gradient) -> None:
    torch.manual_seed(0)
    net = perturbed(UNet(16, (1, 2), mask_channels=2))
    assert without_gradient(net, *images(2, 16, 16), torch.ones(2, 2, 16, 16)) == set()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_is_the_same_function(images, perturbed, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net = perturbed(UNet(8, (1, 2)))
    x_t, y, t = images(1, 16, 16)
    full = net(x_t, y, t)
    low = net.to(dtype)(x_t.to(dtype), y.to(dtype), t)
    assert low.dtype == dtype
    # some twenty layers of rounding to 8 (11) bits
    assert (low.float() - full).norm() / full.norm() < (0.03 if dtype == torch.bfloat16 else 0.004)


@torch.no_grad()
def test_images_of_a_batch_do_not_meet(images, perturbed) -> None:
    torch.manual_seed(0)
    net = perturbed(UNet(8, (1, 2)))
    x_t, y, t = images(3, 8, 8)
    alone = torch.cat([net(x_t[i : i + 1], y[i : i + 1], t[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(x_t, y, t), alone, rtol=1e-4, atol=1e-5)


def test_what_it_needs_is_data() -> None:
    with torch.device("meta"):
        net = UNet(8, (1, 2, 4), channels=4, out_channels=5, mask_channels=1)
        out = net(torch.zeros(1, 4, 7, 9), torch.zeros(1, 4, 7, 9), torch.zeros(1), torch.zeros(1, 1, 7, 9))
    assert (net.multiple_of, net.channels, net.out_channels, net.mask_channels) == (4, 4, 5, 1)
    assert out.shape == (1, 5, 7, 9)


def test_can_be_pickled_for_another_process() -> None:
    net = UNet(8, (1,))
    again = pickle.loads(pickle.dumps(net))  # noqa: S301
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_t": torch.zeros(2, 4, 8, 8)}, r"x_t has shape \(2, 4, 8, 8\); the network expects \(B, 3, H, W\)"),
        ({"x_t": torch.zeros(3, 8, 8)}, r"x_t has shape \(3, 8, 8\)"),
        ({"x_t": torch.zeros(2, 3, 0, 8)}, "at least 1"),
        ({"x_t": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)}, "type torch.uint8; .* floating-point"),
        ({"y": torch.zeros(2, 3, 8, 9)}, r"y has shape \(2, 3, 8, 9\); expected that of the state x_t, \(2, 3, 8, 8\)"),
        ({"y": torch.zeros(2, 3, 8, 8, dtype=torch.float64)}, "y has type torch.float64; expected .* torch.float32"),
        ({"t": torch.zeros(1)}, r"t has shape \(1,\); expected \(2,\)"),
        ({"t": torch.tensor(3)}, r"t has shape \(\); expected \(2,\)"),
        ({"mask": torch.zeros(2, 1, 8, 8)}, "without a mask condition"),
    ],
)
def test_wrong_input_is_explained(change: dict[str, torch.Tensor], message: str) -> None:
    inputs = {"x_t": torch.zeros(2, 3, 8, 8), "y": torch.zeros(2, 3, 8, 8), "t": torch.zeros(2)} | change
    with pytest.raises(InputError, match=message):
        UNet(8, (1,))(**inputs)


@pytest.mark.parametrize(
    ("mask", "message"), [(None, "with a mask condition"), (torch.zeros(1, 1, 8, 8), r"expected \(1, 2, 8, 8\)")]
)
def test_wrong_mask_is_explained(mask: torch.Tensor | None, message: str) -> None:
    x = torch.zeros(1, 3, 8, 8)
    with pytest.raises(InputError, match=message):
        UNet(8, (1,), mask_channels=2)(x, x, torch.zeros(1), mask)


@pytest.mark.parametrize(("dim", "mults"), [(12, (1, 2)), (0, (1,)), (8, ()), (8, (1, 0))])
def test_impossible_widths_are_refused(dim: int, mults: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="multiple of 8"):
        UNet(dim, mults)
