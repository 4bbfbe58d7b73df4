from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from unveil.networks.compact import CompactUNet
from unveil.training.optimiser import MuonFloat32, Optimiser, orthogonalise


def network() -> CompactUNet:
    torch.manual_seed(0)
    return CompactUNet(4, (1, 2), 1, conditioned=True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def one_step(net: CompactUNet, optimiser: Optimiser, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 16, 16, generator=generator)
    for parameter in net.parameters():
        parameter.grad = None
    (net(x, x, torch.full((2,), 0.5)) - x).square().mean().backward()
    optimiser.step()


def test_muon_moves_a_matrix_along_an_orthogonal_direction_of_the_size_of_adamw_s() -> None:
    """U V^T of a full-rank gradient has all singular values 1; match_rms_adamw scales the update by 0.2 sqrt(max side)."""
    layer = nn.Linear(12, 8, bias=False)
    module = nn.ModuleDict({"body": layer})
    optimiser = Optimiser("muon", module, 0.01)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(8, 12, generator=torch.Generator().manual_seed(2))
    optimiser.step()
    update = (before * (1 - 0.01 * 0.01) - layer.weight.detach()) / (0.01 * 0.2 * 12**0.5)
    values = torch.linalg.svdvals(update)
    assert values.min() > 0.6
    assert values.max() < 1.3


COEFFICIENTS = (3.4445, -4.775, 2.0315)


@pytest.mark.parametrize(("high", "wide"), [(6, 54), (12, 12), (20, 5)])
def test_the_orthogonalisation_is_the_polynomial_of_the_singular_values(high: int, wide: int) -> None:
    """Newton-Schulz maps every singular value s to p(p(...p(s))) with p(s) = a s + b s^3 + c s^5 and leaves the singular vectors."""
    matrix = torch.randn(high, wide, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    a, b, c = COEFFICIENTS
    u, s, v = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    torch.testing.assert_close(orthogonalise(matrix, COEFFICIENTS, 5, 1e-7), u * s @ v, atol=1e-12, rtol=0)
    single = orthogonalise(matrix.float(), COEFFICIENTS, 5, 1e-7)
    torch.testing.assert_close(single.double(), u * s @ v, atol=1e-4, rtol=0)


def test_muon_in_fp32_is_torch_s_muon_but_for_the_rounding_of_bf16() -> None:
    start = torch.randn(8, 24, generator=torch.Generator().manual_seed(3))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
    optimisers = (MuonFloat32([ours], **settings), torch.optim.Muon([theirs], **settings))
    for seed in range(4):
        ours.grad = torch.randn(8, 24, generator=torch.Generator().manual_seed(seed))
        theirs.grad = ours.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved
    state = [optimiser.state_dict()["state"][0] for optimiser in optimisers]
    assert state[0].keys() == state[1].keys()
    torch.testing.assert_close(state[0]["momentum_buffer"], state[1]["momentum_buffer"], atol=1e-6, rtol=0)


def test_convolutions_are_moved_in_place_through_their_matrices() -> None:
    net = network()
    optimiser = Optimiser("muon", net, 0.01)
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    for seed in range(3):  # layers that begin at zero pass gradients on one step later
        one_step(net, optimiser, seed)
    still = [k for k, p in net.named_parameters() if torch.equal(p, before[k]) and not k.startswith("condition")]
    assert still == []


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_moments_saved_by_name_go_on_bit_for_bit(kind: str) -> None:
    net = network()
    optimiser = Optimiser(kind, net, 0.01)
    for seed in range(3):
        one_step(net, optimiser, seed)
    saved, weights = {k: v.clone() for k, v in optimiser.state().items()}, copy.deepcopy(net.state_dict())
    one_step(net, optimiser, 9)
    again = network()
    again.load_state_dict(weights)
    other = Optimiser(kind, again, 0.01)
    assert other.restore(saved)
    one_step(again, other, 9)
    for (name, a), b in zip(net.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_moments_that_do_not_fit_are_left_and_said() -> None:
    net = network()
    assert not Optimiser("muon", net, 0.01).restore({})
    wrong = {f"{name}.exp_avg": torch.zeros(1, 2, 3) for name, _ in net.named_parameters()}
    assert not Optimiser("adamw", net, 0.01).restore(wrong)


def test_the_rate_is_that_of_both() -> None:
    net = network()
    optimiser = Optimiser("muon", net, 0.5)
    optimiser.rate(0.0)
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    one_step(net, optimiser, 0)
    assert all(torch.equal(p, before[k]) for k, p in net.named_parameters())
