from __future__ import annotations

import gc
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from unveil.web.store import Store, _bytes


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_folders_live_for_their_time_after_they_were_last_asked_for() -> None:
    clock = Clock()
    store = Store(10, clock)
    first, second = store.make(), store.make()
    (first / "photo").write_bytes(b"x")
    clock.now = 6
    assert store.find(first.name) == first
    clock.now = 12
    assert store.find(second.name) is None
    assert store.sweep() == [second.name]
    assert not second.exists()
    assert store.left(first.name) == 4
    assert store.find(first.name) == first
    clock.now = 30
    assert store.sweep() == [first.name]
    assert not first.exists()


def test_what_is_held_stays_until_it_is_released() -> None:
    clock = Clock()
    store = Store(10, clock)
    folder = store.make(hold=True)
    assert store.left(folder.name) == store.keep  # a number that JSON has
    clock.now = 1e9
    assert store.sweep() == []
    store.release(folder.name)
    clock.now += 9
    assert store.find(folder.name) == folder
    clock.now += 11
    assert store.find(folder.name) is None


def test_removing() -> None:
    store = Store()
    folder = store.make()
    assert store.remove(folder.name)
    assert not folder.exists()
    assert not store.remove(folder.name)
    store.release(folder.name)
    assert store.find(folder.name) is None


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc", "a/b"])
def test_only_names_that_were_given_out_are_found(name: str) -> None:
    store = Store()
    assert store.find(name) is None
    assert not store.remove(name)


def test_nobody_else_may_look_in_and_everything_goes_in_the_end() -> None:
    store = Store()
    folder = store.make()
    for place in (folder, folder.parent):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    del store
    gc.collect()
    assert not folder.parent.exists()


def test_names_cannot_be_guessed() -> None:
    store = Store()
    names = {store.make().name for _ in range(20)}
    assert len(names) == 20
    assert min(map(len, names)) >= 22  # 128 bits in base64


def test_a_folder_that_is_deleted_while_it_is_counted_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"123")
    assert _bytes(tmp_path) == 3
    listed = Path.iterdir

    def gone(self: Path) -> Iterator[Path]:
        yield from list(listed(self))
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "iterdir", gone)
    assert _bytes(tmp_path) == 3, "what was counted until then"
    assert _bytes(tmp_path / "never") == 0


def test_who_deletes_second_returns_when_the_first_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(10, Clock())
    folder = store.make()
    begun, go_on = threading.Event(), threading.Event()

    def slow(path: Path, ignore_errors: bool = False) -> None:
        begun.set()
        assert go_on.wait(10)
        path.rmdir()

    monkeypatch.setattr("unveil.web.store.shutil.rmtree", slow)
    first = threading.Thread(target=store.remove, args=(folder.name,))
    first.start()
    assert begun.wait(10)
    threading.Timer(0.05, go_on.set).start()
    assert not store.remove(folder.name)
    assert not folder.exists()
    first.join()
    monkeypatch.undo()  # the store deletes itself in the end
