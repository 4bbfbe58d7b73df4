"""The options of a restoration, checked before anything is read, and the command with which they are given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from unveil import photo
from unveil.diffusion.self_ensemble import SIZES
from unveil.errors import InputError
from unveil.models.treatment import kinds_of, names_of, treatment
from unveil.util.words import did_you_mean

MOST_SEED = 2**53 - 1
"""The largest seed: the largest whole number that JSON carries safely."""
GENERATORS = ("philox4x64", "philox4x32")
"""Of noise: on the processor (`photo.tiles`), or in torch on any device (`diffusion.noise`)."""


def check_seed(seed: int) -> None:
    """Raise InputError for a seed out of range: reduced into the range, it would give the same pixels as another seed."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= MOST_SEED:
        raise InputError(f"seed must be a whole number from 0 to {MOST_SEED}, got {str(seed)[:40]}")


@dataclass(frozen=True)
class Options:
    """How to restore. None means the model's own default.

    Args:
        steps: Network evaluations per draw; by default fewer where no damage to the light (haze, shadow, low light) is fixed.
        samples: Draws from the posterior.
        seed: Same seed, same pixels; 0 to 2^53 - 1.
        fidelity: 0 samples the posterior (sharp, draws differ), 1 follows its mean (least squared error).
        strength: Share of the estimated residual that is removed: 0 returns the input, 1 the restoration.
        solver: "ancestral", "ddim", "renoise" or "2m"; for models on a mean-reverting path also "sde" and "ode", IR-SDE's own,
            which take all of the trained steps where `steps` says nothing.
        grid: Where the steps lie: "cubic" or the trained schedule.
        resolution: "coarse_to_fine", "hourglass" or "off".
        tile: Longest side in pixels of the tiles that the network sees; "auto" for what memory allows (at most 2048), "auto:N" for
            that but at most N, 0 for the whole photograph.
        max_pixels: Larger files are refused by their header.
        fix: The only kinds of damage to fix ("noise", "haze", ...; "light" for all that change the light), None for those that the
            describer finds. Like `keep` and `told`, for models conditioned on the kinds of damage (`general`).
        keep: Kinds to leave alone.
        told: The probability of each kind, as stored in a protocol, in place of `fix` and `keep`.
        uncertainty: Whether to estimate how far the restoration is likely to be off, for models with a network for it (`general`);
            changes no pixel.
        generator: Where noise comes from, one of GENERATORS; by default the one that is faster on the device, "philox4x64" on CPUs and
            "philox4x32" elsewhere. If it is given, a seed means the same noise on every device, up to the last digit.
        self_ensemble: 1, or 2, 4 or 8 to restore the photograph turned and mirrored too and to average (`diffusion.self_ensemble`): a
            smaller error, for as many times the time.

    """

    steps: int | None = None
    samples: int = 1
    seed: int = 0
    fidelity: float | None = None
    strength: float = 1.0
    solver: str | None = None
    grid: str | None = None
    resolution: str | None = None
    tile: int | str = "auto"
    max_pixels: int = photo.MAX_PIXELS
    fix: str | Sequence[str] | None = None
    keep: str | Sequence[str] = ()
    told: Mapping[str, float] | None = None
    uncertainty: bool = False
    generator: str | None = None
    self_ensemble: int = 1

    def __post_init__(self) -> None:
        for name in ("samples", "seed", "max_pixels", "steps"):
            value = getattr(self, name)
            if not (_whole(value) or (name == "steps" and value is None)):
                raise InputError(f"{name} must be a whole number, got {value!r}")
        for name in ("fix", "keep"):
            value = getattr(self, name)
            if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
                object.__setattr__(self, name, tuple(value))  # what gives its names once is asked for them more often
        check_seed(self.seed)
        if self.samples < 1:
            raise InputError(f"samples must be at least 1, got {self.samples}")
        auto = isinstance(self.tile, str) and re.fullmatch(r"auto(:[1-9]\d{0,5})?", self.tile, re.ASCII)
        if not (auto or (_whole(self.tile) and int(self.tile) >= 0)):
            raise InputError(f"tile must be auto, 0 or a number of pixels, got {self.tile!r}")
        if self.max_pixels < 1:
            raise InputError(f"max_pixels must be at least 1, got {self.max_pixels}")
        if not (_whole(self.self_ensemble) and self.self_ensemble in SIZES):
            raise InputError(f"self_ensemble must be 1, 2, 4 or 8, got {self.self_ensemble!r}")
        if self.generator is not None and self.generator not in GENERATORS:
            raise InputError(f"generator must be one of {', '.join(GENERATORS)}, got {self.generator!r}")
        if not isinstance(self.uncertainty, (bool, np.bool_)):
            raise InputError(f"uncertainty must be True or False, got {self.uncertainty!r}")
        for name in ("fidelity", "strength"):
            value = getattr(self, name)
            if name == "fidelity" and value is None:
                continue
            if not (_number(value) and 0.0 <= value <= 1.0):
                raise InputError(f"{name} must be a number between 0 and 1, got {value!r}")
            object.__setattr__(self, name, float(value))  # integers are accepted and computed with as floats
        for name in ("samples", "seed", "max_pixels", "steps", "self_ensemble", "tile", "uncertainty"):
            value = getattr(self, name)
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())  # a protocol has plain values
        if self.told is not None and (self.fix is not None or self.keep):
            raise InputError("told says it all; leave out fix and keep")
        if self.fix is not None or self.keep:
            treatment({}, self.fix, self.keep)  # so that an unknown name is an error before anything is read


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def chosen(options: Options | None, settings: dict[str, Any]) -> Options:
    """The options of a call: settings are taken in place of what `options` says. Raises InputError for a setting that does not exist."""
    if options is not None and not isinstance(options, Options):
        raise InputError(
            f"options must be an Options, got {type(options).__name__}; give settings by name, as in restore(image, seed=1)"
        )
    known = [f.name for f in fields(Options)]
    for name in settings:
        if name not in known:
            again = (
                "; a protocol is run again by unveil.restore(image, **protocol)" if name in ("model", "sha256") else ""
            )
            raise InputError(f"no option is called {name!r}; {did_you_mean(name, known)}{again}")
    return Options(**settings) if options is None else replace(options, **settings)


