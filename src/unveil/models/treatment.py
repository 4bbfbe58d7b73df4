"""What is to be fixed in a photograph: told by a person, or as the describer sees it; and what follows for the sampler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from unveil.diffusion.path import GaussianPath
from unveil.errors import InputError
from unveil.models.spec import Spec
from unveil.networks.compact import BORDER
from unveil.networks.condition import KINDS, LIGHT, vector
from unveil.util.words import did_you_mean

GROUPS: dict[str, tuple[str, ...]] = {"light": LIGHT, "all": KINDS}
"""Names that stand for several kinds."""

NOTICED: dict[str, float] = {
    "haze": 0.35, "shadow": 0.8, "lowlight": 0.15, "noise": 0.4, "blur": 0.45, "jpeg": 0.4, "rain": 0.2,
}  # fmt: skip
"""Probability from which a kind of damage that was not named is treated: what about two in a hundred held-out photographs without that
kind reach (docs/choices.md), fewer for shadows. Below it the network is told nothing of the kind."""
EVEN = NOTICED | {"blur": 0.65}
"""The describer's probability at which a network is told that a kind is as likely as not. Blur: a soft petal passes for blurred at 0.55 to
0.67, and told that it were would lose up to 3 dB; what is blurred indeed mostly has more than 0.9 (docs/choices.md)."""
STEPS = 3
"""Of the trained schedule, where light stays and nothing is drawn: its last evaluation, the only one at the photograph's own size, says as
much as two do (docs/speed.md), in half of the time."""
PERHAPS = {"haze": 0.2, "lowlight": 0.3}
"""From which of the network's input on a kind that is left as it is gets named: whether a picture was meant to be dark or misty is for a
person to say. Of photographs that need nothing three in a hundred reach it for haze, and one for low light (docs/choices.md)."""
LEAST_SHARE = 0.5
"""Share of the change that is made at least where haze or low light was found, so that a scene that was meant to be dark keeps its night
(docs/choices.md)."""
MOSTLY = 0.9
"""Share from which the whole change is made."""
GUESSED = 0.9999
"""The most that the network is told of what was not named by a person, whose word is 1."""
DRAWN = 0.5
"""Probability from which a picture is taken for a page of text or a drawing."""


@dataclass(frozen=True)
class Treatment:
    """probabilities: kind -> probability that it is there and to be fixed; kinds that are left alone have 0.

    asked: whether a person said so. Exactly what `restore(told=...)` takes, so that a restoration can be repeated without the describer.
    said: the describer's own probabilities, where it was asked.
    perhaps: haze or low light that the describer half suspects, and that is left as it is.
    beyond: what the describer notices and the model does not fix.
    kept: what the describer notices and a person asked to keep.
    """

    probabilities: Mapping[str, float]
    asked: bool
    said: Mapping[str, float] = field(default_factory=dict)
    perhaps: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    kept: Mapping[str, float] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to fix: the photograph stays as it is."""
        return not any(p > 0 for p in self.probabilities.values())

    @property
    def light(self) -> bool:
        """Whether the light of the whole may change, which the first steps decide on the reduced photograph."""
        return any(self.probabilities.get(kind, 0.0) > 0 for kind in LIGHT)

    @property
    def detail(self) -> bool:
        """Whether something else than the light is to be fixed: noise, blur, compression, rain."""
        return any(p > 0 for kind, p in self.probabilities.items() if kind not in LIGHT)

    @property
    def shares(self) -> dict[str, float]:
        """Kind -> share of the change that is made where the describer, and no person, says that there is haze or low light.

        The mean of the photographs that may lie behind: the one without the damage, as likely as it is there, and the photograph as it
        is. Low light by the describer's probability; haze by twice its odds squared, which is how often it is there where one photograph in
        ten is hazy (docs/choices.md); all of it from MOSTLY on. It is read from what is told, so that a restoration can be repeated without
        the describer.
        """
        out = {}
        for kind, factor, power in (("haze", 2, 2), ("lowlight", 1, 1)):
            told = self.probabilities.get(kind, 0.0)
            if 0 < told < 1:
                odds = factor * (told / (1 - told) * NOTICED[kind] / (1 - NOTICED[kind])) ** power
                share = max(LEAST_SHARE, odds / (1 + odds))
                out[kind] = share if share < MOSTLY else 1.0
        return out

    @property
    def share(self) -> float:
        """The least of `shares`, 1 where there are none."""
        return min(self.shares.values(), default=1.0)

    def vector(self) -> Tensor:
        """(len(KINDS),) as networks take it: haze of which only a share is taken away as if it were certain."""
        return vector({**self.probabilities, **dict.fromkeys({"haze"} & {*self.shares}, GUESSED)})

    def sentence(self) -> str:
        """For the user: what will be fixed, and whether the user or the describer decided it."""
        found = {k: self.said.get(k, p) for k, p in self.probabilities.items() if p > 0}
        if not found and self.asked:
            return "nothing is to be fixed; it is left as it is"
        named = ", ".join(k if self.asked else f"{k} {p:.0%}" for k, p in sorted(found.items(), key=lambda kp: -kp[1]))
        if self.asked:
            return f"fixing {named}"
        perhaps, beyond, kept = (
            ", ".join(f"{k} {self.kept.get(k, self.said.get(k, 0.0)):.0%}" for k in kinds)
            for kinds in (self.perhaps, self.beyond, self.kept)
        )
        wanted = ",".join([*found, *self.perhaps])
        elsewhere = f"{beyond} is not what this model fixes: -n general" if beyond else ""
        if found or kept:
            parts = [f"found {named}" if found else f"found {kept}, which stays as asked"]
            if self.share < 1:
                done = "lit" if self.shares.get("lowlight") == self.share else "cleared"
                parts.append(f"{done} by {self.share:.0%}, all of it with --fix {','.join(found)}")
            if perhaps:
                parts.append(f"perhaps {perhaps}, left as it is: --fix {wanted}")
            if found and kept:
                parts.append(f"{kept} stays as asked")
            return "; ".join(part for part in (*parts, elsewhere) if part)
        hint = f"perhaps {perhaps}: --fix {wanted}" if perhaps else elsewhere or "say what to fix with --fix"
        return f"nothing to fix was found; it is left as it is ({hint})"


