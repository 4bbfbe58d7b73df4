"""Signals, and lines for people and programs."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unveil.errors import Cancelled
from unveil.training import checkpoint
from unveil.training import config as configuration
from unveil.training.distributed import World
from unveil.training.loop import train
from unveil.training.reporting import Pace, Reporter, trim
from unveil.training.stage import stop_on_signal
from unveil.training.state import State
from unveil.training.trainer import Restoring


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_the_first_signal_asks_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signal() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert stop.asked
        assert signal.getsignal(number) is before  # the second one acts as ever
    assert signal.getsignal(number) is before


def test_other_threads_cannot_take_signals_and_need_not() -> None:
    seen: list[bool] = []

    def enter() -> None:
        with stop_on_signal() as stop:
            seen.append(stop.asked)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_signal_counts_once_all_processes_have_heard_of_it(
    tree: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes late in step 2 ends step 3: processes that stopped after different steps would wait for each other for ever."""
    average = State.average

    def late(state: State, *trained: str) -> None:
        average(state, *trained)
        if state.counters.done == 2:
            signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(State, "average", late)
    with pytest.raises(Cancelled, match="stopped after step 3"):
        train(configuration.parse(tree()), tmp_path / "run", report=lambda _: None)


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_resumed_log_forgets_what_will_be_told_again(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 50}\n{"step": 100}\n{"step": 150}\n{"step": 2')
    trim(log, 100)
    assert lines(log) == [{"step": 50}, {"step": 100}]
    trim(tmp_path / "missing.jsonl", 5)
    assert not (tmp_path / "missing.jsonl").exists()


def test_a_reporter_speaks_and_writes_unless_it_is_quiet(tmp_path: Path) -> None:
    said: list[str] = []
    reporter = Reporter(tmp_path, said.append)
    reporter.say("hello")
    reporter.record(3, {"loss": 0.5})
    reporter.record(3, {"psnr": 20.0}, "validation")
    reporter.close()
    assert said == ["hello"]
    assert lines(tmp_path / "log.jsonl") == [{"step": 3, "loss": 0.5}]
    assert lines(tmp_path / "validation.jsonl") == [{"step": 3, "psnr": 20.0}]
    quiet = Reporter(tmp_path / "other", said.append, quiet=True)
    quiet.say("nothing")
    quiet.record(1, {"loss": 1.0})
    quiet.close()
    assert said == ["hello"]
    assert not (tmp_path / "other").exists()


def test_the_time_left_is_that_of_the_steps_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    monkeypatch.setattr("unveil.training.reporting.time.perf_counter", clock)
    pace = Pace()
    for _ in range(10):
        pace.step(4)
    now[0] = 130.0
    pace.away(10.0)  # validation
    assert pace.seconds == pytest.approx(20.0)
    assert pace.images == 40
    assert pace.left(90) == "3 min"


class Watch:
    """A clock that goes on by 0.02 s whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.02
        return self.now

    perf_counter = monotonic


def test_validation_takes_little_of_a_run_that_ends_with_the_clock(
    tree: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three seconds with a validation of 0.02 s due after every step: one at first, one more after each second, one at the end."""
    watch, at = Watch(), []
    genuine = Restoring.verdict

    def seen(self: Restoring, *given: Any) -> Any:
        at.append(watch.now)
        return genuine(self, *given)

    monkeypatch.setattr("unveil.training.stage.time", watch)
    monkeypatch.setattr(Restoring, "verdict", seen)
    config = configuration.parse(tree(minutes=0.05, workers=0, validation={"every": 1, "count": 1, "size": 32}))
    train(config, tmp_path / "run", report=lambda line: None)
    assert at == pytest.approx([0.1, 1.0, 2.0, 3.0], abs=0.1)
    found = checkpoint.latest(tmp_path / "run")
    assert found is not None
    assert found.step > 20


def test_all_processes_go_by_one_clock(
    tree: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process began so much earlier that the mean of both clocks is over at once."""

    def with_another(self: World, values: list[float]) -> list[float]:
        return [*values[:2], values[2] + 10.0, *values[3:]] if len(values) == 3 else list(values)

    monkeypatch.setattr(World, "sums", with_another)
    train(configuration.parse(tree(minutes=0.1, workers=0)), tmp_path / "run", report=lambda line: None)
    found = checkpoint.latest(tmp_path / "run")
    assert found is not None
    assert found.step == 1
