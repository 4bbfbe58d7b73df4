"""Signals, and lines for people and programs."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unveil.training.interrupt import stop_on_signal
from unveil.training.reporting import Pace, Reporter, trim


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