def names_of(names: Any, option: str) -> list[str]:
    """Names, in small letters, from a text with commas or a sequence of texts. Raises InputError for anything else."""
    try:
        given = names.split(",") if isinstance(names, str) else list(names)
        if not all(isinstance(name, str) for name in given):
            raise TypeError
    except TypeError:
        raise InputError(f"{option} takes names of kinds of damage, such as 'noise,blur', got {names!r}") from None
    return [_plain(name) for name in given if name.strip()]


def _plain(name: str) -> str:
    return name.strip().lower()


def kinds_of(names: str | Iterable[str], option: str = "fix", fixable: tuple[str, ...] = KINDS) -> tuple[str, ...]:
    """Kinds of damage by name, or by one text with commas, "light" and "all" spelled out, in the order of KINDS.

    option: which one they were given to, for the message. fixable: what the model fixes (`Spec.fixable`); "all" is all of that. Raises
    InputError for a name that is no kind, with the nearest one, or of a kind that the model does not fix.
    """
    found: set[str] = set()
    for name in names_of(names, option):
        if name not in KINDS and name not in GROUPS:
            raise InputError(f"{option}: {name!r} is no kind of damage; {did_you_mean(name, [*KINDS, *GROUPS])}")
        own = [k for k in GROUPS.get(name, (name,)) if k in fixable]
        if not own:
            raise InputError(
                f"{option}: this model does not fix {name}, only {', '.join(fixable)}; the model general fixes all kinds"
            )
        found.update(own)
    return tuple(k for k in KINDS if k in found)


