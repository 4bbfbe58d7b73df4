"""The options of LD-RPS, the published constants as a table of one row per degradation, and the guess at the row of a photograph.

LD-RPS calls itself blind to the task; its code is not: losses, weights and rates differ by task.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from unveil.errors import InputError
from unveil.util.words import check_known


@dataclass(frozen=True)
class LDRPSTask:
    """One row. Losses are means over pixels; `scale` multiplies their gradient as it stands for images of 512 x 512.

    adapter: weights of MSE, perceptual and adversarial loss in what F-PAM learns. scale: Z. perceptual, adversarial,
    exposure, colour: weights in the guidance loss beside its MSE of 1. quality: exposure and colour count below this
    share of the path. patch: side in pixels for exposure. rates: Adam's, of F-PAM's discriminator and the guidance's.
    rounds: recurrences after the first descent, the best of the paper's ablation. damage: what F-PAM starts as (`adapter.simplest`); ours.
    """

    adapter: tuple[float, float, float]
    scale: float
    perceptual: float
    adversarial: float
    exposure: float
    colour: float
    quality: float
    patch: int
    rates: tuple[float, float]
    rounds: int
    damage: str = ""


TASKS = {
    "lowlight": LDRPSTask((0.02, 0.3, 0.8), 80000, 2e-3, 5e-5, 1e-2, 1e-2, 0.1, 32, (4e-5, 4e-5), 2, "lowlight"),
    "dehaze": LDRPSTask((0.2, 0.5, 0.2), 25000, 5e-3, 0, 1e-2, 1e-3, 0.15, 64, (1e-4, 2e-5), 3, "dehaze"),
    "denoise": LDRPSTask((3.0, 2e-3, 1e-3), 40000, 0, 0, 0, 0, 0, 64, (1e-4, 1e-3), 1),
    # Nothing was published for colour. This row is dehazing's without the quality terms: a grey photograph has the
    # right exposure, and pulling the channels' means together would take its colours away again.
    "colorize": LDRPSTask((0.2, 0.5, 0.2), 25000, 5e-3, 0, 0, 0, 0, 64, (1e-4, 2e-5), 2, "colorize"),
}


def noise_level(x: Tensor) -> float:
    """Standard deviation of white noise in an image (3, H, W) in [0, 1]: the median of its diagonal Haar detail / 0.6745."""
    h, w = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    x = x[..., :h, :w]
    detail = (x[..., ::2, ::2] - x[..., ::2, 1::2] - x[..., 1::2, ::2] + x[..., 1::2, 1::2]) / 2
    return float(detail.abs().median()) / 0.6745


def guess(y: Tensor, colour: bool = True) -> str:
    """The row for a photograph (3, H, W) in [-1, 1]: grey, then dark, then noisy, and hazy is what is left.

    colour: whether a grey photograph is one to be coloured, where the method can.

    A guess by four numbers, not a classifier: name the task where you know it.
    """
    x = (y.detach().float().cpu() + 1) / 2
    if colour and float((x - x.mean(0)).abs().mean()) < 2 / 255:
        return "colorize"
    if float(x.mean()) < 0.25:
        return "lowlight"
    return "denoise" if noise_level(x) > 0.03 else "dehaze"


def row(name: str, y: Tensor) -> tuple[str, LDRPSTask]:
    """The named row, or the guessed one for "auto"; y: (3, H, W) in [-1, 1]. Raises InputError for an unknown name."""
    check_known("task", name, ("auto", *TASKS))
    name = guess(y) if name == "auto" else name
    return name, TASKS[name]


@dataclass(frozen=True)
class LDRPSSettings:
    """How LD-RPS runs. docs/ldrps.md argues every default and measures its cost.

    steps: evaluations of the first descent. Guidance is given per two trained steps, the published stride, so that fewer
    steps, each standing for several, push as far.
    rounds: recurrences after the first descent, None the task's; each begins at share `recurrence` of the steps.
    begin: "noise" (published), or "input": the first descent too begins at `recurrence`, from the photograph's own latents.
    task: a row of `tasks.TASKS`, or "auto". guidance: Z, None the task's. prompt, negative, cfg: text and its weight.
    captioner: writes the prompt where none is given: "" none, an http(s) URL of an OpenAI-compatible endpoint, or a folder
    or hub id of a transformers image-to-text model. caption_model: the model's name at the endpoint.
    every: look at each `every`-th step, for as many steps at once; between them only the prior runs.
    warm: Adam steps of F-PAM on the photograph itself before the first evaluation; none are needed where it begins as the
    simplest damage. inner: its steps at each step that is looked at, None one per two trained steps, the
    published pace. crop: side of the random crop that it learns from, 0 the whole image.
    trust: the most that a guided step may pull, as a share of the best step on the gradient's line; 0 is no bound.
    free: keep a second, unguided descent beside the first for F-PAM to learn from (published).
    vgg: torchvision's VGG-16 weights for the perceptual losses, None seeded random features. width: of F-PAM and
    discriminators, 64 as published; 6 or more unless original.
    original: the published order, bugs included: F-PAM random at first, pulls on the estimate added to the state as they are,
    guidance from an estimate that mixes two steps, no text for hazy and noisy photographs, Stable Diffusion's spacing without a
    clean end, weights of guidance that depend on the size.
    """

    steps: int = 50
    rounds: int | None = None
    recurrence: float = 0.5
    begin: str = "noise"
    task: str = "auto"
    guidance: float | None = None
    prompt: str = ""
    negative: str = ""
    cfg: float = 8.0
    captioner: str = ""
    caption_model: str = ""
    every: int = 1
    warm: int = 0
    inner: int | None = 1
    crop: int = 128
    trust: float = 1.0
    free: bool = True
    vgg: Path | None = None
    width: int = 16
    original: bool = False

    def __post_init__(self) -> None:
        """Raise InputError for a number out of range or an unknown name."""
        for name, least in (
            ("steps", 1),
            ("every", 1),
            ("inner", 1),
            ("width", 1),
            ("warm", 0),
            ("crop", 0),
            ("rounds", 0),
        ):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        check_known("task", self.task, ("auto", *TASKS))
        if self.width < 6 and not self.original:
            raise InputError(f"width must be at least 6, three colours as pairs, got {self.width}")
        for name in ("guidance", "trust", "cfg"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InputError(f"{name} must not be negative, got {value}")
        if not 0 < self.recurrence <= 1:
            raise InputError(f"recurrence is a share of the steps in (0, 1], got {self.recurrence}")
        if self.begin not in ("noise", "input"):
            raise InputError(f"begin must be 'noise' or 'input', got {self.begin!r}")


def published(task: str = "auto", **changes: object) -> LDRPSSettings:
    """What the official code runs: 450 steps, every one guided, on the whole image."""
    return replace(
        LDRPSSettings(steps=450, task=task, warm=0, inner=1, crop=0, trust=0.0, width=64, original=True), **changes
    )  # type: ignore[arg-type]
