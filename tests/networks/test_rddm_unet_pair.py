from __future__ import annotations

import pytest
import torch
from torch import nn

from unveil.errors import InputError
from unveil.networks.rddm_unet import SharedEncoderUNet, UNetPair

BOTH = pytest.mark.parametrize("network", [UNetPair, SharedEncoderUNet])


@pytest.mark.shared
@pytest.mark.parametrize(("name", "network"), [("share0", UNetPair), ("share1", SharedEncoderUNet)])
@torch.no_grad()
def test_equals_rddm(golden, close, name: str, network: type[nn.Module]) -> None:
    g = golden(f"rddm_unetres_{name}_dim8")
    out = g.into(network(8, (1, 2)))(*g["x"].split(3, dim=1), g["t"])
    close(out, torch.cat((g["out0"], g["out1"]), dim=1))


@BOTH
@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
@torch.no_grad()
def test_any_size_is_reflected_and_cropped(
    images, perturbed, reflected_image, network: type[nn.Module], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    net = perturbed(network(8, (1, 2, 2)))
    x_t, y, t = images(1, *size)
    out = net(x_t, y, t)
    assert out.shape == (1, 6, *size) == (1, net.out_channels, *size)
    whole = net(reflected_image(x_t, net.multiple_of), reflected_image(y, net.multiple_of), t)
    torch.testing.assert_close(out, whole[..., : size[0], : size[1]], rtol=1e-5, atol=1e-6)


@BOTH
def test_gradient_reaches_every_parameter(images, perturbed, without_gradient, network: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = perturbed(network(16, (1, 2), mask_channels=1))
    assert without_gradient(net, *images(2, 16, 16), torch.ones(2, 1, 16, 16)) == set()


def test_residual_takes_nothing_from_the_noise_decoder(images) -> None:
    torch.manual_seed(0)
    net = SharedEncoderUNet(8, (1, 2))
    net(*images(1, 8, 8))[:, :3].sum().backward()
    moved = {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved.isdisjoint({"ups", "final_res_block_2", "final_conv_2"})
    assert moved >= {"ups_no_skip", "final_res_block_1", "final_conv_1", "downs"}


@BOTH
def test_wrong_channels_are_explained(network: type[nn.Module]) -> None:
    x = torch.zeros(1, 1, 8, 8)
    with pytest.raises(InputError, match=r"expects \(B, 3, H, W\)"):
        network(8, (1,))(x, x, torch.zeros(1))
