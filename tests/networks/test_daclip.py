from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unveil.errors import InputError, ModelError
from unveil.networks.clip import CLIP, VisionTower, normalised, prepared
from unveil.networks.daclip import DACLIP, contrastive, degradation_probabilities, robust_loss


def tiny() -> DACLIP:
    torch.manual_seed(0)
    return DACLIP(CLIP(VisionTower(16, 32, 8, 32, 3, 2), 12, 64, 16, 2, 2))


def images(b: int = 2) -> Tensor:
    return torch.randn(b, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.shared
@torch.no_grad()
def test_equals_the_official_network(golden, close) -> None:
    g = golden("daclip_tiny")
    net = g.into(tiny())
    degradation, hidden = net.control(g["image"])
    for i, state in enumerate(hidden):
        close(state.transpose(0, 1), g[f"control_hidden{i}"])
    seen = net.encode_image(g["image"])
    close(seen.content, g["image_features"])
    close(seen.degradation, g["degra_features"])
    assert torch.equal(seen.degradation, degradation)
    close(nn.functional.normalize(seen.content, dim=-1), g["image_features_norm"])
    close(net.clip.visual(g["image"]), g["image_features_nocontrol"])
    caption, named = net.encode_text(g["tokens"])
    normalize = nn.functional.normalize
    # The stored texts are those that the losses saw, normalised.
    close(normalize(caption, dim=-1), normalize(g["text_caption"], dim=-1))
    close(normalize(named, dim=-1), normalize(g["text_degradation"], dim=-1))
    close(contrastive(seen.content, caption, net.logit_scale)[None], g["contrastive_loss"])
    close(contrastive(seen.degradation, named, net.logit_scale)[None], g["degra_loss"])
    close(net.logit_scale.exp()[None], g["logit_scale_exp"])


@torch.no_grad()
def test_a_hidden_state_reaches_the_block_at_the_other_end() -> None:
    """With the first zero layer alone set, what differs from CLIP is what leaves the last block."""
    net = tiny().eval()
    layers = net.visual_control.transformer.zero_modules
    layers[0].bias.fill_(1.0)
    blocks: list[Tensor] = []
    for block in net.clip.visual.transformer.resblocks:
        block.register_forward_hook(lambda _, args, out: blocks.append(args[0]))
    net.encode_image(images())
    net.clip.visual(images())
    assert all(torch.equal(controlled, plain) for controlled, plain in zip(blocks[:3], blocks[3:], strict=True))
    layers[0].bias.zero_()
    layers[2].bias.fill_(1.0)
    blocks.clear()
    net.encode_image(images())
    net.clip.visual(images())
    torch.testing.assert_close(blocks[1], blocks[4] + 1)


@torch.no_grad()
def test_an_untrained_controller_changes_nothing_and_is_clips_tower() -> None:
    """Unlike the published initialisation, which shifts CLIP's ln_post into the first zero layer."""
    net = tiny().eval()
    for layer in net.visual_control.transformer.zero_modules:
        assert not layer.weight.any()
        assert not layer.bias.any()
    seen, plain = net.encode_image(images()), net.clip.visual(images())
    assert torch.equal(seen.content, plain)
    assert torch.equal(seen.degradation, plain)


def test_gradient_reaches_the_controller_and_the_temperature_alone() -> None:
    net = tiny()
    with torch.no_grad():
        for layer in net.visual_control.transformer.zero_modules:
            layer.weight.normal_(std=0.1)
    seen = net.encode_image(images())
    caption, named = net.encode_text(torch.arange(48).reshape(2, 24))
    pairs = ((seen.content, caption), (seen.degradation, named))
    sum(contrastive(image, text, net.logit_scale) for image, text in pairs).backward()
    reached = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {n for n, _ in net.named_parameters() if n.startswith("visual_control") or n == "logit_scale"}


def test_the_frozen_part_stays_in_evaluation_mode() -> None:
    net = tiny().train()
    assert net.visual_control.training
    assert not net.clip.training
    assert not net.clip.visual.transformer.resblocks[0].training


@pytest.mark.parametrize(
    ("tower", "text", "parameters", "trainable", "tensors"),
    [
        ((512, 224, 32, 768, 12, 12), (77, 49408, 512, 12, 8), 246_213_634, 94_936_321, 631 - 152),
        ((768, 224, 14, 1024, 24, 16), (77, 49408, 768, 12, 12), 756_773_122, 329_156_609, 1087 - 296),
    ],
)
def test_the_published_sizes(tower, text, parameters: int, trainable: int, tensors: int) -> None:
    """ViT-B/32 and ViT-L/14. Of the published 631 (1087) tensors 152 (296) repeat the image tower under a second name."""
    with torch.device("meta"):
        net = DACLIP(CLIP(VisionTower(*tower), *text))
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == trainable
    assert len(net.state_dict()) == tensors


def test_preparation_keeps_the_middle_and_takes_any_size() -> None:
    x = torch.zeros(1, 3, 40, 80)
    x[..., 30:50] = 1
    out = prepared(x, 20)
    assert out.shape == (1, 3, 20, 20)
    white, black = normalised(torch.ones(1, 3, 1, 1)), normalised(torch.zeros(1, 3, 1, 1))
    torch.testing.assert_close(out[..., 9:11], white.expand(1, 3, 20, 2))
    torch.testing.assert_close(out[..., :2], black.expand(1, 3, 20, 2))
    assert prepared(torch.rand(2, 3, 1, 7), 16).shape == (2, 3, 16, 16)
    assert torch.equal(prepared(x[..., 20:60], 40), normalised(x[..., 20:60]))


def test_duplicates_are_no_negatives_when_they_are_named() -> None:
    """Two samples that say the same are driven apart by plain InfoNCE, and not by the grouped one."""
    scale = torch.tensor(2.0)
    text = torch.eye(4)[[0, 0, 1, 2]]
    group = torch.tensor([0, 0, 1, 2])
    assert contrastive(text, text, scale, torch.arange(4)) == contrastive(text, text, scale)

    def slope(group: Tensor | None) -> float:
        """Of the loss, as the first two images turn apart from their common text to either side."""
        angle = torch.tensor(0.0, requires_grad=True)
        images = text + angle * torch.eye(4)[[3, 3, 0, 0]] * torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
        turned = text + angle * torch.eye(4)[[3, 3, 0, 0]] * torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
        loss = contrastive(images, turned, scale, group)
        (first,) = torch.autograd.grad(loss, angle, create_graph=True)
        return float(torch.autograd.grad(first, angle)[0])

    assert slope(None) < 0 < slope(group)


def test_the_temperature_is_bounded() -> None:
    a = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(contrastive(a, a, torch.tensor(9.0)), contrastive(a, a, torch.tensor(100.0)))
    assert torch.equal(contrastive(a, a, torch.tensor(-1.0)), contrastive(a, a, torch.tensor(0.0)))


def test_the_robust_loss_pulls_towards_the_clean_embedding_alone() -> None:
    damaged, clean = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)).requires_grad_().unbind()
    clean.retain_grad()
    damaged.retain_grad()
    robust_loss(damaged, clean).backward()
    assert clean.grad is None
    assert damaged.grad is not None
    assert robust_loss(2 * clean, clean) < 1e-6


