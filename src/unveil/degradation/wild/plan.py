"""What the wild pipeline will do to each picture of a batch, drawn before anything is done: one row for each operation.

A strength that is uniform in a range is drawn as a position u in [0, 1], weak to strong, so that a severity can pin it.

Every probability and range of the wild pipeline, as in the published code (Luo et al., CVPR 2024 workshops).

The paper itself gives none, and leaves out the camera under the display.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unveil.degradation.draws import Random, rand
from unveil.degradation.primitives import Severity, pinned

OPERATIONS = ("blur", "under_display", "resize", "noise", "jpeg")
INTERPOLATIONS = ("area", "cubic", "linear")
FAMILIES = (
    "gaussian", "anisotropic", "generalised", "generalised_anisotropic", "plateau", "plateau_anisotropic",
    "defocus", "box", "line", "shake", "sinc",
)  # fmt: skip
FAMILY_ODDS = (0.35, 0.2, 0.1, 0.03, 0.1, 0.03, 0.1, 0.03, 0.03, 0.03)
COLUMNS = (
    "operation", "family", "size", "sigma_x", "sigma_y", "angle", "beta", "cutoff", "direction", "wiener", "blend",
    "scale", "interpolation", "gaussian", "gaussian_grey", "poisson", "poisson_grey", "quality", "strength", "seed",
)  # fmt: skip
"""The columns of a plan. operation: index into OPERATIONS, -1 for nothing. A column that an operation has not holds -1."""

COLUMN = {name: i for i, name in enumerate(COLUMNS)}
NOTHING = -1.0
PSF_SIZES = (5, 29)
UNDER_DISPLAY_SIZE = 41


@dataclass(frozen=True)
class Blur:
    """A chance of blur in a phase; where it misses, a camera under the display has its own chance."""

    chance: float
    radius: tuple[int, int]
    sigma: tuple[float, float]
    sinc: float
    under_display: float = 0.0


@dataclass(frozen=True)
class Phase:
    """Operations in random order. resize: "away", "back" or None. jpeg: chance and range of the quality, weak first."""

    blur: Blur
    resize: str | None = None
    noise: float = 0.0
    jpeg: tuple[float, tuple[float, float]] | None = None


PHASES = (
    Phase(Blur(0.8, (2, 9), (0.2, 2.2), 0.1, 0.2), "away", 0.4, (0.4, (95.0, 60.0))),
    Phase(Blur(0.4, (2, 4), (0.2, 1.5), 0.1, 0.2), None, 0.2),
    Phase(Blur(0.8, (2, 9), (0.2, 1.0), 0.8), "back", 0.0, (0.4, (100.0, 80.0))),
)
RESIZE = 0.8
SCALE = (0.5, 1.4)
"""Sizes are divided by this: enlarged to twice the size, reduced to 0.71 of it."""
WIENER, WIENER_BELOW, WIENER_BLENDED = 0.1, 8, 0.1
BLEND = (0.1, 0.5)
NOISES = {"gaussian": (0.6, (1 / 255, 5 / 255)), "poisson": (0.4, (0.01, 0.5))}
GREY_NOISE = 0.4
SHAPES = {"generalised": (0.5, 2.0), "plateau": (1.0, 1.5)}
"""Exponents beta: half of the kernels have one between the lower end and 1, half between 1 and the upper end."""


class Draws:
    """Columns of draws for a batch of b pictures, from a generator, with or without a severity."""

    def __init__(self, b: int, generator: Random, severity: Severity) -> None:
        self.b, self.generator, self.severity = b, generator, severity
        self.strengths: list[Tensor] = []

    def unit(self) -> Tensor:
        """(b,) uniform in [0, 1)."""
        return rand((self.b,), self.generator, dtype=torch.float64, host=True)

    def uniform(self, low: float, high: float) -> Tensor:
        """(b,) uniform in [low, high)."""
        return low + (high - low) * self.unit()

    def chance(self, p: float) -> Tensor:
        """(b,) booleans, true with probability p."""
        return self.unit() < p

    def strong(self, weak: float, strong: float) -> Tensor:
        """(b,) uniform between the two, or at the position the severity says. The draw is made either way."""
        u = self.unit()
        u = pinned(u, self.severity)
        self.strengths.append(u)
        return weak + (strong - weak) * u

    def one_of(self, n: int) -> Tensor:
        """(b,) float64 whole numbers in 0..n-1."""
        return (self.unit() * n).floor()

    def row(self, operation: str, fires: Tensor, **columns: Tensor) -> Tensor:
        """(b, COLUMNS): the operation where it fires, with the mean position of the strengths drawn for it."""
        table = torch.full((self.b, len(COLUMNS)), NOTHING, dtype=torch.float64)
        columns["operation"] = torch.full_like(self.unit(), float(OPERATIONS.index(operation)))
        columns["strength"] = torch.stack(self.strengths).mean(0)
        columns["seed"] = (self.unit() * 2**48).floor()
        for name, value in columns.items():
            table[:, COLUMN[name]] = value.double()
        table[~fires] = NOTHING
        self.strengths.clear()
        return table


def _betas(draws: Draws, low: float, high: float) -> Tensor:
    """Half of the shapes below 1 (more peaked), half above."""
    return torch.where(draws.chance(0.5), draws.uniform(low, 1.0), draws.uniform(1.0, high))


def _blur(draws: Draws, blur: Blur, under_display: bool) -> Tensor:
    fires = draws.chance(blur.chance)
    radius = draws.strong(blur.radius[0], blur.radius[1] + 1).floor().clamp_max(blur.radius[1])
    sinc = draws.chance(blur.sinc)
    odds = torch.tensor(FAMILY_ODDS, dtype=torch.float64)
    family = torch.searchsorted(odds.cumsum(0) / odds.sum(), draws.unit()).clamp_max(len(odds) - 1)
    family = torch.where(sinc, FAMILIES.index("sinc"), family)

    def among(*names: str) -> Tensor:
        return torch.isin(family, torch.tensor([FAMILIES.index(name) for name in names]))

    size = 2 * radius + 1
    low, high = PSF_SIZES
    size = torch.where(among("shake"), low + 2 * draws.one_of((high - low) // 2 + 1), size)
    size = torch.where(among("line") & (size > 15), size - 10, size)
    sigma_x, sigma_y = draws.strong(*blur.sigma), draws.strong(*blur.sigma)
    turned = among("anisotropic", "generalised_anisotropic", "plateau_anisotropic")
    betas = torch.where(
        among("generalised", "generalised_anisotropic"),
        _betas(draws, *SHAPES["generalised"]),
        torch.where(among("plateau", "plateau_anisotropic"), _betas(draws, *SHAPES["plateau"]), 1.0),
    )
    # The wider the cut-off the weaker; a small kernel has room for fewer oscillations.
    narrowest = torch.where(size < 13, math.pi / 3, math.pi / 5)
    cutoff = math.pi + (narrowest - math.pi) * draws.strong(0.0, 1.0)
    rings = draws.chance(WIENER) & (size < WIENER_BELOW) & ~sinc
    blended = draws.chance(WIENER_BLENDED)
    nothing = torch.full_like(size, NOTHING)
    wide = among("gaussian", "generalised", "plateau") | turned
    row = draws.row(
        "blur",
        fires,
        family=family,
        size=size,
        sigma_x=torch.where(wide, sigma_x, nothing),
        sigma_y=torch.where(wide, torch.where(turned, sigma_y, sigma_x), nothing),
        angle=torch.where(turned, draws.uniform(-math.pi, math.pi), torch.where(wide, 0.0, nothing)),
        beta=torch.where(wide, betas, nothing),
        cutoff=torch.where(sinc, cutoff, nothing),
        direction=torch.where(among("line"), (draws.unit() * 4 * (size // 2)).floor(), nothing),
        wiener=rings,
        blend=torch.where(rings & blended, draws.strong(*BLEND[::-1]), nothing),
    )
    # Of the pictures that are not blurred some are seen through a display instead.
    through = draws.chance(blur.under_display) & ~fires & under_display
    size = torch.full_like(size, UNDER_DISPLAY_SIZE)
    other = draws.row("under_display", through, size=size, blend=draws.strong(*BLEND))
    return torch.where(through[:, None], other, row)


def _resize(draws: Draws, fires: Tensor, back: bool) -> Tensor:
    scale = draws.strong(*SCALE)
    interpolation = draws.one_of(3)
    return draws.row(
        "resize", fires, scale=torch.full_like(scale, NOTHING) if back else scale, interpolation=interpolation
    )


def _noise(draws: Draws, p: float) -> Tensor:
    fires = draws.chance(p)
    columns: dict[str, Tensor] = {}
    for name, (chance, spread) in NOISES.items():
        level = draws.strong(*spread)
        present = draws.chance(chance)
        columns[name] = torch.where(present, level, NOTHING)
        columns[f"{name}_grey"] = torch.where(present, draws.chance(GREY_NOISE).double(), NOTHING)
    return draws.row("noise", fires, **columns)


def _jpeg(draws: Draws, p: float, quality: tuple[float, float]) -> Tensor:
    fires = draws.chance(p)
    return draws.row("jpeg", fires, quality=draws.strong(*quality).floor())


def plan(b: int, generator: Random, severity: Severity = None, under_display: bool = True) -> Tensor:
    """(b, 9, COLUMNS) float64: for each picture its operations in the order in which they happen, -1 for none.

    Three phases, of four, two and three operations, each shuffled for each picture on its own. severity: None, or the
    position in [0, 1] of every strength in its range (which operations happen is drawn all the same).
    """
    draws = Draws(b, generator, severity)
    resized = draws.chance(RESIZE)
    phases: list[Tensor] = []
    for phase in PHASES:
        rows = [_blur(draws, phase.blur, under_display)]
        if phase.resize:
            rows.append(_resize(draws, resized, phase.resize == "back"))
        if phase.noise:
            rows.append(_noise(draws, phase.noise))
        if phase.jpeg:
            rows.append(_jpeg(draws, *phase.jpeg))
        order = rand((b, len(rows)), generator, host=True).argsort(1)
        phases.append(torch.stack(rows, 1).gather(1, order[:, :, None].expand(-1, -1, len(COLUMNS))))
    return torch.cat(phases, 1)


MILD = 0.5
"""Chance of each of a mild plan's changes."""
MILD_QUALITY = (100.0, 80.0)
"""JPEG quality of a mild plan: that of the pipeline's last phase."""


