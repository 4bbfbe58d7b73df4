"""Shares of the photographs for machines that know nothing of each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from unveil.errors import InputError
from unveil.jobs.inputs import Item, shard_of, share

ITEMS = [Item(Path("/any") / f"{i}.jpg", Path(f"deep{i % 3}/{i}.jpg")) for i in range(600)]


def test_every_photograph_is_in_exactly_one_shard_of_about_equal_size() -> None:
    shards = [share(ITEMS, f"{k}/4") for k in range(1, 5)]
    assert sorted(i.place for s in shards for i in s) == sorted(i.place for i in ITEMS)
    # Four standard deviations of a fair share: 150 +- 42.
    assert all(108 < len(s) < 192 for s in shards)


def test_a_shard_depends_on_the_place_alone() -> None:
    elsewhere = [Item(Path("/mnt/other") / i.source.name, i.place) for i in ITEMS[::7]]
    assert [i.place for i in share(elsewhere, "2/4")] == [i.place for i in share(ITEMS, "2/4") if i in ITEMS[::7]]
    # Written down, so that a run begun with one release goes on with the next.
    assert [shard_of(name, 16) for name in ("a.jpg", "b.jpg", "deep/c.png")] == [11, 3, 11]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="K/N with K from 1 to N"):
        share(ITEMS, text)
