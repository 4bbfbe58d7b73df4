"""The trained path of a model, written in its description as one short text.

linear_pro(12), cosine_pro(10), cubic(5)        Resfusion's and LearnIR's residual path
mean_reverting(cosine, 100, 0.005, 50)          IR-SDE: theta's schedule, steps, what is left of x0, noise of 255
rddm(decreased, increased, 1000, 0.01)          RDDM: shares of residual and of noise, steps, variance of the noise
"""

from __future__ import annotations

import re
from collections.abc import Callable

from unveil.diffusion import GaussianPath, cosine_pro, cubic, linear_pro, mean_reverting, residual
from unveil.errors import InputError, ModelError

LONGEST = 10_000
"""The largest number in a path: steps of the longest trained schedule; published ones have 1000."""
_NUMBER = re.compile(r"[+-]?(nan|inf(inity)?|[\d_.]+(e[+-]?\d+)?)", re.IGNORECASE)
RESIDUAL = {"linear_pro": linear_pro, "cosine_pro": cosine_pro, "cubic": cubic}


def _mean_reverting(time: str, schedule: str, steps: str, eps: str, noise: str) -> GaussianPath:
    from unveil.diffusion.irsde import theta_sum

    return mean_reverting(theta_sum(schedule, int(steps), float(eps)), float(noise) / 255, time)


def _rddm(time: str, alpha: str, variance: str, steps: str, total: str) -> GaussianPath:
    from unveil.diffusion.rddm import rddm, shares

    return rddm(shares(alpha, int(steps)), shares(variance, int(steps)), float(total))


OTHERS: dict[str, tuple[str, Callable[..., GaussianPath]]] = {
    "mean_reverting": ("mean_reverting(cosine, 100, 0.005, 50)", _mean_reverting),
    "rddm": ("rddm(decreased, increased, 1000, 0.01)", _rddm),
}


def name_of(text: str) -> str:
    """What stands before the bracket: the name of the trained grid."""
    return text.split("(")[0]


def path(text: str, time: str = "level") -> GaussianPath:
    """The path written as above, on its trained grid. Raises ModelError for text that describes none.

    time: what the network takes as time, "level" or "index"; RDDM's networks take indices in any case.
    """
    match = re.fullmatch(r"(\w+)\(([^()]*)\)", text)
    arguments = [a.strip() for a in match[2].split(",")] if match else []
    try:
        for number in filter(_NUMBER.fullmatch, arguments):
            if not abs(float(number)) <= LONGEST:  # before anything of that length is made
                raise ModelError(f"{text[:80]!r} describes no path: its numbers may be at most {LONGEST}")
        if match and match[1] in RESIDUAL and len(arguments) == 1:
            return residual(RESIDUAL[match[1]](int(arguments[0])), time)
        if match and match[1] in OTHERS and len(arguments) == 4:
            return OTHERS[match[1]][1](time, *arguments)
    except InputError as error:
        raise ModelError(f"{text!r} describes no path: {error}") from error
    except ValueError as error:
        raise ModelError(f"{text!r} describes no path: its numbers cannot be read ({error})") from error
    known = ", ".join([f"{name}(12)" for name in RESIDUAL] + [example for example, _ in OTHERS.values()])
    raise ModelError(f"unknown schedule {text!r}; write one as {known}")
