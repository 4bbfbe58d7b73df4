from __future__ import annotations

import pytest
import torch

from unveil.networks.compact import BORDER, CompactUNet, TimestepExperts, logarithm
from unveil.networks.condition import KINDS, SIZE, condition, vector

SIZES = {"base": 4, "mults": (1, 2), "blocks": 1, "up_blocks": 1}


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 16, 16, generator=generator), torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1


def stirred(module: torch.nn.Module) -> None:
    torch.manual_seed(0)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.1)


@pytest.mark.parametrize(
    ("level", "name"), [(BORDER, "low"), (0.866, "low"), (BORDER - 1e-3, "native"), (0.09, "native")]
)
def test_the_noise_level_decides_which_expert_answers(level: float, name: str) -> None:
    experts = TimestepExperts(SIZES, SIZES)
    stirred(experts)
    x_t, y = batch()
    told = condition(torch.rand(2, len(KINDS)), torch.tensor([True, False]), torch.tensor([0.3, 1.0]))
    levels = torch.full((2,), level)
    alone = getattr(experts, name)(x_t, y, levels, told)
    assert torch.equal(experts(x_t, y, levels, told), alone)


def test_a_condition_says_what_is_known_and_hides_the_rest() -> None:
    probabilities = torch.rand(2, len(KINDS))
    out = condition(probabilities, torch.tensor([True, False]), torch.tensor([0.25, 1.0]))
    assert out.shape == (2, SIZE)
    assert torch.equal(out[0, : len(KINDS)], probabilities[0])
    assert out[0, -2:].tolist() == [1.0, 0.25]
    assert out[1].tolist() == [0.0] * len(KINDS) + [0.0, 1.0]


def test_a_vector_follows_the_order_that_models_were_trained_in() -> None:
    assert KINDS == ("haze", "shadow", "lowlight", "noise", "blur", "jpeg", "rain")
    assert vector({"noise": 0.5, "haze": 1.0, "clean": 0.9}).tolist() == [1.0, 0, 0, 0.5, 0, 0, 0]


def test_a_fresh_condition_changes_nothing_and_a_trained_one_does() -> None:
    x_t, y = batch()
    network = CompactUNet(4, (1, 2), 1, conditioned=True)
    for name, parameter in network.named_parameters():
        if not parameter.any() and not name.startswith("condition"):
            parameter.data.normal_(std=0.1)
    level = torch.full((2,), 0.4)
    told = condition(torch.ones(2, len(KINDS)), torch.ones(2, dtype=torch.bool), torch.ones(2))
    assert torch.equal(network(x_t, y, level, told), network(x_t, y, level))
    stirred(network)
    assert not torch.equal(network(x_t, y, level, told), network(x_t, y, level))


def test_the_decoder_may_be_shorter_than_the_encoder() -> None:
    assert [len(level) for level in CompactUNet(4, (1, 2, 2), 2, up_blocks=1).up] == [1, 1]
    assert [len(level) for level in CompactUNet(4, (1, 2, 2), 2).up] == [2, 2]


def test_decoding_stops_at_the_levels_that_are_wanted_and_changes_none_of_them() -> None:
    network = CompactUNet(4, (1, 2, 2), 1)
    stirred(network)
    (x_t, y), level = batch(), torch.full((2,), 0.4)
    whole = network.features(x_t, y, level).levels
    run: list[int] = []
    for i, grow in enumerate(network.grow):
        grow.register_forward_hook(lambda *_, i=i: run.append(i))
    for coarsest in (1, 2, 3):
        run.clear()
        part = network.features(x_t, y, level, coarsest=coarsest).levels
        assert len(part) == coarsest
        assert all(torch.equal(a, b) for a, b in zip(part, whole[3 - coarsest :], strict=True))
        assert run == [1, 0][: coarsest - 1]


def test_the_logarithm_of_light_spreads_the_dark() -> None:
    levels = torch.tensor([0.0, 1, 3, 15, 255])
    expected = torch.tensor([-1.0, -0.75, -0.5, 0.0, 1.0])  # ln(1 + v) / ln(256) = 0, 1/8, 2/8, 4/8, 1
    assert torch.allclose(logarithm(levels / 127.5 - 1), expected, atol=1e-6)
    assert torch.equal(logarithm(torch.tensor([-1.5, 1.5])), torch.tensor([-1.0, 1.0]))


@pytest.mark.parametrize("pooled", [False, True])
def test_a_pooled_network_sees_the_whole_picture_and_another_its_neighbourhood(pooled: bool) -> None:
    network = CompactUNet(4, (1, 2), 1, up_blocks=1, log_light=True, pooled=pooled)
    stirred(network)
    y = torch.rand(1, 3, 16, 160, generator=torch.Generator().manual_seed(0)) * 2 - 1
    other = y.clone()
    other[..., 150:] += 0.5
    out, changed = (network(0.5 * image, image, torch.tensor([0.8])) for image in (y, other))
    assert torch.equal(out[..., :16], changed[..., :16]) is not pooled
