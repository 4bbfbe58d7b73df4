"""The options of UP-ZeroIR: what its paper prints, and a name for everything that it leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unveil.errors import InputError
from unveil.util.words import check_known
from unveil.zeroshot.ldrps.settings import TASKS, LDRPSTask
from unveil.zeroshot.upzeroir.distribution import BOUNDS, DIRECTIONS, GROUPINGS, LOCATIONS


@dataclass(frozen=True)
class UPZeroIRSettings:
    """How UP-ZeroIR runs. The page docs/upzeroir.md argues every choice.

    steps: that the whole path takes; the paper's are 1000. Guidance and the adapter's rate are given per trained step, so that
    fewer steps, each standing for several, push as far.
    rounds: descents after the first, at most (exactly, where there is no judge); each begins at share `recurrence` of the path.
    begin: "noise" (the paper), or "input": the first descent too begins at `recurrence`, from the photograph's own latents.
    guidance: Z, the factor of the loss's gradient for 512 x 512 pixels; other sizes are scaled to push each pixel as much.
    trust: the most that a guided step may pull (gradient "x0"), as a share of the best step on the gradient's line; 0 is no bound.
    gradient: "x0", with respect to the clean estimate, or "xt", through the prior to the noisy state.
    task: a row of LD-RPS's `TASKS`, whose weights of the terms beside J_deg and J_mse are used, or "auto"; weights: another row
    instead. deg: the weight of J_deg, which counts below share `align_below` of the path: above, the estimate is nearly flat, and the
    divergence's slope, which goes with the inverse of its variance, overshoots.
    first: what PCDM begins as: the "simplest" damage that the task means (`adapter.simplest`), or the "identity".
    adapter_rate: Adam's rate for PCDM. embed: whose law PCDM is told, the clean "estimate"'s or the "input"'s.
    grouping, location, direction, bound: of J_deg, see `distribution`.
    judge_every: share of the path between two scores; judge_below: no score, and so no exit, above this share.
    threshold: eta, the rise of the score below which it has converged. rule: "rise" (s_j - s_(j-1) < eta) or "change" (its absolute
    value). patience: scores in a row that must say so. keep: "best" estimate scored, or the "last".
    arniqa: folder of ARNIQA's weights, which then judges, by its regressor of this name; None the judge that was given.
    prompt, negative, cfg: text and its weight, for priors that take one; without a text there is nothing to weigh.
    vgg: torchvision's VGG-16 weights for J_pse, None seeded random features. width: of PCDM and the discriminator, 64 as LD-RPS has it.
    """

    steps: int = 100
    rounds: int = 2
    recurrence: float = 0.5
    begin: str = "noise"
    guidance: float = 40000.0
    trust: float = 1.0
    gradient: str = "x0"
    task: str = "auto"
    weights: LDRPSTask | None = None
    deg: float = 0.01
    align_below: float = 0.4
    first: str = "simplest"
    adapter_rate: float = 1e-5
    embed: str = "estimate"
    grouping: str = "channel"
    location: str = "shift"
    direction: str = "forward"
    bound: str = "log1p"
    judge_every: float = 0.1
    judge_below: float = 0.4
    threshold: float = 0.01
    rule: str = "rise"
    patience: int = 1
    keep: str = "best"
    arniqa: Path | None = None
    regressor: str = "koniq10k"
    prompt: str = ""
    negative: str = ""
    cfg: float = 8.0
    vgg: Path | None = None
    width: int = 16

    def __post_init__(self) -> None:
        """Raise InputError for an unknown name or a number out of range."""
        for name, known in (
            ("begin", ("noise", "input")),
            ("gradient", ("x0", "xt")),
            ("task", ("auto", *TASKS)),
            ("first", ("simplest", "identity")),
            ("embed", ("estimate", "input")),
            ("grouping", GROUPINGS),
            ("location", LOCATIONS),
            ("direction", DIRECTIONS),
            ("bound", BOUNDS),
            ("rule", ("rise", "change")),
            ("keep", ("best", "last")),
        ):
            check_known(name, getattr(self, name), known)
        for name in ("recurrence", "judge_every", "judge_below", "align_below"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} is a share of the path in (0, 1], got {getattr(self, name)}")
        for name, least in (
            ("steps", 1),
            ("rounds", 0),
            ("patience", 1),
            ("width", 1),
            ("guidance", 0),
            ("trust", 0),
            ("deg", 0),
            ("adapter_rate", 0),
        ):
            if not getattr(self, name) >= least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
