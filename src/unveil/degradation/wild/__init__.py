"""The degradation pipeline for images in the wild."""

from __future__ import annotations

from unveil.degradation.wild.pipeline import carry_out, wild
from unveil.degradation.wild.plan import WORDS, events, labels, mild, plan

__all__ = ["WORDS", "carry_out", "events", "labels", "mild", "plan", "wild"]
