"""Decisions about a clip: for a shot, not for a frame."""

from __future__ import annotations

import numpy as np

from unveil.jobs.video import Decisions, shots
from unveil.restorer import Options


def scene(seed: int, light: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).random((48, 64, 3), dtype=np.float32) * np.float32(light)


def describe(pixels: np.ndarray) -> dict[str, float]:
    """Dark is low light; noise is half as sure on dark frames."""
    dark = float(pixels.mean()) < 0.15
    return {"lowlight": 0.98 if dark else 0.01, "noise": 0.4 if dark else 0.8}


def test_a_fade_is_one_shot_and_no_low_light() -> None:
    fade = [scene(0, light) for light in np.linspace(1, 0, 24)]
    found = shots(fade, describe)
    assert [s.first for s in found] == [0]
    assert found[0].probabilities["lowlight"] == 0.01
    told = Decisions(found, Options()).options(20).told
    assert told is not None
    assert told["lowlight"] == 0
    assert told["noise"] > 0.4


def test_a_shot_that_is_dark_throughout_is_low_light() -> None:
    found = shots([scene(i, 0.1) for i in range(8)], describe)
    told = Decisions(found, Options()).options(7).told
    assert told is not None
    assert told["lowlight"] > 0.9


def test_a_cut_begins_a_shot_and_each_has_its_own_decision() -> None:
    clip = [scene(1)] * 7 + [scene(2, 0.1)] * 5
    found = shots(clip, describe)
    assert [s.first for s in found] == [0, 7]
    decisions = Decisions(found, Options(keep="noise"))
    assert [decisions.options(n).told["lowlight"] > 0 for n in (0, 6, 7, 11)] == [False, False, True, True]  # type: ignore[index]
    assert all(decisions.options(n).told["noise"] == 0 for n in (0, 7))  # type: ignore[index]


def test_what_flickers_between_frames_is_decided_once() -> None:
    answers = iter([{"noise": p} for p in (0.9, 0.05, 0.1, 0.9)])
    found = shots([scene(3)] * 19, lambda _: next(answers))
    decisions = Decisions(found, Options())
    assert len({repr(decisions.options(n).told) for n in range(19)}) == 1
