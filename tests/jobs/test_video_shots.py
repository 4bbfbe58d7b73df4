"""Decisions about a clip: for a shot, not for a frame."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unveil.jobs import video
from unveil.jobs.inputs import find
from unveil.jobs.outputs import plan
from unveil.jobs.video import Decisions, Shot, shots
from unveil.models import shelf
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_experts

RESTORER = Restorer(tiny_experts(), device="cpu")


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
    told = Decisions(found, Options(), RESTORER).of(20)[1].told
    assert told is not None
    assert told["lowlight"] == 0
    assert told["noise"] > 0.4


def test_a_shot_that_is_dark_throughout_is_low_light() -> None:
    found = shots([scene(i, 0.1) for i in range(8)], describe)
    told = Decisions(found, Options(), RESTORER).of(7)[1].told
    assert told is not None
    assert told["lowlight"] > 0.9


def test_a_cut_begins_a_shot_and_each_has_its_own_decision() -> None:
    clip = [scene(1)] * 7 + [scene(2, 0.1)] * 5
    found = shots(clip, describe)
    assert [s.first for s in found] == [0, 7]
    decisions = Decisions(found, Options(keep="noise"), RESTORER)
    assert [decisions.of(n)[1].told["lowlight"] > 0 for n in (0, 6, 7, 11)] == [False, False, True, True]  # type: ignore[index]
    assert all(decisions.of(n)[1].told["noise"] == 0 for n in (0, 7))  # type: ignore[index]


@pytest.mark.parametrize("fix", [None, "noise"])
def test_at_strength_0_nothing_is_found_or_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fix: str | None
) -> None:
    def never() -> None:
        raise AssertionError("nobody needs to look")

    monkeypatch.setattr("unveil.jobs.video.describer.shipped", never)
    frames = [Image.fromarray((255 * scene(i)).astype(np.uint8)).quantize(64) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    job = plan(find([tmp_path / "a.gif"]), tmp_path / "out.gif")[0]
    row = video.restore(RESTORER, job, Options(strength=0, fix=fix), lambda count: nullcontext())
    assert not any("fixing" in note or "found" in note for note in row.notes)
    with Image.open(tmp_path / "a.gif") as before, Image.open(tmp_path / "out.gif") as after:
        for n in range(3):
            before.seek(n)
            after.seek(n)
            assert np.array_equal(before.convert("RGB"), after.convert("RGB"))


def test_what_flickers_between_frames_is_decided_once() -> None:
    answers = iter([{"noise": p} for p in (0.9, 0.05, 0.1, 0.9)])
    found = shots([scene(3)] * 19, lambda _: next(answers))
    decisions = Decisions(found, Options(), RESTORER)
    assert len({repr(decisions.of(n)[1].told) for n in range(19)}) == 1


def photograph(seed: int) -> np.ndarray:
    """Smooth colours with a few things in them, as photographs have."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 3, 5, 6)) ** 2)
    large = torch.nn.functional.interpolate(coarse, size=(120, 160), mode="bicubic").clamp(0, 1)
    return large[0].permute(1, 2, 0).numpy().astype(np.float32)


def test_cuts_between_pictures_of_like_brightness_are_found() -> None:
    """A histogram of brightness alone missed three of four."""
    looks = [photograph(seed) for seed in range(12)]
    looks = [np.clip(p * (0.45 / p.mean()), 0, 1) for p in looks]
    found = shots([p for p in looks for _ in range(3)], describe)
    assert [s.first for s in found] == list(range(0, 36, 3))


def test_motion_noise_and_light_are_no_cuts() -> None:
    picture = np.tile(photograph(3), (1, 2, 1))
    rng = np.random.default_rng(0)
    pan = [picture[:, at : at + 160] for at in range(0, 160, 16)]
    noisy = [np.clip(picture[:, :160] + rng.normal(0, 0.2, (120, 160, 3)), 0, 1).astype(np.float32) for _ in range(5)]
    fade = [picture[:, :160] * np.float32(light) for light in np.linspace(1, 0, 20)]
    for clip in (pan, noisy, fade):
        assert [s.first for s in shots(clip, describe)] == [0]


def test_each_shot_is_in_the_row_with_what_was_found_in_it() -> None:
    found = shots([scene(1)] * 7 + [scene(2, 0.1)] * 5, describe)
    decisions = Decisions(found, Options(), RESTORER, "somebody")
    row = decisions.protocol()
    assert [shot["first"] for shot in row["shots"]] == [0, 7]
    assert [shot["told"]["lowlight"] > 0.9 for shot in row["shots"]] == [False, True]
    assert row["describer"] == "somebody"
    assert row["told"] is None, "of no single photograph"
    first, second = decisions.notes()
    assert first.startswith("from frame 1: found noise 80%")
    assert second.startswith("from frame 8: found lowlight 98%")
    alone = Decisions(found[1:], Options(), RESTORER)
    assert alone.protocol()["told"]["lowlight"] > 0.9
    assert alone.notes()[0].startswith("found lowlight 98%")


def test_a_shot_in_the_shade_is_the_specialists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        shelf, "load", lambda name: replace(tiny_experts(seed=5), spec=replace(tiny_experts().spec, name=name))
    )
    general = Restorer(replace(tiny_experts(), specialists={"shadow": "penumbra"}), "cpu")
    found = [Shot(0, [{"noise": 0.9}]), Shot(4, [{"shadow": 0.95}])]
    decisions = Decisions(found, Options(), general)
    assert [decisions.of(n)[0].model.spec.name for n in (0, 3, 4)] == ["tiny", "tiny", "penumbra"]
    assert [shot["model"] for shot in decisions.protocol()["shots"]] == ["tiny", "penumbra"]