def mild(b: int, generator: Random) -> Tensor:
    """(b, 4, COLUMNS) float64: a change of size, noise and JPEG in random order, each by a chance of MILD, then the size as it was.

    What robust DA-CLIP adds to photographs that are damaged already (Luo et al., CVPR 2024 workshops, section 4.2), which names these
    three and gives no strengths: sizes and noise are the pipeline's own, JPEG its last and weakest.
    """
    draws = Draws(b, generator, None)
    resized = draws.chance(MILD)
    rows = [_resize(draws, resized, back=False), _noise(draws, MILD), _jpeg(draws, MILD, MILD_QUALITY)]
    order = rand((b, len(rows)), generator, host=True).argsort(1)
    first = torch.stack(rows, 1).gather(1, order[:, :, None].expand(-1, -1, len(COLUMNS)))
    return torch.cat([first, _resize(draws, resized, back=True)[:, None]], 1)


WORDS = ("blur", "ringing artifact", "jpeg block", "noise")
"""The words of the published captions. A change of size counts as blur; noise is named also where none was drawn."""

_NAMED = {"family": FAMILIES, "interpolation": INTERPOLATIONS}
_WHOLE = ("size", "direction", "quality", "seed")
_FLAGS = ("wiener", "gaussian_grey", "poisson_grey")


