from __future__ import annotations

import copy
import multiprocessing
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from unveil.networks.compact import CompactUNet
from unveil.training.distributed import World, balanced
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


def test_work_is_balanced_by_its_cost() -> None:
    assert balanced([1, 7, 5, 4, 3], 2) == [1, 0, 1, 1, 0]
    assert balanced([2, 9], 3) == [1, 0]
    assert balanced([], 2) == []


def there(work: Callable[[World], Any], rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    torch.save(work(World(rank, size)), folder / f"{rank}.pt")
    dist.destroy_process_group()


def together(work: Callable[[World], Any], size: int, folder: Path) -> list[Any]:
    """What `work` returns in each of so many processes."""
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)
        processes = [
            multiprocessing.get_context("fork").Process(target=there, args=(work, rank, size, folder))
            for rank in range(size)
        ]
        for process in processes:
            process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * size
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]


def moved(net: nn.Module, steps: range, saved: dict[str, Tensor], world: World) -> tuple[dict[str, Any], ...]:
    """Weights and moments after steps along random gradients; and the moments that this process keeps itself."""
    optimiser = Optimiser("muon", net, 0.01, world=world)
    if saved:
        assert optimiser.restore(saved)
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in net.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator).contiguous(
                memory_format=torch.channels_last if parameter.ndim == 4 else torch.contiguous_format
            )
        optimiser.step()
    kept = {k: v for muon, named in optimiser._named if isinstance(muon, torch.optim.Muon) for k, v in named.items()}
    return net.state_dict(), optimiser.state(), kept


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.skipif(sys.platform != "linux", reason="needs processes that begin with what this one has in memory")
def test_processes_that_share_muon_have_the_weights_and_moments_of_one_that_does_it_all(tmp_path: Path) -> None:
    """Bit for bit, with two and three of them, and where three go on with what two left."""
    weights, moments, kept = moved(network(), range(3), {}, World())
    halves = together(lambda world: moved(network(), range(3), {}, world), 2, tmp_path / "two")
    for part in halves:
        assert same(part[0], weights)
        assert same(part[1], moments)
    shares = [set(part[2]) for part in halves]
    assert shares[0] | shares[1] == set(kept)
    assert shares[0] & shares[1] == set()
    assert all(shares)

    def on(world: World) -> tuple[dict[str, Any], ...]:
        net = network()
        net.load_state_dict(halves[0][0])
        return moved(net, range(3, 5), halves[0][1], world)

    weights, moments, _ = moved(network(), range(5), {}, World())
    for part in together(on, 3, tmp_path / "three"):
        assert same(part[0], weights)
        assert same(part[1], moments)


@pytest.mark.skipif(sys.platform != "linux", reason="needs processes that begin with what this one has in memory")
def test_a_process_may_have_no_matrix_to_move(tmp_path: Path) -> None:
    def layer() -> nn.Module:
        torch.manual_seed(0)
        return nn.ModuleDict({"body": nn.Linear(6, 4)})

    weights, moments, _ = moved(layer(), range(2), {}, World())
    parts = together(lambda world: moved(layer(), range(2), {}, world), 2, tmp_path / "two")
    assert [len(part[2]) for part in parts] == [1, 0]
    for part in parts:
        assert same(part[0], weights)
        assert same(part[1], moments)
