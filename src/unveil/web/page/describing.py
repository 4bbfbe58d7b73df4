"""What is wrong with a photograph, said by the classifier that ships; nothing where it does not ship."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from unveil import photo
from unveil.errors import ModelError
from unveil.models import describer
from unveil.models.treatment import treatment
from unveil.networks.condition import KINDS
from unveil.photo import content
from unveil.web.page import words
from unveil.web.service import Given

SHOWN = 0.2
"""Least probability that is worth a word."""
PLAIN = {"lowlight": "low light", "jpeg": "compression"}
"""Kinds of damage that people call otherwise."""


@dataclass(frozen=True)
class Diagnosis:
    """probabilities: by kind. fixed: the kinds that a restoration fixes when nobody says which. speaker: who says so."""

    probabilities: dict[str, float]
    fixed: tuple[str, ...]
    speaker: str


@lru_cache(maxsize=1)
def _speaker() -> describer.Describer | None:
    try:
        return describer.load()
    except ModelError:
        return None


def diagnosed(given: Given) -> Diagnosis | None:
    """What the classifier says of a photograph, looking at what a restoration looks at; None where it does not ship."""
    speaker = _speaker()
    if speaker is None:
        return None
    pixels = photo.read(given.file).pixels
    said = speaker.describe(content.within_bars(pixels).of(pixels)).probabilities
    found = treatment(said).probabilities
    return Diagnosis(dict(said), tuple(k for k in KINDS if found[k] > 0), speaker.speaker)


def described(found: Diagnosis | None) -> str:
    """HTML for models that cannot be told: the kinds of damage that are likely, with their probabilities."""
    if found is None:
        return ""
    likeliest = max(found.probabilities, key=lambda kind: found.probabilities[kind])
    named = [(kind, p) for kind, p in found.probabilities.items() if p >= SHOWN or kind == likeliest]
    return words.chips("It looks like", [f"{called(kind)} {p:.0%}" for kind, p in named], f"Said by {found.speaker}.")


def in_words(found: Diagnosis | None) -> str:
    """HTML above the switches: what happens when they are left as they are."""
    if found is None:
        return words.model("Say what to fix: nobody looks at the photograph here.", "")
    if not found.fixed:
        return words.model(
            "Nothing to fix was found: the photograph would come back as it is. Turn on what you see.", ""
        )
    return words.model(f"Found: {', '.join(map(called, found.fixed))}. What is off stays as it is.", "")


def called(kind: str) -> str:
    """A kind of damage in plain words."""
    return PLAIN.get(kind, kind)