def words(steps: Tensor) -> Tensor:
    """(B, 4) long, how often each of WORDS was done, from a plan (B, n, COLUMNS)."""
    code = {name: steps[:, :, COLUMN["operation"]] == i for i, name in enumerate(OPERATIONS)}
    rings = (steps[:, :, COLUMN["family"]] == FAMILIES.index("sinc")) | (steps[:, :, COLUMN["wiener"]] > 0)
    counted = (code["blur"] | code["resize"], code["blur"] & rings, code["jpeg"], code["noise"])
    return torch.stack([c.sum(1) for c in counted], 1)


def labels(counts: Tensor) -> list[tuple[str, ...]]:
    """For each picture of `counts` (B, 4) the words that apply, () for a picture that nothing was done to."""
    return [tuple(word for word, n in zip(WORDS, row, strict=True) if n) for row in counts.tolist()]


def events(steps: Tensor) -> list[list[dict[str, Any]]]:
    """For each picture what was done, in order: `operation` and the parameters that it has, as plain values."""
    return [[_event(row) for row in picture if row[0] >= 0] for picture in steps.tolist()]


def _event(row: list[float]) -> dict[str, Any]:
    event: dict[str, Any] = {"operation": OPERATIONS[int(row[0])]}
    for name, value in zip(COLUMNS[1:], row[1:], strict=True):
        if value == NOTHING:
            continue
        if name in _NAMED:
            event[name] = _NAMED[name][int(value)]
        elif name in _FLAGS:
            event[name] = bool(value)
        else:
            event[name] = int(value) if name in _WHOLE else value
    return event
