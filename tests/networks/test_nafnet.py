from __future__ import annotations

import pytest
import torch

from unveil.errors import InputError, ModelError
from unveil.networks.nafnet import ConditionalNAFNet


@pytest.mark.shared
@pytest.mark.parametrize("suffix", ["", "2"])
@torch.no_grad()
def test_equals_refusion(golden, close, suffix: str) -> None:
    g = golden("irsde_nafnet_w8")
    net = g.into(ConditionalNAFNet(8, (1, 2), 1, (1, 1)))
    close(net(g["xt" + suffix], g["cond" + suffix], g["t" + suffix]), g["out" + suffix])


@pytest.mark.parametrize("size", [(1, 1), (3, 9)])
@torch.no_grad()
def test_any_size(images, perturbed, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = perturbed(ConditionalNAFNet(8, (1, 1), 1, (1, 1)))
    x_t, y, t = images(1, *size)
    padded = [torch.nn.functional.pad(x, (0, -size[1] % 4, 0, -size[0] % 4)) for x in (x_t, y)]
    out = net(x_t, y, t)
    assert out.shape == x_t.shape
    torch.testing.assert_close(out, net(*padded, t)[..., : size[0], : size[1]], rtol=1e-5, atol=1e-6)


def test_gradient_reaches_every_parameter(images, perturbed, without_gradient) -> None:
    torch.manual_seed(0)
    net = perturbed(ConditionalNAFNet(8, (1, 1), 1, (1, 1)))
    assert without_gradient(net, *images(2, 8, 8)) == set()


@torch.no_grad()
def test_new_blocks_are_the_identity(images) -> None:
    torch.manual_seed(0)
    net = ConditionalNAFNet(8, (1,), 1, (1,))
    x, time = torch.randn(1, 8, 4, 4), torch.randn(1, 32)
    assert torch.equal(net.encoders[0][0](x, time), x)  # pyright: ignore[reportIndexIssue]


def test_wrong_channels_are_explained() -> None:
    x = torch.zeros(1, 1, 8, 8)
    with pytest.raises(InputError, match=r"expects \(B, 3, H, W\)"):
        ConditionalNAFNet(8, (1,), 1, (1,))(x, x, torch.zeros(1))


@pytest.mark.parametrize(("encoder", "decoder"), [((1, 1), (1,)), ((), ())])
def test_unequal_levels_are_refused(encoder: tuple[int, ...], decoder: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="as many levels"):
        ConditionalNAFNet(8, encoder, 1, decoder)
