"""What was put right on the way: said to whoever collects it on this thread, and as a warning where nobody does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from unveil.errors import UnveilWarning

_collecting: ContextVar[list[str] | None] = ContextVar("unveil_notes", default=None)


def note(text: str, stacklevel: int = 2) -> None:
    """Say one sentence. stacklevel: of the warning, counted from the caller as `warnings.warn` counts."""
    kept = _collecting.get()
    if kept is None:
        warnings.warn(text, UnveilWarning, stacklevel=stacklevel + 1)
    else:
        kept.append(text)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Inside, on this thread, what is noted is put into the list that is given, and nobody is warned.

    Filters of warnings are the whole process's: with them, calls on other threads would hear each other's notes.
    """
    kept: list[str] = []
    token = _collecting.set(kept)
    try:
        yield kept
    finally:
        _collecting.reset(token)
