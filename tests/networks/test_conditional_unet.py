from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.errors import InputError, ModelError
from unveil.networks.conditional_unet import ConditionalUNet

IRSDE: dict[str, Any] = {"nf": 8, "mults": (2, 4, 8)}
DACLIP: dict[str, Any] = {"nf": 32, "mults": (1, 1, 1, 1), "context_dim": 16, "degradation": True}
WILD: dict[str, Any] = {"nf": 32, "mults": (1, 2), "context_dim": 24, "half_size": True}
FORMS = pytest.mark.parametrize("form", [IRSDE, DACLIP, WILD], ids=["irsde", "daclip", "wild"])


def contexts(net: ConditionalUNet, batch: int) -> list[Tensor]:
    """The embeddings that the network takes."""
    generator = torch.Generator().manual_seed(3)
    count = 0 if net.context_dim is None else 1 + net.degradation
    return [torch.randn(batch, net.context_dim or 0, generator=generator) for _ in range(count)]


@pytest.mark.shared
@pytest.mark.parametrize("suffix", ["", "2"])
@pytest.mark.parametrize(
    ("name", "form", "embeddings"),
    [
        ("irsde_unet_nf8_depth3", IRSDE, ()),
        ("daclip_unet_nf32", DACLIP, ("image_context", "text_context")),
        ("wildir_unet_nf32", WILD, ("image_context",)),
    ],
)
@torch.no_grad()
def test_equals_the_official_network(golden, close, name: str, form: dict, embeddings: tuple, suffix: str) -> None:
    g = golden(name)
    net = g.into(ConditionalUNet(**form))
    inputs = [g[key + suffix] for key in ("xt", "cond", "t", *embeddings)]
    close(net(*inputs), g["out" + suffix])


@FORMS
@pytest.mark.parametrize("size", [(1, 1), (3, 17)])
@torch.no_grad()
def test_any_size_is_reflected_and_cropped(images, perturbed, reflected_image, form: dict, size: tuple) -> None:
    torch.manual_seed(0)
    net = perturbed(ConditionalUNet(**form))
    x_t, y, t = images(1, *size)
    context = contexts(net, 1)
    whole = net(reflected_image(x_t, net.multiple_of), reflected_image(y, net.multiple_of), t, *context)
    out = net(x_t, y, t, *context)
    assert out.shape == x_t.shape
    torch.testing.assert_close(out, whole[..., : size[0], : size[1]], rtol=1e-5, atol=1e-6)


@FORMS
def test_gradient_reaches_all_but_the_unused(images, perturbed, without_gradient, form: dict) -> None:
    """Unused: what only the weights of a softmax over one key would depend on."""
    torch.manual_seed(0)
    net = perturbed(ConditionalUNet(**form))
    dead = without_gradient(net, *images(2, 32, 32), *contexts(net, 2))
    unused = ("attn2.to_q.weight", "attn2.to_k.weight", "norm2.weight", "norm2.bias")
    expected = {name for name in net.state_dict() if name.endswith(unused)}
    assert dead == expected
    assert len(expected) == (0 if net.context_dim is None else 4 * 3)
    assert dead == {name for name, p in net.named_parameters() if not p.requires_grad}


@FORMS
@torch.no_grad()
def test_every_embedding_counts(images, perturbed, form: dict) -> None:
    torch.manual_seed(0)
    net = perturbed(ConditionalUNet(**form))
    context = contexts(net, 1)
    out = net(*images(1, 16, 16), *context)
    for i in range(len(context)):
        changed = [c + (i == j) for j, c in enumerate(context)]
        assert (net(*images(1, 16, 16), *changed) - out).abs().max() > 1e-5


@pytest.mark.parametrize(
    ("form", "given", "message"),
    [
        (IRSDE, {"image_context": torch.zeros(1, 16)}, "no input image_context"),
        (WILD, {}, r"needs image_context, an embedding of shape \(1, 24\)"),
        (WILD, {"image_context": torch.zeros(1, 16)}, r"image_context has shape \(1, 16\); expected \(1, 24\)"),
        (
            WILD,
            {"image_context": torch.zeros(1, 24), "degradation_context": torch.zeros(1, 24)},
            "no input degradation",
        ),
        (DACLIP, {"image_context": torch.zeros(1, 16)}, "needs degradation_context"),
        (DACLIP, {"image_context": torch.zeros(1, 3, 16)}, "one embedding for each image"),
    ],
)
def test_wrong_embeddings_are_explained(images, form: dict, given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ConditionalUNet(**form)(*images(1, 16, 16), **given)


def test_wrong_channels_are_explained() -> None:
    x = torch.zeros(1, 6, 8, 8)
    with pytest.raises(InputError, match=r"x_t has shape \(1, 6, 8, 8\); the network expects \(B, 3, H, W\)"):
        ConditionalUNet(**IRSDE)(x, x, torch.zeros(1))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"nf": 7}, "nf must be even"),
        ({"mults": ()}, "at least one"),
        ({"nf": 8, "mults": (2, 4), "context_dim": 16}, "multiples of 32"),
        ({"degradation": True}, "needs context_dim"),
    ],
)
def test_impossible_forms_are_refused(form: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ConditionalUNet(**form)
