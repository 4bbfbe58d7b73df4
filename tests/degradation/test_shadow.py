from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.primitives import linear_to_srgb, srgb_to_linear
from unveil.degradation.shadow import SHAPES, shadow, shadow_mask


def test_a_shadow_never_brightens(photographs: Tensor, generator: torch.Generator) -> None:
    for severity in (None, 0.0, 1.0):
        y, _ = shadow(photographs, generator, severity)
        assert (y <= photographs).all()


def test_linear_light_times_the_returned_factor(photographs: Tensor, generator: torch.Generator) -> None:
    y, drawn = shadow(photographs, generator)
    assert drawn["light"].shape == photographs.shape
    expected = linear_to_srgb(srgb_to_linear(photographs) * drawn["light"])
    torch.testing.assert_close(y, expected, atol=2e-6, rtol=0)


def test_outside_the_mask_nothing_changes(photographs: Tensor, generator: torch.Generator) -> None:
    y, drawn = shadow(photographs, generator)
    lit = (drawn["mask"] == 0).expand_as(y)
    assert lit.any()
    torch.testing.assert_close(y[lit], photographs[lit], atol=2e-6, rtol=0)


def test_light_left_follows_the_severity(photographs: Tensor, generator: torch.Generator) -> None:
    for severity, level in ((0.0, 0.8), (1.0, 0.12)):
        _, drawn = shadow(photographs, generator, severity)
        # Clipping to [0.03, 0.97] moves the mean of a strongly coloured one a little.
        torch.testing.assert_close(drawn["attenuation"].mean(1).median(), torch.tensor(level), atol=0.03, rtol=0)


def test_masks_cover_what_was_asked(generator: torch.Generator) -> None:
    wanted = torch.linspace(0.1, 0.6, 40).view(-1, 1, 1, 1)
    mask = shadow_mask(40, 96, 96, generator, wanted)
    covered = (mask > 0.5).float().mean((1, 2, 3))
    assert (covered - wanted.flatten()).abs().max() < 0.04
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_every_shape_draws_an_inside_and_an_outside(generator: torch.Generator) -> None:
    from unveil.degradation import shadow as masks

    v, u = masks.grid(48, 80)
    p, q = v.expand(5, 1, 48, 80), u.expand(5, 1, 48, 80)
    shapes = (masks._half_plane, masks._polygon, masks._ellipse, masks._blob, masks._leaves, masks._bars)
    assert len(shapes) == len(SHAPES)
    for draw in shapes:
        field = draw(p, q, generator)
        assert field.shape == (5, 1, 48, 80)
        assert torch.isfinite(field).all()
        # A penumbra means the same for all shapes only if they rise at about one unit per unit of length.
        slope = (field.diff(dim=3)[:, :, 1:].square() + field.diff(dim=2)[:, :, :, 1:].square()).sqrt().mean() * 80
        assert 0.3 < slope < 3, draw.__name__
