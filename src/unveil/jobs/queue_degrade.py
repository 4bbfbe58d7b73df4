"""The work behind one simulated damage in the queue."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unveil import degradation
from unveil.degradation.draws import own_seed
from unveil.jobs.queue_task import Task
from unveil.jobs.queue_work import Delivery, delivered, save_view, taken
from unveil.photo.writing import format_of


def degrading(
    name: str, kind: str, severity: float | None, seed: int, folder: Path, max_pixels: int
) -> Callable[[Task, str], Delivery]:
    """Work for `Queue.submit`: damage the photograph in the folder by simulator `kind`; see `queue_work.restoring`.

    The protocol is the simulator's report. Runs on the processor, whatever the device: the draws are the processor's.
    """

    def work(task: Task, device: str) -> Delivery:
        started = time.perf_counter()
        source = taken(folder, name, max_pixels)
        damaged, report = damage(source.pixels, kind, severity, own_seed(seed, name))
        done = delivered(source, damaged, folder, name, format_of(source, io.BytesIO()), suffix=f"_{kind}")
        views = {"before": save_view(source.pixels, folder, "before"), "after": save_view(damaged, folder, "after")}
        return replace(
            done,
            seed=seed,
            protocol={"kind": kind, "seed": seed} | report,
            seconds=time.perf_counter() - started,
            notes=(*source.notes, *done.notes),
            views=views,
        )

    return work


def damage(pixels: np.ndarray, kind: str, severity: float | None, seed: int) -> tuple[np.ndarray, dict]:
    """(H, W, 3) in [0, 1] damaged by simulator `kind`, and its report. seed: the generator's, see `degradation.draws.own_seed`."""
    x = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    y, drawn = degradation.apply(kind, x, torch.Generator().manual_seed(seed), severity)
    return y[0].permute(1, 2, 0).numpy(), degradation.report(kind, drawn)
