"""Simulators by name, random mixtures of them for training, contact sheets, and what was drawn in plain values."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from unveil.degradation.camera import BLUR_TYPES, NOISE_TYPES, blur, jpeg, noise
from unveil.degradation.draws import Random, branch, of, pick, rand
from unveil.degradation.haze import haze, rain
from unveil.degradation.lowlight import lowlight
from unveil.degradation.primitives import Severity, check, quantise, uniform
from unveil.degradation.shadow import shadow
from unveil.degradation.wild import events, labels, wild
from unveil.errors import InputError
from unveil.util.words import did_you_mean


class Simulator(Protocol):
    """One kind of damage: x (B, 3, H, W) float32 in [0, 1] to (the same damaged, the parameters drawn).

    Every parameter is a tensor with first dimension B. `severity` in [0, 1] pins the strength, of all or of each
    (B, 1, 1, 1); None draws it for each sample. All draws come from `generator`: a CPU generator, or the samples' own
    numbers (`draws`), made on the device of x, where then everything is computed and nothing fetched from it. Raises
    InputError for a wrong shape, type or severity.
    """

    def __call__(self, x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]: ...


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
    """The simulator called `kind`, in any case. Raises InputError with the nearest names for an unknown one."""
    if kind.lower() not in KINDS:
        hint = did_you_mean(kind, KINDS, most=3, cutoff=0.4)
        raise InputError(f"no degradation is called {kind!r}; {hint}")
    return KINDS[kind.lower()]


def apply(kind: str, x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Damage x (B, 3, H, W) float32 in [0, 1] by the simulator called `kind`; see `Simulator`. Raises InputError."""
    return simulator(kind)(x, generator, severity)


ORDER: tuple[str, ...] = ("shadow", "haze", "rain", "blur", "lowlight", "noise", "jpeg")
"""From the scene to the file: light, air, optics, exposure, sensor, storage."""

ALONE = "wild"
"""The kind that is a pipeline of its own and goes with no other."""

LIGHT: tuple[str, ...] = ("shadow", "haze", "lowlight")
"""Those that change the light itself, and with it the exposure."""

_STRENGTH = 29
"""Branch of a kind's draws for the severities of `strong`: none that a simulator takes."""

STORED = 0.9
"""Share of damaged samples rounded to 8 bits, as nearly every real photograph is."""


def spelled(kind: str) -> tuple[str, ...]:
    """What a simulator does to a photograph, as networks are told it: the pipeline for images in the wild is three kinds at once."""
    return ("noise", "blur", "jpeg") if kind == ALONE else (kind,)


def mixture(
    x: Tensor,
    generator: Random,
    weights: dict[str, float] | None = None,
    second: float = 0.35,
    clean: float = 0.08,
    strong: dict[str, float] | None = None,
) -> tuple[Tensor, list[tuple[str, ...]], dict[str, dict[str, Tensor]]]:
    """Damage each sample of x (B, 3, H, W) float32 in [0, 1] by its own random kinds, at random severities.

    weights: relative frequency of the kinds (kinds left out never occur; None: all equally often, but for "wild").
    "wild" is a whole pipeline: a sample that it damages gets no second kind, and it is never the second. second:
    probability of another kind beside the first. clean: probability that a sample stays as it is, bit for bit. Two
    kinds are applied in the order in which they happen to a photograph, ORDER. Nine in ten damaged samples are
    rounded to 8 bits. strong: for some kinds, the share of their samples whose severity is drawn from the upper third instead of the
    whole range. Returns y in [0, 1]; for each sample the kinds applied, in order, () for a clean one; and for
    each kind that occurred the parameters drawn, with `index` (n,), the samples they belong to. A function of x and
    the generator's state alone. Raises InputError for a wrong batch, unknown kinds, or weights and probabilities out
    of range.
    """
    check(x)
    kinds, odds = _odds(weights)
    for name, p in (("second", second), ("clean", clean)):
        if not 0.0 <= p <= 1.0:
            raise InputError(f"{name} is a probability and must lie in [0, 1], not {p!r}")
    for kind, share in (strong or {}).items():
        simulator(kind)
        if not 0.0 <= share <= 1.0:
            raise InputError(f"the share of strong {kind!r} must lie in [0, 1], not {share!r}")
    b = len(x)
    untouched = rand((b,), generator, host=True) < clean
    doubled = rand((b,), generator, host=True) < second
    stored = rand((b,), generator, host=True) < STORED
    first = pick(odds, b, generator)
    # The second kind by the same odds without the first; with a single kind there is none.
    rest = odds.repeat(b, 1)
    rest[torch.arange(b), first] = 0.0
    if ALONE in kinds:
        alone = kinds.index(ALONE)
        rest[:, alone] = 0.0
        doubled &= first != alone
    doubled &= rest.sum(1) > 0
    rest[~doubled] = 1.0
    other = pick(rest, b, generator)

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
        own = branch(of(generator, index), list(KINDS).index(kind))
        severity = _severities(len(index), branch(own, _STRENGTH), (strong or {}).get(kind, 0.0))
        damaged, drawn = simulator(kind)(y[here], own, severity)
        y[here] = damaged
        params[kind] = {"index": index, **drawn}
        for i in index.tolist():
            labels[i].append(kind)
    rounded = (stored & ~untouched).nonzero().flatten().to(x.device)
    y[rounded] = quantise(y[rounded])
    return y, [tuple(kinds_of) for kinds_of in labels], params


