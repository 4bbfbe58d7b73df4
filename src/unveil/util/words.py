"""Parts of sentences that many messages share: the nearest known names, several files, a number of pixels, and a duration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from unveil.errors import InputError


def nearest(name: object, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The known names that are like `name`, the nearest first; `most` and `cutoff` as `did_you_mean` takes them."""
    return get_close_matches(str(name), list(known), n=most, cutoff=cutoff)


def did_you_mean(
    name: object, known: Iterable[str], *, otherwise: str = "known are", most: int = 1, cutoff: float = 0.6
) -> str:
    """The part of a message about an unknown name: "did you mean haze?", or "known are haze, noise, rain".

    otherwise: what is written before all known names where none is near. most: how many near names are proposed. cutoff: how alike they
    are, from 0 (anything) to 1 (the same).
    """
    names = list(known)
    near = nearest(name, names, most, cutoff)
    return f"did you mean {' or '.join(near)}?" if near else f"{otherwise} {', '.join(names)}"


def check_known(what: str, value: object, known: Iterable[str]) -> None:
    """Raise InputError, naming those there are, for a value that is none of them. what: it is called."""
    names = list(known)
    if value not in names:
        raise InputError(f"unknown {what} {value!r}; known are {', '.join(names)}")


def listed(text: str) -> list[str]:
    """The names in a text that separates them by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def shown(text: object) -> str:
    """A text, such as a file's name, on one line: control characters in it, which a terminal would obey, as Python writes them."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], str(text))


_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def first_line(error: BaseException) -> str:
    """The beginning of what an error says, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:200] if lines else type(error).__name__


def several(things: Sequence[object]) -> str:
    """The first of some things and how many more there are: "a.png", "a.png and 2 more"."""
    return f"{things[0]} and {len(things) - 1} more" if len(things) > 1 else str(things[0])


def pixels(count: int) -> str:
    """A number of pixels in words: "12,288 pixels", "50.331648 million pixels"."""
    return f"{count / 1e6:.10g} million pixels" if count >= 1e6 else f"{count:,} pixels"


def duration(seconds: float) -> str:
    """Seconds in words: "1 h 05 min", "12 min", "40 s"."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{round(whole / 60)} min" if whole >= 120 else f"{whole} s"
