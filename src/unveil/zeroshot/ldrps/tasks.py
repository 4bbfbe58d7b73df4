"""The published constants, one row per degradation, and the guess at which row a photograph needs.

LD-RPS calls itself blind to the task; its code is not: losses, weights and rates differ by task. Here they are a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

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