def _severities(n: int, generator: Random, strong: float) -> Severity:
    """(n, 1, 1, 1) severities, a share `strong` of them in the upper third and the others anywhere; None, drawn by the simulator, for 0."""
    if not strong:
        return None
    whole, above = uniform(n, generator), uniform(n, generator)
    return torch.where(above < strong, (2 + whole) / 3, whole)


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


def contact_sheet(
    x: Tensor, generator: torch.Generator, severities: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
) -> Tensor:
    """One row per kind, one column per severity, after a column with the original.

    x: (B, 3, H, W) float32 in [0, 1]; row k shows sample k mod B. Within a row all but the severity is drawn alike.
    Returns (3, n (H + 2) - 2, (1 + len(severities)) (W + 2) - 2) for n kinds, the cells two white pixels apart. Raises
    InputError.
    """
    check(x)
    _, _, h, w = x.shape
    rows, columns = len(KINDS), 1 + len(severities)
    sheet = torch.ones(3, rows * (h + 2) - 2, columns * (w + 2) - 2)
    for i, damage in enumerate(KINDS.values()):
        source = x[i % len(x)][None]
        seed = int(torch.randint(2**31, (1,), generator=generator))
        cells = [source] + [damage(source, torch.Generator().manual_seed(seed), s)[0] for s in severities]
        for j, cell in enumerate(cells):
            sheet[:, i * (h + 2) : i * (h + 2) + h, j * (w + 2) : j * (w + 2) + w] = cell[0].cpu()
    return sheet


_FEW = 8
_TYPES = {"blur": BLUR_TYPES, "noise": NOISE_TYPES}


def report(kind: str, drawn: dict[str, Tensor], index: int = 0) -> dict[str, Any]:
    """The parameters that simulator `kind` drew for sample `index`, as JSON holds them.

    Numbers and short lists as they are; a whole map or kernel by its shape, least, mean and greatest value (the seed
    gives it back); types by name; for "wild" the `events` in order and the `labels` that describe them.
    """
    kind = kind.lower()
    if kind == "wild":
        return {
            "severity": _plain(drawn["severity"][index]),
            "labels": list(labels(drawn["words"][index : index + 1])[0]),
            "events": events(drawn["steps"][index : index + 1])[0],
        }
    told = {name: _plain(value[index]) for name, value in drawn.items()}
    if kind in _TYPES:
        told["type"] = _TYPES[kind][told["type"]]
    return told


def _plain(value: Tensor) -> Any:
    if value.numel() == 1:
        return value.item() if not value.is_floating_point() else _short(float(value))
    if value.numel() <= _FEW:
        return [_plain(v) for v in value.flatten()]
    values = value.to(torch.float64)
    shape = [n for n in value.shape if n != 1]
    return {
        "shape": shape,
        "min": _short(float(values.min())),
        "mean": _short(float(values.mean())),
        "max": _short(float(values.max())),
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")