def test_probabilities_name_the_nearest_text() -> None:
    texts = torch.eye(3, 8)
    p = degradation_probabilities(5 * texts[[2, 0]] + 0.1, texts, torch.tensor(10.0))
    torch.testing.assert_close(p.sum(1), torch.ones(2))
    assert p.argmax(1).tolist() == [2, 0]
    assert p.max() > 0.9


def test_wrong_inputs_are_explained() -> None:
    net = tiny()
    with pytest.raises(InputError, match=r"images \(B, 3, 32, 32\), got \(1, 3, 40, 40\); see `clip.prepared`"):
        net.encode_image(torch.zeros(1, 3, 40, 40))
    with pytest.raises(InputError, match=r"\(B, 24\): a caption and a degradation, got \(1, 12\)"):
        net.encode_text(torch.zeros(1, 12, dtype=torch.long))
    with pytest.raises(InputError, match="token numbers"):
        net.clip.encode_text(torch.zeros(1, 24, dtype=torch.long))
    with pytest.raises(ModelError, match="patches of 7"):
        VisionTower(16, 32, 7, 32, 1, 2)
    with pytest.raises(ModelError, match="cannot have 5 heads"):
        VisionTower(16, 32, 8, 32, 1, 5)


@torch.no_grad()
def test_openais_activation_is_another_function() -> None:
    torch.manual_seed(0)
    exact = VisionTower(16, 32, 8, 32, 1, 2).eval()
    quick = VisionTower(16, 32, 8, 32, 1, 2, quick=True).eval()
    quick.load_state_dict(exact.state_dict())
    assert 0 < (exact(images()) - quick(images())).abs().max() < 0.1
