"""What is put to the test: a model under its settings, or a correction that costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.baselines import get_baseline
from unveil.masked import MaskedRestorer
from unveil.models.footprint import sizes
from unveil.models.treatment import kinds_of
from unveil.options import Options
from unveil.restorer import Restorer
from unveil.util.devices import name_of
from unveil.zeroshot_restorer import ZeroShotRestorer

CHEAP = ("identity", "stretch", "grey-world", "gamma", "clahe", "dark-channel", "nlm", "tv", "bm3d")
"""Baselines by default: what a model has to beat before its numbers mean anything (BM3D where it is installed)."""


@dataclass(frozen=True)
class Outcome:
    """one: first draw, mean: of all draws, None where there is one; both (H, W, 3) in [0, 1]. spread: mean standard deviation."""

    one: np.ndarray
    mean: np.ndarray | None = None
    spread: float | None = None


@dataclass(frozen=True)
class Method:
    """title: how tables call it. restore: (H, W, 3) float32 in [0, 1] -> Outcome. run: everything that decides its pixels.

    cost: counts its parameters and the multiply-adds of one evaluation at 512x512, as `counting.sizes` does; None where nothing can.
    masked: whether `restore` takes the mask of the damage too, (H, W[, 3]) or None. device: what computes.
    """

    title: str
    restore: Callable[..., Outcome]
    run: dict[str, Any] = field(default_factory=dict)
    draws: int = 1
    cost: Callable[[], dict[str, Any]] | None = None
    masked: bool = False
    device: str = "cpu"


def baseline(name: str) -> Method:
    """A method of `evaluation.baselines`. Raises InputError for an unknown name."""
    found = get_baseline(name)
    return Method(found.title, lambda y: Outcome(found(y)), {} if name == "identity" else {"baseline": name})


def cheap() -> list[Method]:
    """Those of `CHEAP` that can run here."""
    return [baseline(name) for name in CHEAP if name != "bm3d" or find_spec("bm3d")]


def model(restorer: Restorer, title: str, draws: int = 1, **settings: Any) -> Method:
    """A model, seed 0. settings: fields of `Options`."""
    options = Options(samples=draws, **settings)
    masked = bool(restorer.model.spec.network.get("mask_channels"))

    def restore(y: np.ndarray, mask: np.ndarray | None = None) -> Outcome:
        shown = restorer
        if masked:
            if mask is None:
                raise InputError(f"{title} is shown a mask, and the set has none for it")
            shown = MaskedRestorer(restorer.model, mask, str(restorer.device), name_of(restorer.dtype))
        out = shown.restore(y, options)
        if out.std is None:
            return Outcome(out.image)
        first = out.samples[0] if len(out.samples) else shown.restore(y, samples=1, **settings).image
        return Outcome(first, out.mean, float(out.std.mean()))

    def cost() -> dict[str, Any]:
        return {part: asdict(size) for part, size in sizes(restorer.model.spec.network).items()}

    run = {k: v for k, v in restorer.protocol(options).items() if k != "device"}
    if options.fix is not None:
        run["fix"] = list(kinds_of(options.fix))
    return Method(title, restore, run, draws, cost, masked, str(restorer.device))


def zero_shot(
    restorer: ZeroShotRestorer, draws: int = 1, steps: int | None = None, *, preset: str = "", prior: str = ""
) -> Method:
    """A zero-shot method on its prior, seed 0, as `load(method=NAME)` gives it. draws: of each photograph. steps: in place of those of its
    settings.

    preset, prior: those that were asked for by name, "" for none; they stand in the row's title, so that rows of one table differ.
    """
    options = Options(samples=draws, steps=steps)

    def restore(y: np.ndarray) -> Outcome:
        out = restorer.restore(y, options)
        if out.std is None:
            return Outcome(out.image)
        return Outcome(out.samples[0], out.mean, float(out.std.mean()))

    run = {k: v for k, v in restorer.protocol(options).items() if k != "device"}
    told = [restorer.method.title + (f" on {prior}" if prior else "")]
    told += [preset] if preset else []
    told += [f"{steps} steps"] if steps else []
    return Method(", ".join(told), restore, run, draws, device=str(restorer.device))
