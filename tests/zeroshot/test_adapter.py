import pytest
import torch
from safetensors.torch import load_file

from unveil.zeroshot.adapter import FPAM, Adversary, Discriminator, applied, simplest


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_published_sizes():
    assert count(FPAM()) == 373_577
    assert count(FPAM(8)) == 6_385
    assert count(Discriminator()) == 371_073


@pytest.mark.shared
@pytest.mark.parametrize("width", [8, 64])
def test_golden_forward_of_the_official_network(shared, width):
    golden = load_file(shared / "golden" / "zeroshot_fpam.safetensors")
    names = {"net1": "h1", "net2": "h2", "skip_scale1": "p"}
    own = {k.removeprefix(f"w{width}."): v for k, v in golden.items() if k.startswith(f"w{width}.")}
    x, first, out = (own.pop(k) for k in ("in", "net1_out", "out"))
    network = FPAM(width)
    network.load_state_dict({k.replace(k.split(".")[0], names[k.split(".")[0]]): v for k, v in own.items()})
    torch.testing.assert_close(network.h1(x), first, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network(x), out, rtol=1e-5, atol=1e-5)


def test_first_weights_follow_their_generator():
    one, two, other = (FPAM(4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.h1[0].weight, other.h1[0].weight)
    weight = FPAM(64, torch.Generator().manual_seed(0)).h2[2].weight.detach()
    assert float(weight.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_the_adversary_learns_and_passes_its_doubt_on():
    g = torch.Generator().manual_seed(0)
    adversary = Adversary(Discriminator(4, g), 1e-2)
    fake, real = torch.rand(1, 3, 16, 16, generator=g), 1 + torch.rand(1, 3, 16, 16, generator=g)
    for _ in range(30):
        adversary.learn(fake, real)
    assert float(adversary.doubt(real)) < 0.3 < 1 < float(adversary.doubt(fake))
    x = fake.clone().requires_grad_(True)
    adversary.doubt(x).backward()
    assert x.grad is not None
    assert x.grad.any()
    assert all(p.grad is None or not p.requires_grad for p in adversary.network.parameters())


@pytest.mark.parametrize("task", ["denoise", "lowlight", "dehaze", "colorize"])
def test_it_can_begin_as_the_simplest_damage(task):
    g = torch.Generator().manual_seed(1)
    clean, network = torch.rand(1, 3, 20, 24, generator=g) * 2 - 0.5, FPAM(6, g)
    first = simplest(task, 0.1 + 0.3 * torch.rand(1, 3, 20, 24, generator=g))
    network.begin_as(*first)
    torch.testing.assert_close(network(clean), applied(*first, clean), rtol=0, atol=1e-5)
    network(clean).square().mean().backward()
    assert network.h2[-1].weight.grad.abs().max() > 0  # and learns from there


def test_the_simplest_damage_is_read_off_the_photograph():
    ramp = torch.linspace(0, 1, 10_000).reshape(1, 1, 100, 100).expand(1, 3, -1, -1)
    for task, y, matrix, offset in (
        ("lowlight", 0.09 * torch.ones_like(ramp), 0.2, 0.0),
        ("lowlight", 0.9 * torch.ones_like(ramp), 1.0, 0.0),
        ("dehaze", 0.4 + 0.5 * ramp, 0.49, 0.405),
        ("dehaze", 0.4 * torch.ones_like(ramp), 1.0, 0.0),  # nothing to stretch
        ("", 0.3 * ramp, 1.0, 0.0),
    ):
        found, moved = simplest(task, y)
        torch.testing.assert_close(found, matrix * torch.eye(3), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(moved, torch.full((3,), offset), rtol=1e-3, atol=1e-4)
