"""The condition of a network besides the pixels: which kinds of damage a photograph has, and the fidelity of the sampler.

DA-CLIP's idea (Luo et al., ICLR 2024: a restoration network conditioned on the degradation) without its text encoder: one
probability for each kind of damage, from a person (0 or 1) or from the describer.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

KINDS: tuple[str, ...] = ("haze", "shadow", "lowlight", "noise", "blur", "jpeg", "rain")
"""The order of the probabilities. Saved models depend on it: append, never reorder."""

LIGHT: tuple[str, ...] = ("haze", "shadow", "lowlight")
"""Kinds that change the overall light, which is restored on the reduced photograph."""

SIZE = len(KINDS) + 2
"""Entries of a condition: the probabilities, whether they are known, and the fidelity of the sampler."""


def condition(probabilities: Tensor, known: Tensor, fidelity: Tensor) -> Tensor:
    """Conditions (B, SIZE). probabilities: (B, len(KINDS)), each kind by itself; known: (B,), False hides them (all zero, marked as
    unknown).

    fidelity: (B,) in [0, 1], by which the sampler scales its noise down (1: none is drawn).
    """
    certain = known.to(probabilities.dtype)[:, None]
    return torch.cat([probabilities * certain, certain, fidelity.to(probabilities.dtype)[:, None]], dim=1)


def vector(probabilities: Mapping[str, float]) -> Tensor:
    """(len(KINDS),) float32 from probabilities by name; kinds that are not named are 0, other names are ignored."""
    return torch.tensor([float(probabilities.get(kind, 0.0)) for kind in KINDS])
