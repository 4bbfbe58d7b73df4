"""Simulators by name."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from unveil.degradation.blur import blur
from unveil.degradation.haze import haze
from unveil.degradation.jpeg import jpeg
from unveil.degradation.lowlight import lowlight
from unveil.degradation.noise import noise
from unveil.degradation.rain import rain
from unveil.degradation.shadow import shadow
from unveil.degradation.wild import wild
from unveil.errors import InputError
from unveil.util.words import did_you_mean


class Simulator(Protocol):
    """One kind of damage: x (B, 3, H, W) float32 in [0, 1] to (the same damaged, the parameters drawn).

    Every parameter is a tensor with first dimension B. `severity` in [0, 1] pins the strength, None draws it for each
    sample; all draws come from `generator` (a CPU generator). Raises InputError for a wrong shape, type or severity.
    """

    def __call__(
        self, x: Tensor, generator: torch.Generator, severity: float | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]: ...


KINDS: dict[str, Simulator] = {
    "haze": haze,
    "shadow": shadow,
    "lowlight": lowlight,
    "noise": noise,
    "blur": blur,
    "jpeg": jpeg,
    "rain": rain,
    "wild": wild,
}


def simulator(kind: str) -> Simulator:
    """The simulator called `kind`. Raises InputError with the nearest names for an unknown one."""
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS, otherwise="Known:", most=3, cutoff=0.4)
        raise InputError(f"no degradation is called {kind!r}; {hint}")
    return KINDS[kind]


def apply(
    kind: str, x: Tensor, generator: torch.Generator, severity: float | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Damage x (B, 3, H, W) float32 in [0, 1] by the simulator called `kind`; see `Simulator`. Raises InputError."""
    return simulator(kind)(x, generator, severity)
