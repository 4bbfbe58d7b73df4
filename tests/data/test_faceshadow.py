"""The data set on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil.data.faceshadow import ONE_IN, FaceShadowSettings, build, identity, sheet, split
from unveil.data.pairs import recognise
from unveil.errors import InputError

SETTINGS = FaceShadowSettings(seed=5, size=40)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Four persons with two faces each."""
    for person in ("anna", "bert", "carla", "dan"):
        for i in range(2):
            path = tmp_path / "faces" / person / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (50, 44, 3)).astype(np.uint8)).save(path)
    return tmp_path / "faces"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.png"))}


def test_pairs_do_not_depend_on_workers_interruptions_or_how_many_follow(faces: Path, tmp_path: Path) -> None:
    assert build(faces, tmp_path / "a", 34, SETTINGS, workers=1).made == 34
    assert build(faces, tmp_path / "b", 10, SETTINGS, workers=3).made == 10
    lost = sorted((tmp_path / "b").rglob("*.png"))[3]
    lost.unlink()
    seen: list[int] = []
    again = build(faces, tmp_path / "b", 34, SETTINGS, workers=3, progress=seen.append)
    assert (again.made, again.there, again.failed) == (25, 9, [])
    assert seen == list(range(1, 35))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 68


def test_persons_do_not_cross_the_split(faces: Path, tmp_path: Path) -> None:
    build(faces, tmp_path / "out", 2 * ONE_IN, SETTINGS)
    people = {
        side: {p.name.split("_")[0] for p in (tmp_path / "out" / side / "clean").iterdir()}
        for side in ("train", "validation")
    }
    assert len(people["validation"]) == 1
    assert len(people["train"]) == 3
    assert people["train"].isdisjoint(people["validation"])
    assert len(list((tmp_path / "out" / "validation" / "clean").iterdir())) == 2
    found = recognise(tmp_path / "out")
    assert [f.layout.name for f in found] == ["FaceShadow"]
    assert len(found[0].match.pairs) == 2 * ONE_IN - 2


def test_a_flat_folder_has_a_person_in_each_file(tmp_path: Path) -> None:
    files = [tmp_path / f"face {i}.png" for i in range(3)]
    assert [identity(f, tmp_path) for f in files] == ["face-0", "face-1", "face-2"]
    train, held = split(files, tmp_path)
    assert (len(train), len(held)) == (2, 1)
    assert split(files[:1], tmp_path) == (files[:1], [])  # nobody to hold out


def test_other_settings_do_not_mix(faces: Path, tmp_path: Path) -> None:
    build(faces, tmp_path / "out", 2, SETTINGS)
    with pytest.raises(InputError, match="seed 5 -> 6"):
        build(faces, tmp_path / "out", 2, FaceShadowSettings(seed=6, size=40))
    with pytest.raises(InputError, match="1 or more"):
        build(faces, tmp_path / "new", 0, SETTINGS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images here"):
        build(tmp_path / "empty", tmp_path / "new", 1, SETTINGS)


@pytest.mark.parametrize("output", ["FS", "."])
def test_what_was_made_is_no_face(faces: Path, output: str) -> None:
    build(faces, faces / output, 2, SETTINGS)
    sheet(faces / output, rows=1, columns=2, side=40)
    assert build(faces, faces / output, 4, SETTINGS).made == 2


def test_an_unreadable_face_is_named_and_the_others_are_made(faces: Path, tmp_path: Path) -> None:
    (faces / "anna" / "0.png").write_text("not a face")
    outcome = build(faces, tmp_path / "out", 24, SETTINGS)
    assert outcome.failed
    assert all("anna/0.png" in reason for reason in outcome.failed)
    assert outcome.made == 24 - len(outcome.failed)


def test_the_sheet_shows_degraded_above_clean(faces: Path, tmp_path: Path) -> None:
    build(faces, tmp_path / "out", 3, SETTINGS)
    with Image.open(sheet(tmp_path / "out", rows=1, columns=3, side=40)) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (80, 3 * 44 - 4, 3)
    assert (pixels[:40, :40] <= pixels[40:, :40]).all()
    assert (pixels[:40, :40] < pixels[40:, :40]).any()
