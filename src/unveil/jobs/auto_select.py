"""`--method auto`: what `general` does by itself; a table of models for a `general` that cannot be told what to fix.

A model that is told looks at the photograph itself (`models.treatment`). One from before that time is helped out by this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from unveil.models import describer
from unveil.models.describer import Describer, Description
from unveil.options import Options
from unveil.restoration import Restoration
from unveil.restorer import Callback, Restorer, as_photo

SURE = 0.5
"""Probability from which a kind of damage counts as found."""


@dataclass(frozen=True)
class Rule:
    """The first rule with a kind that was found decides. model: a name on the shelf; why: ends a sentence for the user."""

    kinds: frozenset[str]
    model: str
    why: str


RULES = (
    Rule(frozenset({"haze", "shadow", "lowlight", "rain"}), "general", "which was trained on light and weather"),
    Rule(
        frozenset({"blur", "jpeg", "noise"}),
        "wild",
        "which was trained on blur, resizing, compression and noise together",
    ),
)
DEFAULT = Rule(frozenset(), "general", "which leaves clean photographs nearly as they are")


@dataclass(frozen=True)
class Choice:
    """model: a name on the shelf. reason: a sentence that says what was found, by whom, and why this model."""

    model: str
    reason: str
    found: dict[str, float]


def choose(description: Description) -> Choice:
    """The model for what a classifier of several kinds at once said."""
    found = {kind: p for kind, p in description.probabilities.items() if p >= SURE and kind != "clean"}
    rule = next((r for r in RULES if r.kinds & found.keys()), DEFAULT)
    named = ", ".join(f"{kind} {p:.0%}" for kind, p in found.items()) or "no damage that it is sure of"
    return Choice(rule.model, f"{description.speaker} finds {named}: restored by {rule.model}, {rule.why}", found)


class Auto:
    """Restores each photograph by the model that suits it; has the shape of a `Restorer`. The models stay loaded.

    load: a restorer by name. Options hold for every model; one without the grid or the steps asked for refuses its photograph.
    """

    def __init__(self, load: Callable[[str], Restorer], speaker: Describer | None = None) -> None:
        self._load = cache(load)
        self._speaker = speaker or describer.load()

    def restore(self, image: Any, options: Options | None = None, *, callback: Callback | None = None) -> Restoration:
        """As `Restorer.restore`; the choice is the first note and stands in the protocol. Raises InputError."""
        options = options or Options()
        source = as_photo(image, options.max_pixels)
        choice = choose(self._speaker.describe(source.pixels))
        out = self._load(choice.model).restore(source, options, callback=callback)
        chosen = {"model": choice.model, "found": {k: round(p, 4) for k, p in choice.found.items()}}
        return replace(out, notes=(choice.reason, *out.notes), protocol=out.protocol | {"chosen": chosen})

    def resolve(self, options: Options) -> None:
        """Raise InputError for options that the model for clean photographs does not have."""
        self._load(DEFAULT.model).resolve(options)


def auto(load: Callable[[str], Restorer], speaker: Describer | None = None) -> Restorer | Auto:
    """What `--method auto` restores with.

    Args:
        load: A restorer by name.
        speaker: Who says what is wrong with a photograph; by default the classifier that ships.

    Returns:
        `general` where it can be told what to fix, which is what `unveil restore` does by itself; else `Auto`.

    """
    usual = load(DEFAULT.model)
    return (
        usual
        if usual.model.spec.conditioned
        else Auto(lambda name: usual if name == DEFAULT.model else load(name), speaker)
    )
