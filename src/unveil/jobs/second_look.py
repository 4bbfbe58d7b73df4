"""A second look at what was restored: whether the describer finds it worse than it was."""

from __future__ import annotations

from unveil.errors import ModelError
from unveil.models import describer
from unveil.models.treatment import NOTICED
from unveil.photo import content
from unveil.restoration import Restoration

MORE = 0.2
"""By how much a kind of damage must have become likelier to be worth a warning: the describer's word is not that exact."""


def warning(result: Restoration) -> str:
    """One sentence where the describer finds damage in the result that it did not find before; else empty.

    Args:
        result: A restoration by a model that is told what to fix. Where nothing was fixed, or by other models, nothing is looked at.

    Returns:
        The sentence, or "": also where the describer does not ship.

    """
    told = result.protocol.get("told")
    if result.source is None or not told or not any(told.values()):
        return ""
    try:
        speaker = describer.shipped()
    except ModelError:
        return ""
    box = content.within_bars(result.source.pixels)
    before, after = (speaker.describe(box.of(p)).probabilities for p in (result.source.pixels, result.image))
    worse = [kind for kind, least in NOTICED.items() if after[kind] >= least and after[kind] > before[kind] + MORE]
    if not worse:
        return ""
    named = ", ".join(f"{kind} {before[kind]:.0%} before, {after[kind]:.0%} now" for kind in worse)
    return f"by the describer's word it came out worse: {named}; look at both before you keep it"
