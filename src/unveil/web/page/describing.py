"""The line that names what is wrong with a photograph, said by the classifier that ships; none where it does not ship."""

from __future__ import annotations

from functools import lru_cache

from unveil import photo
from unveil.errors import ModelError
from unveil.models import describer
from unveil.web.page import words
from unveil.web.service import Given

SHOWN = 0.2
"""Least probability that is worth a word."""


@lru_cache(maxsize=1)
def _speaker() -> describer.Describer | None:
    try:
        return describer.load()
    except ModelError:
        return None


def described(given: Given) -> str:
    """HTML: the kinds of damage that are likely, with their probabilities."""
    speaker = _speaker()
    if speaker is None:
        return ""
    said = speaker.describe(photo.read(given.file).pixels)
    named = [(kind, p) for kind, p in said.probabilities.items() if p >= SHOWN or kind == said.likeliest]
    return words.chips("It looks like", [f"{kind} {p:.0%}" for kind, p in named], f"Said by {said.speaker}.")
