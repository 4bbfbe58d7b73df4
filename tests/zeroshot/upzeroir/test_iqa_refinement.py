"""Dynamic refinement with judges that say what they are told: when it stops, what it keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fakes import Scripted
from torch import Tensor

from unveil.evaluation.metrics.naturalness import naturalness
from unveil.zeroshot.iqa import Refinement, from_distance, marks

NAN = math.nan


def picture(value: float) -> Tensor:
    return torch.full((1, 3, 2, 2), value)


def stops(
    scores: list[float], threshold: float = 0.01, rule: str = "rise", patience: int = 1
) -> tuple[int | None, float]:
    """After which of these estimates (valued 0, 1, 2, ...) refinement stops, and which it has kept by then."""
    refinement = Refinement(Scripted(*scores), threshold, rule, patience)
    at = next((i for i in range(len(scores)) if refinement.converged(picture(float(i)))), None)
    return at, math.nan if refinement.best is None else float(refinement.best[0, 0, 0, 0])


def test_marks_are_the_first_indices_under_each_tenth_of_the_path() -> None:
    assert marks(list(range(1000, -1, -1)), 1000, 0.1, 0.4) == {400, 300, 200, 100}
    assert marks(list(range(1000, -1, -30)), 1000, 0.1, 0.4) == {400, 280, 190, 100}
    assert marks([1000, 500, 0], 1000, 0.1, 0.4) == set()
    assert marks([350, 150, 0], 1000, 0.1, 0.4) == {350, 150}  # a descent that begins under a mark: one score, not two
    assert marks(list(range(1000, -1, -1)), 1000, 0.5, 0.4) == set()


@pytest.mark.parametrize(
    ("scores", "options", "stop", "kept"),
    [
        ([0.1, 0.2, 0.3, 0.4], {}, None, 3),
        ([0.1, 0.2, 0.205, 0.4], {}, 2, 2),
        ([0.1, 0.3, 0.2, 0.4], {}, 2, 1),  # a fall has converged too, and the best before it is kept
        ([0.1, 0.3, 0.2, 0.4], {"rule": "change"}, None, 3),
        ([0.1, 0.3, 0.295], {"rule": "change"}, 2, 1),
        ([0.1, 0.105, 0.2, 0.201, 0.202, 0.9], {"patience": 2}, 4, 4),
        ([0.1, 0.15, 0.2], {"threshold": 0.1}, 1, 1),
        ([NAN, 0.1, NAN, 0.1], {}, None, 1),  # no opinion: neither calm nor best
        ([NAN, NAN], {}, None, NAN),
    ],
)
def test_when_it_stops_and_what_it_keeps(scores: list[float], options: dict, stop: int | None, kept: float) -> None:
    assert stops(scores, **options) == pytest.approx((stop, kept), nan_ok=True)


def test_the_first_score_of_a_descent_is_not_compared_with_the_descent_before() -> None:
    refinement = Refinement(Scripted(0.1, 0.5, 0.2, 0.25), 0.01)
    assert not refinement.converged(picture(0))
    assert not refinement.converged(picture(1))
    refinement.begin()
    assert not refinement.converged(picture(2))  # 0.2 after 0.5, but of a new descent
    assert not refinement.converged(picture(3))
    assert float(refinement.best[0, 0, 0, 0]) == 1  # type: ignore[index]


def test_another_descent_is_taken_only_after_a_result_that_gained() -> None:
    assert not Refinement(Scripted(0.4), 0.01).finished(picture(0))  # nothing to compare with
    for last, worth in ((0.5, True), (0.405, False), (0.2, False)):
        refinement = Refinement(Scripted(0.3, 0.4, last), 0.01)
        refinement.converged(picture(0))
        refinement.converged(picture(1))
        assert refinement.finished(picture(2)) is not worth


def test_judges_see_images_between_0_and_1() -> None:
    judge = Scripted(0.5)
    Refinement(judge, 0.01).converged(torch.tensor([-3.0, -1.0, 0.0, 1.0, 5.0]).view(1, 1, 1, 5))
    assert judge.seen[0].flatten().tolist() == [0, 0, 0.5, 1, 1]


def test_a_distance_as_a_judge_turns_round_and_scales() -> None:
    shown = []

    def distance(image: np.ndarray) -> float:
        shown.append(image)
        return 3.0 if image.mean() > 0.5 else 27.0

    judge = from_distance(distance, smallest=8)
    x = torch.rand(1, 3, 5, 11, generator=torch.Generator().manual_seed(0))
    assert judge(0.5 + x / 2) == pytest.approx(0.5)
    assert judge(x / 2) == pytest.approx(0.1)
    assert shown[0].shape == (8, 11, 3)
    np.testing.assert_array_equal(shown[0][:5], (0.5 + x / 2)[0].permute(1, 2, 0).numpy())
    np.testing.assert_array_equal(shown[0][5:], shown[0][3:0:-1])


def test_the_shipped_naturalness_judges_a_photograph_over_its_noisy_self(photograph: Tensor) -> None:
    judge = from_distance(naturalness)
    noisy = photograph + 0.15 * torch.randn(photograph.shape, generator=torch.Generator().manual_seed(0))
    clean_score, noisy_score = judge(photograph), judge(noisy.clamp(0, 1))
    assert 0.2 < clean_score < 0.8
    assert clean_score > noisy_score + 0.05
    assert 0 < judge(photograph[..., :40, :50]) < 1
    # Where every patch is flat the measure has no opinion.
    assert math.isnan(judge(torch.full((1, 3, 96, 96), 0.5)))
