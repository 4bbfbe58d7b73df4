"""The trained path of a model, as data: a name and its numbers, written in the model's description as `linear_pro(12)`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from unveil.diffusion import GaussianPath, cosine_pro, cubic, linear_pro, mean_reverting, residual
from unveil.diffusion.irsde import theta_sum
from unveil.diffusion.path import rddm, shares
from unveil.errors import InputError, ModelError

LONGEST = 10_000
"""The largest number in a path: steps of the longest trained schedule; published ones have 1000."""
RESIDUAL = {"linear_pro": linear_pro, "cosine_pro": cosine_pro, "cubic": cubic}
"""Schedules of Resfusion's and LearnIR's residual path, each of a number of steps."""
PATHS: dict[str, tuple[str, tuple[type, ...], Callable[..., GaussianPath]]] = {
    name: ("12", (int,), lambda time, steps, schedule=schedule: residual(schedule(steps), time))
    for name, schedule in RESIDUAL.items()
} | {
    # IR-SDE: theta's schedule, steps, what is left of x0, noise of 255.
    "mean_reverting": (
        "cosine, 100, 0.005, 50",
        (str, int, float, float),
        lambda time, shape, steps, left, noise: mean_reverting(theta_sum(shape, steps, left), noise / 255, time),
    ),
    # RDDM: shares of residual and of noise, steps, variance of the noise. Its networks take indices, whatever `time` says.
    "rddm": (
        "decreased, increased, 1000, 0.01",
        (str, str, int, float),
        lambda _, alpha, variance, steps, total: rddm(shares(alpha, steps), shares(variance, steps), total),
    ),
}
"""Name -> example of what stands in the brackets, what each of it is, and the path made of `time` and those values."""


def name_of(text: str) -> str:
    """What stands before the bracket: the name of the trained grid."""
    return text.split("(")[0]


def path(text: str, time: str = "level") -> GaussianPath:
    """The path on its trained grid. text: a name of `PATHS` with its values in brackets. time: what the network takes, "level" or "index".

    Raises ModelError for text that describes none.
    """
    match = re.fullmatch(r"(\w+)\(([^()]*)\)", text)
    words = [word.strip() for word in match[2].split(",")] if match else []
    _, kinds, made = PATHS.get(match[1] if match else "", (None, (), None))
    if made is None or len(words) != len(kinds):
        known = ", ".join(f"{name}({example})" for name, (example, _, _) in PATHS.items())
        raise ModelError(f"unknown schedule {text!r}; write one as {known}")
    try:
        return made(time, *(_value(kind, word, text) for kind, word in zip(kinds, words, strict=True)))
    except InputError as error:
        raise ModelError(f"{text!r} describes no path: {error}") from error
    except ValueError as error:
        raise ModelError(f"{text!r} describes no path: its numbers cannot be read ({error})") from error


def _value(kind: type, word: str, text: str) -> Any:
    """A value of a path; numbers are checked before anything of that length is made."""
    if kind is not str and not abs(float(word)) <= LONGEST:
        raise ModelError(f"{text[:80]!r} describes no path: its numbers may be at most {LONGEST}")
    return kind(word)
