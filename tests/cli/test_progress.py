"""The bar: what it counts, and that it moves while one evaluation lasts."""

from __future__ import annotations

import io
import sys
import time

import numpy as np
import pytest
import torch

from unveil.cli.progress import Bar
from unveil.diffusion.sampling import Progress
from unveil.restorer import Restorer
from unveil.testing import tiny_experts, tiny_model


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def step(index: int) -> Progress:
    return Progress(index, 4, torch.zeros(1, 3, 2, 2))


def test_evaluations_and_shares_of_them_are_counted() -> None:
    bar = Bar("a.png", samples=2, quiet=True)
    with bar as tell:
        tell(step(0))
        task = bar.progress.tasks[0]
        assert (task.completed, task.total) == (1, 8)
        tell.within(0.25)
        assert task.completed == 1.25
        tell(step(1))
        assert task.completed == 2


def test_the_bar_moves_with_every_tile() -> None:
    restorer, moved = Restorer(tiny_model(), device="cpu"), []
    bar = Bar("a.png", samples=1, quiet=True)
    with bar as tell:
        before = bar.within
        bar.within = lambda share: (before(share), moved.append(bar.progress.tasks[0].completed))[0]  # type: ignore[method-assign]
        y = np.random.default_rng(0).random((200, 96, 3), np.float32)
        out = restorer.restore(y, tile=112, resolution="off", steps=2, callback=tell)
    assert len(moved) >= 2
    assert moved == sorted(moved)
    assert any(value % 1 for value in moved)
    assert np.array_equal(out.image, restorer.restore(y, tile=112, resolution="off", steps=2).image)


def test_the_time_that_has_passed_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It moves by itself, whatever a tile takes."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Bar("a.png", samples=1):
        pass
    assert "0:00:00" in screen.getvalue()


def test_the_time_moves_each_second_though_no_tile_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile of a large photograph takes many seconds; here a clock that is turned by hand, and nobody who tells of anything."""
    screen, now = Screen(), [100.0]
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Bar("a.png", samples=1, clock=lambda: now[0]):
        for second in (1, 2, 3):
            now[0] += 1
            until = time.monotonic() + 10
            while f"0:00:0{second}" not in screen.getvalue() and time.monotonic() < until:
                time.sleep(0.02)
            assert f"0:00:0{second}" in screen.getvalue()


@pytest.mark.parametrize("fix", ["noise", "haze,noise"])
def test_the_bar_ends_full_whatever_is_left_out(fix: str) -> None:
    """Where the light stays the first evaluations are not run, and not counted."""
    restorer = Restorer(tiny_experts(), device="cpu")
    y = np.random.default_rng(0).random((40, 48, 3), np.float32)
    with (bar := Bar("a.mp4", samples=2, pictures=2, quiet=True)) as tell:
        for _ in range(2):
            restorer.restore(y, fix=fix, samples=2, fidelity=0, callback=tell)
        assert bar.progress.tasks[0].completed == bar.progress.tasks[0].total
        assert bar.progress.tasks[0].description == "a.mp4 frame 2/2"
