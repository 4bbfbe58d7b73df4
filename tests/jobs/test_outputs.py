from __future__ import annotations

from pathlib import Path

import pytest

from unveil.errors import InputError
from unveil.jobs.inputs import STANDARD, Item
from unveil.jobs.outputs import Job, Leftovers, folds_case, plan, without_own


def items(*places: str) -> list[Item]:
    return [Item(Path("somewhere", place), Path(place)) for place in places]


def names(jobs: list[Job], root: Path) -> list[str]:
    return [job.target.relative_to(root).as_posix() for job in jobs]


def test_folders_suffixes_and_formats(tmp_path: Path) -> None:
    two = items("a.jpg", "trip/b.PNG")
    assert names(plan(two, tmp_path / "x"), tmp_path) == ["x/a.jpg", "x/trip/b.PNG"]
    assert names(plan(two, tmp_path / "y", suffix="_clean", ext="tif"), tmp_path) == [
        "y/a_clean.tif",
        "y/trip/b_clean.tif",
    ]
    assert (tmp_path / "y" / "trip").is_dir()
    assert names(plan(items("a.jpg"), tmp_path / "new.png"), tmp_path) == ["new.png"]
    assert names(plan(items("a.jpg"), tmp_path / "new"), tmp_path) == ["new/a.jpg"]
    (job,) = plan(items("a.jpg"), tmp_path / "x", extras=["std", "compare"])
    assert [p.name for p in job.extras.values()] == ["a_std.png", "a_compare.png"]


@pytest.mark.parametrize(
    ("places", "settings", "message"),
    [
        (("one/a.png", "a.jpg", "two/a.png"), {"ext": "bmp"}, None),
        (("a.png", "a.jpg"), {"ext": "png"}, "would both be written to .*a.png"),
        (("a.png", "a_std.png"), {"extras": ["std"]}, "would both be written to .*a_std.png"),
        (("a.png",), {"ext": "psd"}, "unknown --ext 'psd'"),
        (("a.png",), {"suffix": "/b"}, "must not name a folder"),
    ],
)
def test_clashes_are_refused_before_anything_is_written(
    tmp_path: Path, places: tuple[str, ...], settings: dict, message: str | None
) -> None:
    if message is None:
        assert len(plan(items(*places), tmp_path / "out", **settings)) == len(places)
        return
    with pytest.raises(InputError, match=message):
        plan(items(*places), tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_no_output_replaces_a_photograph_of_the_call(tmp_path: Path) -> None:
    here = [Item(tmp_path / name, Path(name)) for name in ("a.png", "b.png")]
    with pytest.raises(InputError, match="would replace the photograph"):
        plan(here, tmp_path)
    with pytest.raises(InputError, match="would replace the photograph"):
        plan(here[:1], tmp_path / "a.png")
    assert names(plan(here, tmp_path, suffix="_x"), tmp_path) == ["a_x.png", "b_x.png"]


def test_what_an_earlier_run_wrote_is_not_restored_again() -> None:
    found = items("a.jpg", "a_x.jpg", "a_x_compare.png", "a_x_std.png", "a_x_far.png", "b_x.jpg")
    assert [item.place.name for item in without_own(found, "_x")] == ["a.jpg", "a_x_far.png", "b_x.jpg"]
    assert [item.place.name for item in without_own(found, "_x", Path("somewhere"))] == [
        "a.jpg",
        "a_x_far.png",
        "b_x.jpg",
    ]
    assert without_own(found, "_x", Path("elsewhere")) == found


def test_standard_output_has_nothing_to_do_in_an_empty_share() -> None:
    assert plan([], STANDARD) == []


def test_a_mistyped_suffix_is_no_folder(tmp_path: Path) -> None:
    """It is refused when the photograph is written, by its name; a folder that is called so takes a slash, or is there."""
    assert [job.target for job in plan(items("a.png"), tmp_path / "clean.jgp")] == [tmp_path / "clean.jgp"]
    assert [job.target for job in plan(items("a.png"), tmp_path / "out.v2")] == [tmp_path / "out.v2" / "a.png"]
    (tmp_path / "taken.old").mkdir()
    assert [job.target for job in plan(items("a.png"), tmp_path / "taken.old")] == [tmp_path / "taken.old" / "a.png"]


@pytest.mark.parametrize(
    ("output", "settings", "message"),
    [
        ("x.jpg", {"suffix": "_y"}, "is the whole name of the result; leave out --suffix"),
        ("x.jpg", {"ext": "png"}, "says the format already; leave out --ext png"),
        ("x.jpg", {"ext": "jpeg"}, None),
        ("-", {"suffix": "_y"}, "standard output has no name"),
        ("-", {"ext": "png"}, None),
    ],
)
def test_an_option_that_a_named_file_leaves_without_effect_is_refused(
    tmp_path: Path, output: str, settings: dict, message: str | None
) -> None:
    place = STANDARD if output == "-" else tmp_path / output
    if message is None:
        assert [job.target for job in plan(items("a.jpg"), place, **settings)] == [place]
        return
    with pytest.raises(InputError, match=message):
        plan(items("a.jpg"), place, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"manifest": "out/a.png"}, r"--manifest .*a\.png: is also what is written of .*a\.png; choose another"),
        ({"manifest": "out/a_std.png", "extras": ["std"]}, "is also what is written of"),
        ({"manifest": "in/a.png"}, "is also the photograph"),
        ({"frames": "out/a.png"}, r"--frames .*: .*a\.png is also what is written of"),
        ({"frames": "in/a.png"}, "is also the photograph"),
        ({"frames": "rows/frames", "manifest": "rows"}, "rows is also the manifest"),
        ({"frames": "f", "manifest": "f/a_0001.png"}, r"--frames .*f: a_0001\.png there is also the manifest"),
        ({"frames": "in"}, r"a_0002\.png there is also the photograph"),
        ({"reads": "out/a.png"}, r"would replace .*a\.png, which is read"),
        ({"reads": "in/a_0003.png", "frames": "in/../in"}, "there is also"),
        ({"frames": "frames", "manifest": "frames/rows", "reads": "in/m.png"}, None),
    ],
)
def test_no_two_files_of_a_call_are_one(tmp_path: Path, settings: dict, message: str | None) -> None:
    here = [Item(tmp_path / "in" / name, Path(name)) for name in ("a.png", "a_0002.png")]
    own = {k: tmp_path / v if isinstance(v, str) else v for k, v in settings.items()}
    own["reads"] = [own["reads"]] if "reads" in own else []
    if message is None:
        assert len(plan(here, tmp_path / "out", **own)) == 2
        return
    with pytest.raises(InputError, match=message):
        plan(here, tmp_path / "out", **own)
    assert not (tmp_path / "out").exists()