USUAL_MODEL = "general"
"""What `unveil restore` uses when no model is named."""


def command_line(
    inputs: Iterable[str],
    options: Options,
    *,
    model: str = USUAL_MODEL,
    method: str = "",
    preset: str = "",
    output: str = "",
    protocol: Mapping[str, Any] | None = None,
) -> str:
    """`unveil restore ...` as a line for a shell, on the machine and version that restored it.

    options: what is as it is by default is left out, but for the seed. model: the trained one, or method: a zero-shot one in its place,
    and preset: its settings by name. output: empty for beside the photograph. protocol: of one restoration; its tiles and precision are
    written too, since they change pixels and another machine might choose others.
    """
    words = ["unveil", "restore", *(f"./{name}" if name.startswith("-") and name != "-" else name for name in inputs)]
    if output:
        words += ["-o", output]
    if method:
        words += ["--method", method, *(["--preset", preset] if preset else [])]
    elif model != USUAL_MODEL:
        words += ["-n", model]
    if options.fix is not None:
        words += ["--fix", ",".join(names_of(options.fix, "fix"))]  # "all" is of the model
    if options.keep:
        words += ["--keep", ",".join(kinds_of(options.keep, "keep"))]
    words += ["--seed", str(options.seed)]
    default = Options()
    for name in ("steps", "samples", "fidelity", "strength", "solver", "grid", "resolution", "self_ensemble"):
        value = getattr(options, name)
        if value != getattr(default, name):
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    if options.uncertainty:
        words.append("--uncertainty")
    known = protocol or {}
    tile = known.get("tile", options.tile)
    if tile != default.tile:
        words += ["--tile", str(tile)]
    if "dtype" in known and not method:
        words += ["--dtype", str(known["dtype"])]
    return shlex.join(words)
