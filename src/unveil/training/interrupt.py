"""Ctrl-C and a scheduler's notice: finish the step, write a checkpoint, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")  # the keyboard; torchrun, SLURM or kill; a scheduler's early notice


class Stop:
    """asked: whether somebody wants the run to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """While this is entered, the first signal of a kind only sets `asked`; the second of it acts as it would have without this.

    Of a kind, because Ctrl-C under torchrun brings each process a SIGINT from the terminal and a SIGTERM from torchrun.

    In threads other than the main one, where Python delivers no signals, nothing is changed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}

    def note(number: int, frame: FrameType | None) -> None:
        stop.asked = True
        signal.signal(number, before[number])

    for number in numbers:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number in numbers:
            signal.signal(number, before[number])
