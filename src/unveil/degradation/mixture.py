"""Random damage for a training batch: one kind per sample, sometimes two, sometimes none."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unveil.degradation.colour import quantise
from unveil.degradation.draws import check
from unveil.degradation.registry import KINDS, simulator
from unveil.errors import InputError

ORDER: tuple[str, ...] = ("shadow", "haze", "rain", "blur", "lowlight", "noise", "jpeg")
"""From the scene to the file: light, air, optics, exposure, sensor, storage."""

ALONE = "wild"
"""The kind that is a pipeline of its own and goes with no other."""

LIGHT: tuple[str, ...] = ("shadow", "haze", "lowlight")
"""Those that change the light itself, and with it the exposure."""

STORED = 0.9
"""Share of damaged samples rounded to 8 bits, as nearly every real photograph is."""


def mixture(
    x: Tensor,
    generator: torch.Generator,
    weights: dict[str, float] | None = None,
    second: float = 0.35,
    clean: float = 0.08,
) -> tuple[Tensor, list[tuple[str, ...]], dict[str, dict[str, Tensor]]]:
    """Damage each sample of x (B, 3, H, W) float32 in [0, 1] by its own random kinds, at random severities.

    weights: relative frequency of the kinds (kinds left out never occur; None: all equally often, but for "wild").
    "wild" is a whole pipeline: a sample that it damages gets no second kind, and it is never the second. second:
    probability of another kind beside the first. clean: probability that a sample stays as it is, bit for bit. Two
    kinds are applied in the order in which they happen to a photograph, ORDER. Nine in ten damaged samples are
    rounded to 8 bits. Returns y in [0, 1]; for each sample the kinds applied, in order, () for a clean one; and for
    each kind that occurred the parameters drawn, with `index` (n,), the samples they belong to. A function of x and
    the generator's state alone. Raises InputError for a wrong batch, unknown kinds, or weights and probabilities out
    of range.
    """
    check(x)
    kinds, odds = _odds(weights)
    for name, p in (("second", second), ("clean", clean)):
        if not 0.0 <= p <= 1.0:
            raise InputError(f"{name} is a probability and must lie in [0, 1], not {p!r}")
    b = len(x)
    untouched = torch.rand(b, generator=generator) < clean
    doubled = torch.rand(b, generator=generator) < second
    stored = torch.rand(b, generator=generator) < STORED
    first = torch.multinomial(odds, b, replacement=True, generator=generator)
    # The second kind by the same odds without the first; with a single kind there is none.
    rest = odds.repeat(b, 1)
    rest[torch.arange(b), first] = 0.0
    if ALONE in kinds:
        alone = kinds.index(ALONE)
        rest[:, alone] = 0.0
        doubled &= first != alone
    doubled &= rest.sum(1) > 0
    rest[~doubled] = 1.0
    other = torch.multinomial(rest, 1, generator=generator).flatten()

    wanted = torch.zeros(b, len(kinds), dtype=torch.bool)
    wanted[torch.arange(b), first] = True
    wanted[torch.arange(b)[doubled], other[doubled]] = True
    wanted[untouched] = False

    y = x.clone()
    labels: list[list[str]] = [[] for _ in range(b)]
    params: dict[str, dict[str, Tensor]] = {}
    for kind in (k for k in (*ORDER, ALONE) if k in kinds):
        index = wanted[:, kinds.index(kind)].nonzero().flatten()
        if len(index) == 0:
            continue
        here = index.to(x.device)
        damaged, drawn = simulator(kind)(y[here], generator)
        y[here] = damaged
        params[kind] = {"index": index, **drawn}
        for i in index.tolist():
            labels[i].append(kind)
    rounded = (stored & ~untouched).nonzero().flatten().to(x.device)
    y[rounded] = quantise(y[rounded])
    return y, [tuple(kinds_of) for kinds_of in labels], params


def _odds(weights: dict[str, float] | None) -> tuple[list[str], Tensor]:
    """The kinds that may occur, in the registry's order, and their weights (n,)."""
    given = dict.fromkeys(ORDER, 1.0) if weights is None else weights
    for kind, weight in given.items():
        simulator(kind)
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"the weight of {kind!r} must be a finite number >= 0, not {weight!r}")
    kinds = [k for k in KINDS if given.get(k, 0.0) > 0]
    if not kinds:
        raise InputError("a mixture needs at least one kind with a positive weight")
    return kinds, torch.tensor([float(given[k]) for k in kinds])
