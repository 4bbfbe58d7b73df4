"""Stopping in the middle of a computation: between two operations of torch, not only between two steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.overrides import TorchFunctionMode

from unveil.errors import Cancelled

_HERE = threading.local()


class _Asking(TorchFunctionMode):
    def __init__(self, stop: Callable[[], bool]) -> None:
        super().__init__()
        self.stop = stop

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.stop():
            raise Cancelled
        return func(*args, **(kwargs or {}))


@contextmanager
def stoppable(stop: Callable[[], bool]) -> Iterator[None]:
    """Inside, on this thread, every operation of torch first asks `stop`, and raises Cancelled once it says True.

    A sampler's callback is asked once a step, and a step of a large photograph takes minutes on a processor; a single operation takes
    at most about a second. It holds for whatever is computed inside (tiles, networks, the inner loops of zero-shot methods), and
    changes no result. stop: returns at once, since it is called thousands of times a second.
    """
    before, _HERE.stop = getattr(_HERE, "stop", None), stop
    try:
        with _Asking(stop):
            yield
    finally:
        _HERE.stop = before


def check() -> None:
    """For long work without torch: raises Cancelled inside `stoppable` once its `stop` says True; elsewhere does nothing."""
    stop = getattr(_HERE, "stop", None)
    if stop is not None and stop():
        raise Cancelled
