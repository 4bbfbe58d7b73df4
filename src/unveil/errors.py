"""What can go wrong on a user's side, as exceptions whose message is the whole explanation; and what was put right, as notes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class UnveilError(ValueError):
    """Base of every error that a user can cause and mend. The message says what was wrong, with which value, and what to do."""


class InputError(UnveilError):
    """A photograph, folder or tensor that cannot be restored as given."""


class ModelError(UnveilError):
    """A model name, weight file or configuration that cannot be used."""


class UnveilWarning(UserWarning):
    """What was put right on the way and is worth knowing: a tile computed again in fp32, smaller tiles after memory ran out."""


class Cancelled(Exception):
    """Raised inside a sampling loop when the caller asked it to stop; nothing was written."""


_collecting: ContextVar[list[str] | None] = ContextVar("unveil_notes", default=None)


def note(text: str, stacklevel: int = 2) -> None:
    """Say one sentence. stacklevel: of the warning, counted from the caller as `warnings.warn` counts."""
    kept = _collecting.get()
    if kept is None:
        warnings.warn(text, UnveilWarning, stacklevel=stacklevel + 1)
    else:
        kept.append(text)


def renamed(thing: object, name: str, names: Mapping[str, str]) -> Any:
    """What `__getattr__` gives for an attribute by its name of 0.1: that of its present name, with a warning.

    Args:
        thing: What is asked.
        name: The attribute that it does not have.
        names: Old name -> present one.

    Raises:
        AttributeError: A name that it never had.

    """
    if name not in names:
        raise AttributeError(f"{type(thing).__name__!r} object has no attribute {name!r}")
    note(f"{type(thing).__name__}.{name} is called {names[name]}; the old name goes in 0.2", stacklevel=3)
    return getattr(thing, names[name])


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