def treatment(
    described: Mapping[str, float] | None,
    fix: str | Iterable[str] | None = None,
    keep: str | Iterable[str] = (),
    fixable: tuple[str, ...] = KINDS,
) -> Treatment:
    """What to fix.

    described: the describer's probabilities by kind; needed where `fix` is None. A photograph that it takes for a drawing or a page of
    text ("graphic") has nothing to fix. fix: kinds to fix and no others, or None for what the describer notices. keep: kinds to leave
    alone; alone, everything else that the describer notices is fixed. fixable: what the model fixes (`Spec.fixable`); all else is left
    alone. Raises InputError for names that are no kinds, kinds to fix that the model does not, or the same kind in both.
    """
    kept = kinds_of(keep, "keep") if keep else ()
    if fix is not None:
        wanted = kinds_of(fix, fixable=fixable)
        # A group is what is left of it; a kind that is named itself must not be kept.
        both = [k for k in wanted if k in kept and (k in names_of(fix, "fix") or set(wanted) <= set(kept))]
        if both:
            raise InputError(f"{', '.join(both)}: asked to fix and to keep at once; leave out one of the two")
        wanted = tuple(k for k in wanted if k not in kept)
        return Treatment({k: float(k in wanted) for k in KINDS}, True)
    assert described is not None
    drawn = described.get("graphic", 0.0) >= DRAWN
    said = {k: 0.0 if k in kept or drawn else float(described.get(k, 0.0)) for k in KINDS}
    odds = {k: _at_equal_odds(p, EVEN[k]) for k, p in said.items()}
    found = {k: odds[k] if p >= NOTICED[k] and k in fixable else 0.0 for k, p in said.items()}
    perhaps = tuple(k for k, least in PERHAPS.items() if k in fixable and not found[k] and odds[k] >= least)
    beyond = tuple(k for k in KINDS if k not in fixable and said[k] >= NOTICED[k])
    there = (
        {} if drawn else {k: float(described[k]) for k in kept if k in fixable and described.get(k, 0.0) >= NOTICED[k]}
    )
    return Treatment(found, False, said, perhaps, beyond, there)


def _at_equal_odds(probability: float, even: float) -> float:
    """The input of the network for a kind: the odds against those of `even`, which stands at one half.

    The describer speaks of all photographs, of which few have any one kind of damage; the network was taught with guesses for which each
    kind is as often there as not. The ratio of odds is what changes from the one prior to the other.
    """
    ratio = probability * (1 - even) / max((1 - probability) * even, 1e-9)
    return min(round(ratio / (1 + ratio), 4), GUESSED)


def repeated(recorded: Mapping[str, Any], fixable: tuple[str, ...] = KINDS) -> Treatment:
    """The treatment that a protocol tells. Raises InputError for what is no mapping from kinds to probabilities, and for kinds that the
    model does not fix.
    """
    try:
        if any(isinstance(v, (str, bytes)) for v in recorded.values()):
            raise TypeError
        probabilities = {_plain(str(k)): float(v) for k, v in recorded.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"told must map kinds of damage to probabilities, got {recorded!r}") from error
    kinds_of(probabilities, "told")
    kinds_of([k for k, p in probabilities.items() if p > 0], "told", fixable)
    if not all(0 <= p <= 1 for p in probabilities.values()):
        raise InputError(f"told must hold probabilities between 0 and 1, got {recorded!r}")
    return Treatment({k: probabilities.get(k, 0.0) for k in KINDS}, True)


def steps_of(treat: Treatment | None, spec: Spec) -> int:
    """How many steps to take at fidelity 1 where no number was asked for: the model's own, or of two experts fewer where light stays."""
    usual = spec.defaults.steps
    fewer = treat is not None and not treat.light and not treat.nothing and usual > STEPS
    return STEPS if fewer and first_native(spec.process(), spec) else usual


def reaching_detail(treat: Treatment | None, spec: Spec, grid: str | None, steps: int) -> int:
    """The least number of steps, from `steps` on, that has an evaluation of the expert for detail, where detail is to be fixed.

    One step of two experts is the light's, and would leave noise, blur and compression as they are.
    """
    if treat is None or not treat.detail or spec.network.get("kind") != "experts":
        return steps
    while steps < spec.defaults.steps and all(float(s) >= BORDER for s in spec.process(grid, steps).sigma[1:]):
        steps += 1
    return steps


def first_native(path: GaussianPath, spec: Spec) -> int:
    """Evaluations of the low stage of two experts, which a photograph whose light stays as it is passes by; 0 where there are no others."""
    early = sum(float(s) >= BORDER for s in path.sigma[1:])
    return early if spec.network.get("kind") == "experts" and early < path.steps else 0


def first_evaluation(treat: Treatment | None, path: GaussianPath, spec: Spec) -> int:
    """The first evaluation that is run: those before it correct the light alone, and are skipped where the light is not to be fixed."""
    return first_native(path, spec) if treat is not None and not treat.light else 0
