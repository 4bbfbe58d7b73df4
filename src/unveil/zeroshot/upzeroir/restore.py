"""UP-ZeroIR (Hu, Yang, Liu, Li and Xu, CVPR 2026): guided by how degradation moves the distribution of latents."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.errors import InputError
from unveil.zeroshot.prior import Prior
from unveil.zeroshot.recurrence import Callback, Report, alone, below, even_grid
from unveil.zeroshot.upzeroir.arniqa import arniqa
from unveil.zeroshot.upzeroir.judge import Judge
from unveil.zeroshot.upzeroir.run import Run
from unveil.zeroshot.upzeroir.settings import UPZeroIRSettings


def restore(
    prior: Prior,
    y: Tensor,
    noise: Noise,
    settings: UPZeroIRSettings | None = None,
    callback: Callback | None = None,
    *,
    judge: Judge | None = None,
) -> Tensor:
    """Restore photographs y (B, 3, H, W) in [-1, 1]; returns the same shape, unclipped. Image by image: a batch changes nothing.

    judge: what scores estimates, unless the settings name ARNIQA's weights; without one every round is run and the last result returned.
    callback: after every evaluation; `steps` is the most there can be, and an image that exits early skips the rest of its own.
    Raises Cancelled where the callback returns True, InputError for what is no finite colour image or a prompt that the prior cannot
    take, ModelError where the prior's very first answer is not finite or ARNIQA's
    files are not there.
    """
    settings = settings or UPZeroIRSettings()
    if y.ndim != 4 or y.shape[1] != 3 or not bool(torch.isfinite(y).all()):
        raise InputError(f"UP-ZeroIR restores finite colour images (B, 3, H, W), got {tuple(y.shape)} or NaN in it")
    if settings.arniqa is not None:
        judge = arniqa(settings.arniqa, settings.regressor)
    with torch.inference_mode(False), torch.no_grad():
        y = y.clone()  # a tensor made in inference mode could not be differentiated by
        text = settings.prompt or settings.negative
        condition = prior.condition(settings.prompt, settings.negative), settings.cfg if text else 1.0
        grids = _grids(prior, settings)
        each = sum(len(grid) - 1 for grid in grids)
        report = Report(callback, each * len(y))
        shown = y.clone()
        for i in range(len(y)):
            report.index = i * each

            def show(image: Tensor, i: int = i) -> None:
                report(lambda: torch.cat([shown[:i], image, shown[i + 1 :]]))

            run = Run(prior, y[i : i + 1], alone(noise, i, len(y)), settings, condition, show, judge)
            shown[i : i + 1] = run(grids)
        return shown


def _grids(prior: Prior, settings: UPZeroIRSettings) -> list[list[int]]:
    """The indices of the first descent and of every later one."""
    whole = even_grid(prior.process, settings.steps, start=1.0)
    later = below(whole, settings.recurrence)
    return [whole if settings.begin == "noise" else later] + settings.rounds * [later]
