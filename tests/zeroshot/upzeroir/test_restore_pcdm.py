"""PCDM: the identity at first, able to become a degradation, told of the latents' law."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.zeroshot.adapter import FPAM, applied
from unveil.zeroshot.distribution import Fit
from unveil.zeroshot.upzeroir import PCDM


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def law(alpha: float, sigma: float, groups: int = 4) -> Fit:
    one = torch.ones(1, groups)
    return Fit(0 * one, sigma * one, alpha * one)


def photograph(*size: int) -> Tensor:
    return torch.rand(1, 3, *(size or (12, 17)), generator=draw(1))


def test_returns_its_input_at_first_whatever_it_is_told() -> None:
    pcdm = PCDM(4, draw(), 8)
    for size in ((12, 17), (1, 1), (3, 64)):
        x = photograph(*size)
        for told in (law(0.2, 1e-4), law(2, 1), law(8, 30)):
            assert torch.equal(pcdm(x, told), x)


def test_can_begin_as_any_map_of_colours_and_learns_from_there() -> None:
    pcdm, x = PCDM(4, draw(), 8), photograph()
    matrix, offset = torch.randn(3, 3, generator=draw(4)), torch.randn(3, generator=draw(5))
    pcdm.begin_as(matrix, offset)
    goal = applied(matrix, offset, x)
    torch.testing.assert_close(pcdm(x, law(2, 1)), goal, rtol=0, atol=1e-6)
    (pcdm(x, law(2, 1)) - 0.9 * goal).square().mean().backward()
    assert float(pcdm.h1[-1].weight.grad.abs().max()) > 0
    assert not {"matrix", "offset"} & dict(pcdm.named_parameters()).keys()


def test_every_part_learns_from_the_first_or_second_step() -> None:
    pcdm, x = PCDM(4, draw(), 8), photograph()
    before = {k: v.clone() for k, v in pcdm.named_parameters()}
    optimiser = torch.optim.Adam(pcdm.parameters(), lr=1e-5)
    for _ in range(2):
        optimiser.zero_grad()
        (pcdm(x, law(2, 0.5)) - 0.3 * x).square().mean().backward()
        optimiser.step()
    assert [k for k, v in pcdm.named_parameters() if torch.equal(v, before[k])] == []


def test_the_published_rate_moves_an_identity_where_a_random_network_stays_random() -> None:
    """Adam's 1e-5 over 40 steps: from the identity the fit improves; F-PAM's random start is still far behind."""

    def losses(network: torch.nn.Module, *told: Fit) -> tuple[float, float]:
        x = photograph(8, 8)
        y = 0.8 * x + 0.1
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-5)
        out = []
        for _ in range(40):
            optimiser.zero_grad()
            loss = (network(x, *told) - y).square().mean()
            loss.backward()
            optimiser.step()
            out.append(float(loss.detach()))
        return out[0], out[-1]

    first, last = losses(PCDM(4, draw(), 16), law(2, 0.5))
    random_first, random_last = losses(FPAM(16, draw()))
    assert last < 0.95 * first
    assert random_first > 10 * first
    assert random_last > 10 * last


def test_what_it_is_told_changes_what_it_does_once_it_has_learnt() -> None:
    pcdm, x = PCDM(4, draw(), 8), photograph()
    with torch.no_grad():
        pcdm.linear.weight.normal_(std=0.1, generator=draw(2))
        assert float((pcdm(x, law(2, 0.5)) - pcdm(x, law(0.5, 0.5))).abs().max()) > 1e-3
        assert float((pcdm(x, law(2, 0.5)) - pcdm(x, law(2, 0.1))).abs().max()) > 1e-3


def test_sizes_of_the_published_width_and_of_its_start() -> None:
    pcdm = PCDM(4, draw())
    assert sum(p.numel() for p in pcdm.parameters()) == 373_577 + (8 + 1) * 6  # F-PAM's, and the linear layer
    same, other = PCDM(4, draw(), 8), PCDM(4, draw(3), 8)
    assert torch.equal(same.h1[0].weight, PCDM(4, draw(), 8).h1[0].weight)
    assert not torch.equal(same.h1[0].weight, other.h1[0].weight)
