from __future__ import annotations

import torch

from unveil.degradation.primitives import fractal, grid, guided, separable, smooth, smoothstep, stretch
from unveil.util.tensors import mirror


def test_smooth_fields_have_zero_mean_and_unit_variance(generator: torch.Generator) -> None:
    f = smooth(400, 24, 40, generator, 4)
    assert f.shape == (400, 1, 24, 40)
    assert abs(f.mean()) < 0.05
    assert abs(f.var() - 1) < 0.1
    rough = fractal(400, 24, 40, generator, 3, 3, torch.full((400, 1, 1, 1), 0.5))
    assert abs(rough.var() - 1) < 0.1


def test_smooth_fields_are_smooth_and_differ(generator: torch.Generator) -> None:
    f = smooth(2, 128, 128, generator, 3)
    # Three patches over 128 pixels: a step between neighbours is some 1/40 of the range.
    assert f.diff(dim=3).abs().max() < 0.15
    assert not torch.equal(f[0], f[1])


def test_more_cells_vary_faster(generator: torch.Generator) -> None:
    coarse, fine = smooth(20, 64, 64, generator, 2), smooth(20, 64, 64, generator, 12)
    assert fine.diff(dim=3).square().mean() > 9 * coarse.diff(dim=3).square().mean()


def test_grid_is_centred_and_isotropic() -> None:
    v, u = grid(3, 5)
    torch.testing.assert_close(u, torch.tensor([[-0.4, -0.2, 0.0, 0.2, 0.4]]))
    torch.testing.assert_close(v.flatten(), torch.tensor([-0.2, 0.0, 0.2]))


def test_stretch_and_smoothstep() -> None:
    f = torch.tensor([[2.0, 4.0, 6.0], [5.0, 5.0, 5.0]]).view(2, 1, 1, 3)
    assert stretch(f).flatten().tolist() == [0, 0.5, 1, 0.5, 0.5, 0.5]
    assert smoothstep(torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])).tolist() == [0, 0, 0.5, 1, 1]


def test_mirror_is_numpys_reflect_at_any_margin() -> None:
    assert mirror(4, 2, 3).tolist() == [2, 1, 0, 1, 2, 3, 2, 1, 0]
    assert mirror(2, 3, 2).tolist() == [1, 0, 1, 0, 1, 0, 1]
    assert mirror(1, 2, 2).tolist() == [0, 0, 0, 0, 0]


def test_separable_filter_is_the_outer_product(generator: torch.Generator) -> None:
    x = torch.rand(2, 3, 8, 9, generator=generator)
    taps = torch.tensor([[0.5, 0.25], [0.4, 0.3]])
    for i, (centre, side) in enumerate(taps.tolist()):
        k = torch.tensor([side, centre, side])
        kernel = (k.view(3, 1) * k.view(1, 3))[None, None]
        padded = torch.nn.functional.pad(x[i : i + 1], (1, 1, 1, 1), mode="reflect")
        direct = torch.nn.functional.conv2d(padded[0][:, None], kernel)[:, 0]
        torch.testing.assert_close(separable(x, taps)[i], direct, atol=1e-6, rtol=0)


def test_guided_filter_keeps_the_guides_edge_and_constants(generator: torch.Generator) -> None:
    guide = torch.zeros(1, 1, 64, 64)
    guide[..., 32:] = 1.0
    rough = guide + 0.2 * torch.randn(1, 1, 64, 64, generator=generator)
    out = guided(guide, rough)
    assert out[..., 32].mean() - out[..., 31].mean() > 0.8
    assert out[..., :20].std() < 0.05
    torch.testing.assert_close(
        guided(guide, torch.full_like(guide, 0.3)), torch.full_like(guide, 0.3), atol=1e-5, rtol=0
    )
