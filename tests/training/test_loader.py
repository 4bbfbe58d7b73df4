"""Batches prepared ahead: in order, the same whoever makes them, and what goes wrong elsewhere said here."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unveil.data import files
from unveil.data.files import Store, Unreadable
from unveil.errors import InputError
from unveil.training import config as configuration
from unveil.training.batches import Batch, Source, ahead
from unveil.training.loop import THREADS, train
from unveil.training.settings import Stage

Tree = Callable[..., dict[str, Any]]
STAGE = Stage(batch=4, crop=32, accumulate=2)


def made(source: Source, key: tuple[int, int]) -> Batch:
    return source.stage_batch(STAGE, 3, *key)


def slow_square(key: int) -> int:
    time.sleep(0.003 * (key % 3 == 0))
    return key * key


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_items_come_in_order_however_long_they_take(workers: int) -> None:
    assert list(ahead(slow_square, range(20), workers)) == [k * k for k in range(20)]


@pytest.mark.parametrize("workers", [0, 2])
def test_only_so_many_are_prepared_ahead(workers: int) -> None:
    asked: list[int] = []

    def keys() -> Iterator[int]:
        for key in range(10**9):
            asked.append(key)
            yield key

    items = ahead(slow_square, keys(), workers)
    assert next(items) == 0
    assert len(asked) <= 4 * workers + 2
    items.close()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_who_makes_them_nor_on_threads(tree: Tree, workers: int) -> None:
    settings = tree()
    settings["data"] |= {"photos": ["clean"], "second": 0.5}
    settings["data"]["pairs"][0]["weight"] = 0.3
    source = Source(configuration.parse(settings).data)
    keys = [(step, part) for step in range(6) for part in range(2)]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        found = list(ahead(partial(made, source), keys, workers, store=source.store))
        torch.set_num_threads(1)
        wanted = [made(source, key) for key in keys]
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.x0, other.x0)
        assert torch.equal(one.y, other.y)
        assert torch.equal(one.kinds, other.kinds)


def test_preparing_draws_nothing_from_torch(tree: Tree) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert list(ahead(slow_square, range(2), 1)) == [0, 1]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_says_that_threads_are_gone_and_is_the_same(tree: Tree, tmp_path: Path) -> None:
    said: dict[str, list[str]] = {"threads": [], "processes": []}
    weights = [
        train(configuration.parse(tree(loader=loader)), tmp_path / loader, report=lines.append).predictor.state_dict()
        for loader, lines in said.items()
    ]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert [THREADS in lines for lines in said.values()] == [True, False]


def test_files_that_a_process_cannot_read_are_known_to_all(tree: Tree) -> None:
    source = Source(configuration.parse(tree()).data)
    path = source.pairs[0][1][0].clean.path
    source.store.counted = 1000  # one bad file in many
    source.store.refuse(path, "torn")
    sent = pickle.loads(pickle.dumps(source.store))  # noqa: S301
    assert sent.unreadable == {path: "torn"}
    source.store.unreadable.clear()

    def torn(key: tuple[int, int]) -> Batch:
        source.store.refuse(path, "torn in there")
        return made(source, key)

    next(ahead(torn, [(0, 0)], 1, store=source.store))
    assert source.store.unreadable == {path: "torn in there"}


@pytest.mark.parametrize("workers", [0, 1])
def test_what_goes_wrong_elsewhere_is_raised_here(workers: int) -> None:
    def torn(key: int) -> int:
        if key == 2:
            raise Unreadable("torn.png: cannot be read as an image")
        return key

    items = ahead(torn, range(5), workers)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(Unreadable, match=r"^torn\.png: cannot be read as an image$"):
        next(items)


def test_a_process_that_is_killed_is_said_in_words() -> None:
    def killed(key: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return key

    with pytest.raises(InputError, match=r"a process that prepares batches was killed.*fewer --workers"):
        next(ahead(killed, [0], 1))


def test_photographs_that_fit_are_decoded_once_for_all_processes(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(configuration.parse(tree()).data)
    assert len(source.pictures) == 2 * len(source.pairs[0][1])
    small = Store(limit=10)
    assert not small.fill(source.pictures)
    assert source.store.fill(source.pictures)
    assert source.store.used == sum(3 * p.size[0] * p.size[1] for p in source.pictures)

    def never(path: Path) -> np.ndarray:
        raise AssertionError("decoded again")

    monkeypatch.setattr(files, "decode", never)
    assert len(list(ahead(partial(made, source), [(0, 0), (1, 1)], 2, store=source.store))) == 2


def test_filling_leaves_out_what_cannot_be_read(tree: Tree, tmp_path: Path) -> None:
    pictures = Source(configuration.parse(tree()).data).pictures
    broken = tmp_path / "torn.png"
    broken.write_bytes(b"no image")
    kept = Store()
    assert kept.fill([*pictures, files.Picture(kept, broken, (2, 2))])
    assert list(kept.unreadable) == [broken]
