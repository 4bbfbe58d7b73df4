"""The fit of the law of the light behind `unveil describe`, on numbers made up so that what tells a kind is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recipes._damaged_crops import KINDS
from recipes._light_law import OVERLOOKED, against_the_light, fit_light
from unveil.models.treatment import NOTICED
from unveil.networks.classifier import DegradationClassifier
from unveil.networks.photometry import JUDGED, MEASURES

ASKED = 6


def cuts(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Three in ten have each kind; two of the restorer's numbers and six of the measures tell it."""
    own = torch.Generator().manual_seed(seed)
    has = (torch.rand(count, 2, generator=own) < 0.3).float()
    numbers = torch.randn(count, ASKED + MEASURES + len(KINDS), generator=own)
    for k in range(2):
        numbers[:, 2 * k : 2 * k + 2] += 2 * has[:, k : k + 1]
        numbers[:, ASKED + 10 * k : ASKED + 10 * k + 6] += 1.5 * has[:, k : k + 1]
    return numbers, has, torch.ones(count, 2)


def test_where_the_first_law_settles_it_nothing_is_treated_and_little_is_overlooked() -> None:
    torch.manual_seed(0)
    net = DegradationClassifier(KINDS, 8).requires_grad_(False)
    law = fit_light(net, cuts(2000, 1), cuts(1500, 2), ASKED)
    numbers, _, _ = cuts(1500, 2)
    law.requires_grad_(False)
    assert law.first is not None
    whole, first = torch.sigmoid(law(numbers)), law.first(law.standard(numbers[:, ASKED:]))
    for k, kind in enumerate(JUDGED):
        settled, treated = first[:, k] < law.least[k], whole[:, k] >= NOTICED[kind]
        assert float(torch.sigmoid(first[settled, k]).max()) < NOTICED[kind], "what is settled is never treated"
        assert float(settled[treated].float().mean()) == pytest.approx(OVERLOOKED, abs=0.003)
        assert float(settled[~treated].float().mean()) > 0.6
    alone = law.settled(numbers[:1, ASKED:])
    assert (alone is not None) == bool((first[0] < law.least).all())


def test_against_the_light_only_the_brightest_part_keeps_its_light() -> None:
    generator = torch.Generator().manual_seed(6)
    for _ in range(5):
        image = torch.full((3, 48, 64), 0.5)
        image[:, 12:36, 20:44] = 0.95  # a window
        y = against_the_light(image, generator)
        assert (y <= image + 1e-6).all()
        left = (y / image)[0]
        assert float(left[16:32, 24:40].max()) > 0.9
        assert float(left.quantile(0.25)) < 0.6  # a fifth of the light is 0.48 of the encoded value
        assert float((left > 0.9).float().mean()) < 0.5