def test_the_root_is_a_folder_like_others() -> None:
    assert not folds_case(Path("/"))


def test_standard_output_takes_one(tmp_path: Path) -> None:
    assert plan(items("a.png"), STANDARD) == [Job(Path("somewhere/a.png"), STANDARD, {})]
    with pytest.raises(InputError, match="standard output takes one"):
        plan(items("a.png", "b.png"), STANDARD)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written to"):
        plan(items("a.png"), tmp_path / "file" / "b")
    with pytest.raises(InputError, match="is there already and is no folder"):
        plan(items("a.png", "b.png"), Path("/dev/null") if Path("/dev/null").exists() else tmp_path / "file")


def test_sweeping_takes_only_what_was_left_of_this_job(tmp_path: Path) -> None:
    (job,) = plan(items("a.png"), tmp_path, extras=["std"])
    left = [".a.png.0123.unveil-tmp", ".a_std.png.4567.unveil-tmp", ".gone.png.0123abcd.unveil-claim"]
    kept = [
        ".b.png.0123.unveil-tmp",
        ".a.png.png.0123.unveil-tmp",
        ".a.png.jpg.4567.unveil-tmp",
        "a.png",
        ".a.png",
        "a.png.unveil-tmp",
    ]
    for name in left + kept:
        (tmp_path / name).touch()
    Leftovers([job]).sweep(job)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(kept)


def test_what_a_kill_left_of_trying_a_folder_is_swept(tmp_path: Path) -> None:
    from unveil.jobs import outputs

    left = tmp_path / f"{outputs._PROBED}0123456789ab{outputs.atomic.TEMPORARY_SUFFIX}"
    left.write_bytes(b"0")
    outputs.Leftovers([outputs.Job(tmp_path / "a.png", tmp_path / "b.png", {})])
    assert not left.exists()
