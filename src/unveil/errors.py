"""Errors that a user can cause and correct, whose message is the whole explanation; and notes about what was corrected automatically."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class UnveilError(ValueError):
    """Base of every error that a user can cause and correct. The message says what was wrong, with which value, and what to do."""


class InputError(UnveilError):
    """A photograph, folder or tensor that cannot be restored as given."""


class ModelError(UnveilError):
    """A model name, weight file or configuration that cannot be used."""


class UnveilWarning(UserWarning):
    """Something that was corrected automatically: a tile computed again in fp32, smaller tiles after memory ran out."""


class Cancelled(Exception):
    """Raised inside a sampling loop when the caller asked it to stop; nothing was written."""


_collecting: ContextVar[list[str] | None] = ContextVar("unveil_notes", default=None)


def note(text: str, stacklevel: int = 2) -> None:
    """Issue one sentence as an UnveilWarning, or into the list of `collected`. stacklevel: as of `warnings.warn`, counted from the
    caller.
    """
    kept = _collecting.get()
    if kept is None:
        warnings.warn(text, UnveilWarning, stacklevel=stacklevel + 1)
    else:
        kept.append(text)


def renamed(thing: object, name: str, names: Mapping[str, str]) -> Any:
    """For `__getattr__`: an attribute under its name of version 0.1, with a warning that gives the present name.

    names: old name -> present one. Raises AttributeError for a name that the object never had.
    """
    if name not in names:
        raise AttributeError(f"{type(thing).__name__!r} object has no attribute {name!r}")
    note(f"{type(thing).__name__}.{name} is called {names[name]}; the old name goes in 0.2", stacklevel=3)
    return getattr(thing, names[name])


def still_takes(old: str, new: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a function: a parameter under its name of version 0.1 too, with a warning that gives the present name."""

    def wrapped(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            if old in kwargs:
                note(f"{function.__name__}'s {old} is called {new}; the old name goes in 0.2", stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return called

    return wrapped


@contextmanager
def collected() -> Iterator[list[str]]:
    """Within this context, on this thread, notes go into the list that it yields, and no warning is issued.

    Warning filters hold for the whole process, so that with them calls on several threads would collect each other's notes.
    """
    kept: list[str] = []
    token = _collecting.set(kept)
    try:
        yield kept
    finally:
        _collecting.reset(token)
