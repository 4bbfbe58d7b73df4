from __future__ import annotations

from pathlib import Path

from unveil.data.leaks import LOL_SHOTS, cautions, overlaps, sets_in


def files(folder: str, stems: object) -> list[Path]:
    return [Path(folder) / f"{stem}.png" for stem in stems]  # type: ignore[attr-defined]


NAMES = """
    bikes building2 buildings caps carnivaldolls cemetry churchandcapitol coinsinfountain dancers flowersonih35 house lighthouse
    lighthouse2 manfishing monarch ocean paintedhouse parrots plane rapids sailing1 sailing2 sailing3 sailing4 statue
"""
LIVE1 = files("l", NAMES.split())
EVAL15 = files("x/high", (1, 22, 23, 55, 79, 111, 146, 179, 493, 547, 665, 669, 748, 778, 780))


def test_sets_are_known_by_their_names_or_by_their_folder() -> None:
    assert sets_in(EVAL15) == {"LOL's eval15"}
    assert sets_in(files("mine", [*LOL_SHOTS, *range(200, 320)])) == {"LOL's training split"}
    assert sets_in(LIVE1) == {"LIVE1"}
    assert sets_in(files("k", (f"kodim{n:02}" for n in range(1, 25)))) == {"Kodak24"}
    assert sets_in(files("data/SRD/train/shadow", ("a",))) == {"SRD"}
    assert sets_in(files("holiday", (f"IMG_{n}" for n in range(50)))) == set()
    assert sets_in(files("frames", ("1", "22", "23"))) == set()


def test_an_overlap_is_said_where_both_sides_are_seen() -> None:
    train = files("our485/high", (f"{n}" for n in (2, 5)))
    assert "25 of eval15's shots" in overlaps(train, EVAL15)[0]
    assert overlaps(files("photos", ("1", "2")), EVAL15) == []
    assert "19 of LIVE1's 29" in overlaps(files("Kodak24", ("1",)), LIVE1)[0]
    assert cautions(EVAL15) == overlaps(train, EVAL15)
    assert cautions(files("holiday", ("1",))) == []


def test_two_test_sets_are_only_compared_where_both_are_there() -> None:
    kodak = files("Kodak24", ("1",))
    assert cautions(kodak) == cautions(LIVE1) == []
    assert "19 of LIVE1's 29" in cautions([*kodak, *LIVE1])[0]
