"""The cache of decoded photographs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from unveil.data import files as module
from unveil.data.files import Picture, Store, Unreadable, decode
from unveil.errors import InputError

Write = Callable[..., Path]

BYTES = 20 * 24 * 3


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files decoded, in order."""
    seen: list[str] = []

    def spy(path: Path) -> np.ndarray:
        seen.append(path.name)
        return decode(path)

    monkeypatch.setattr(module, "decode", spy)
    return seen


def test_the_least_recently_used_leaves_first_and_the_limit_holds(write: Write, decoded: list[str]) -> None:
    store = Store(2 * BYTES)
    a, b, c = (Picture(store, write(f"{n}.png", seed=i), (20, 24)) for i, n in enumerate("abc"))
    for picture in (a, b, a, c, a, b):  # c pushes b out, the last b pushes c out
        picture.pixels()
        assert store.used <= 2 * BYTES
    assert decoded == ["a.png", "b.png", "c.png", "b.png"]


def test_a_picture_larger_than_the_limit_is_returned_and_not_kept(write: Write, decoded: list[str]) -> None:
    store = Store(BYTES - 1)
    picture = Picture(store, write("a.png"), (20, 24))
    assert np.array_equal(picture.pixels(), picture.pixels())
    assert decoded == ["a.png", "a.png"]
    assert store.used == 0


def test_half_and_enlarged_pictures(write: Write) -> None:
    store = Store()
    path = write("a.png")
    assert Picture(store, path, (10, 12), half=True).pixels().shape == (10, 12, 3)
    assert Picture(store, path, (40, 48), enlarge=True).pixels().shape == (40, 48, 3)
    assert Picture(store, path, (20, 24)).shape == (20, 24, 3)


def test_an_unreadable_file_is_decoded_once_and_named_ever_after(write: Write, decoded: list[str]) -> None:
    store = Store()
    path = write("a.png")
    path.write_bytes(path.read_bytes()[:60])
    for _ in range(2):
        with pytest.raises(Unreadable, match=r"a\.png"):
            Picture(store, path, (20, 24)).pixels()
    assert decoded == ["a.png"]
    assert list(store.unreadable) == [path]


def test_over_one_per_cent_unreadable_is_an_error_that_names_the_first_twenty() -> None:
    store = Store()
    store.counted = 3000
    for i in range(30):
        store.refuse(Path(f"{i:02d}.png"), f"{i:02d}.png: cut short")
    store.check()  # exactly one per cent
    store.refuse(Path("30.png"), "30.png: cut short")
    with pytest.raises(
        InputError, match=r"31 of 3000 .* 00\.png: cut short; .*19\.png: cut short; and 11 more"
    ) as caught:
        store.check()
    assert "20.png" not in str(caught.value)


def test_threads_share_it(write: Write) -> None:
    store = Store(3 * BYTES)
    pictures = [Picture(store, write(f"{i}.png", seed=i), (20, 24)) for i in range(8)]
    wanted = [decode(p.path) for p in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: pictures[i % 8].pixels(), range(200)))
    assert all(np.array_equal(f, wanted[i % 8]) for i, f in enumerate(found))
    assert store.used <= 3 * BYTES
