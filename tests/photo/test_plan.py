from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.errors import InputError, UnveilError
from unveil.photo import tiles
from unveil.photo.tiles import Cost, decide
from unveil.util import devices

MIB = 1 << 20
COST = Cost(fixed=100 * MIB, per_pixel=2000, held_per_pixel=40, multiple_of=16, overlap=32)


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 12_000), width=st.integers(1, 12_000), budget=st.integers(50, 8000), tile=st.sampled_from(["auto", 0, 200, 512]),
    largest=st.sampled_from([0, 256, 1024]),
)  # fmt: skip
def test_a_plan_keeps_within_its_budget(height: int, width: int, budget: int, tile: int | str, largest: int) -> None:
    cost = replace(COST, largest=largest)
    held = cost.fixed + cost.held_per_pixel * (-(-height // 16) * 16) * (-(-width // 16) * 16)
    try:
        plan = decide(height, width, budget * MIB, cost, tile)
    except InputError:
        # Then even one tile, the smallest or the one asked for, really does not fit.
        one = tiles.plan(height, width, 64 if tile == "auto" else int(tile), 32, 16)[0]
        assert held + cost.per_pixel * one.height * one.width > budget * MIB - 2
        return
    found = plan.tiles()
    area = found[0].height * found[0].width
    assert plan.bytes == pytest.approx(held + plan.batch * area * cost.per_pixel, abs=2)
    assert plan.bytes <= budget * MIB
    assert 1 <= plan.batch <= len(found)
    assert plan == decide(height, width, budget * MIB, cost, tile)
    if largest and tile == "auto":
        assert max(found[0].height, found[0].width) <= largest
    # Even batches: one more tile at once would not save a round, or would not fit.
    rounds = -(-len(found) // plan.batch)
    assert plan.batch == -(-len(found) // rounds)


def test_auto_takes_the_whole_photograph_where_it_fits() -> None:
    assert decide(512, 512, 1000 * MIB, COST).tile == 0
    assert len(decide(512, 512, 1000 * MIB, COST).tiles()) == 1
    assert decide(512, 512, 1000 * MIB, replace(COST, largest=256)).tile == 256
    assert decide(4000, 3000, 1000 * MIB, COST).tile > 0


def test_more_memory_never_means_smaller_tiles() -> None:
    sides = [
        plan.tile or 10**6 for plan in (decide(2000, 3000, budget * MIB, COST) for budget in range(400, 20_000, 97))
    ]
    assert sides == sorted(sides)


def test_what_was_asked_for() -> None:
    assert decide(2000, 3000, 4000 * MIB, COST, 500).tile == 496  # a multiple of 16
    assert decide(2000, 3000, 4000 * MIB, COST, 500).batch > 1
    assert decide(600, 600, 4000 * MIB, COST, 0).tile == 0
    with pytest.raises(
        InputError,
        match=r"3000 x 2000 pixels in tiles of 3008 x 2000 need \d+ MiB .* the limit is 4000 MiB; use --tile auto",
    ):
        decide(2000, 3000, 4000 * MIB, COST, 0)
    with pytest.raises(InputError, match="use a smaller model"):
        decide(2000, 3000, 101 * MIB, COST)
    with pytest.raises(InputError, match="not longer than their overlap"):
        decide(2000, 3000, 4000 * MIB, COST, 20)
    for wrong in (-1, 1.5, "large", None):
        with pytest.raises(InputError, match="--tile must be auto"):
            decide(10, 10, 4000 * MIB, COST, wrong)  # type: ignore[arg-type]


def test_out_of_memory_halves_the_batch_and_then_the_tile_down_to_the_least() -> None:
    plan = decide(3000, 4000, 3000 * MIB, COST, 320)
    assert plan.batch > 4
    seen = [plan]
    while seen[-1].batch > 1 or max(seen[-1].tiles()[0].height, seen[-1].tiles()[0].width) >= 2 * 64:
        seen.append(seen[-1].halved())
    with pytest.raises(UnveilError, match=r"out of memory even with tiles of \d+ pixels"):
        seen[-1].halved()
    for before, after in zip(seen, seen[1:], strict=False):
        assert after.bytes < before.bytes
        if before.batch > 1:
            assert (after.tile, after.batch <= -(-before.batch // 2)) == (before.tile, True)
        else:
            assert (
                max(after.tiles()[0].height, after.tiles()[0].width)
                <= max(before.tiles()[0].height, before.tiles()[0].width) / 2
            )
    assert len(seen) > 4
    # The whole photograph in one piece can be halved as well.
    whole = decide(512, 512, 1000 * MIB, COST)
    assert whole.halved().tile == 256


def test_the_machine_has_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert 64 * MIB < devices.host_memory() < 1 << 50
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(devices, "LIMIT_FILES", (str(limit),))
    limit.write_text("123456789\n")
    assert devices.host_memory() == 123456789
    limit.write_text("max\n")
    assert devices.host_memory() > 64 * MIB


def test_what_is_far_too_large_is_refused_without_making_its_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    made, tile = [], tiles.Tile
    monkeypatch.setattr(tiles, "Tile", lambda *spans: made.append(spans) or tile(*spans))
    with pytest.raises(InputError, match="100000 x 100000 pixels in tiles of"):
        tiles.decide(100_000, 100_000, 1 << 30, Cost(1 << 20, 2000.0, 40.0, 16, 64))
    assert len(made) == 1
