"""The degradation pipeline for images in the wild."""

from __future__ import annotations

from unveil.degradation.wild.pipeline import carry_out, wild
from unveil.degradation.wild.plan import plan
from unveil.degradation.wild.words import WORDS, events, labels

__all__ = ["WORDS", "carry_out", "events", "labels", "plan", "wild"]
