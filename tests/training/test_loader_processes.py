"""Batches made by processes are those made by threads."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unveil.data.store import Unreadable
from unveil.training import config as configuration
from unveil.training.batches import Source
from unveil.training.config import Stage
from unveil.training.loader_processes import elsewhere
from unveil.training.loop import train

Tree = Callable[..., dict[str, Any]]
STAGE = Stage(batch=4, crop=32, accumulate=2)


def test_a_run_does_not_depend_on_who_prepares_its_batches(tree: Tree, tmp_path: Path) -> None:
    made = [
        train(configuration.parse(tree(loader=loader)), tmp_path / loader, report=lambda _: None).predictor.state_dict()
        for loader in ("threads", "processes")
    ]
    assert all(torch.equal(made[0][k], made[1][k]) for k in made[0])


def test_keys_come_back_in_order(tree: Tree) -> None:
    source = Source(configuration.parse(tree()).data)
    keys = [(step, part) for step in range(5) for part in range(2)]
    found = list(elsewhere(source, STAGE, 3, keys, 2, pinned=False))
    assert len(found) == len(keys)
    for key, batch in zip(keys, found, strict=True):
        assert torch.equal(batch.x0, source.stage_batch(STAGE, 3, *key).x0)


def test_files_that_a_process_cannot_read_are_known_to_all(tree: Tree) -> None:
    source = Source(configuration.parse(tree()).data)
    path = source.pairs[0][1][0].clean.path
    source.store.counted = 1000  # one bad file in many
    source.store.refuse(path, "torn")
    sent = pickle.loads(pickle.dumps(source.store))  # noqa: S301
    assert sent.unreadable == {path: "torn"}
    source.store.unreadable.clear()

    def torn(stage: Stage, seed: int, step: int, part: int) -> Any:
        source.store.refuse(path, "torn in there")
        return type(source).stage_batch(source, stage, seed, step, part)

    source.stage_batch = torn  # type: ignore[method-assign]
    next(elsewhere(source, STAGE, 3, [(0, 0)], 1, pinned=False))
    assert source.store.unreadable == {path: "torn in there"}


def test_what_goes_wrong_elsewhere_is_raised_here(tree: Tree) -> None:
    source = Source(configuration.parse(tree()).data)

    def torn(*_: Any) -> Any:
        raise Unreadable("torn.png: cannot be read as an image")

    source.stage_batch = torn  # type: ignore[method-assign]
    with pytest.raises(Unreadable, match=r"^torn\.png: cannot be read as an image$"):
        next(elsewhere(source, STAGE, 3, [(0, 0)], 1, pinned=False))
