"""Signals answered for a while."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def answered(answer: Callable[[int, FrameType | None], object], *names: str, once: bool = False) -> Iterator[None]:
    """Within this context `answer` handles these signals; with `once` the second of a kind acts as it would have without this.

    Names that the system lacks are left out. In threads other than the main one, where Python delivers no signals, nothing is changed.
    """
    there = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in names if there and hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}

    def handle(number: int, frame: FrameType | None) -> None:
        if once:
            signal.signal(number, before[number])
        answer(number, frame)

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
