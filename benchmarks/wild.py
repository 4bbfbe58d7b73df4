"""Pictures a second of the wild degradation pipeline on one core, against a numpy and OpenCV loop of the same plans.

    python -m benchmarks wild --json benchmarks/results/wild.json

Needs opencv-python-headless and scipy, which are no part of the project, for the loop. Processor time, so that other
work on the machine counts for nobody.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from benchmarks._pages import Facts
from benchmarks._shared import protocol, table
from unveil.degradation import wild
from unveil.degradation.wild.pipeline import operate
from unveil.errors import InputError


def picture(size: int, seed: int) -> Any:
    """(3, size, size) in 8-bit levels with the spectrum of photographs, 1/f."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    f[0, 0] = 1
    grain = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((3, size, size))) / f, s=(size, size))
    grain = 0.5 + 0.18 * grain / grain.std()
    return torch.from_numpy((grain.clip(0, 1) * 255).round() / 255).float()


def timed(work: Any) -> tuple[Any, float]:
    started = time.thread_time()
    out = work()
    return out, time.thread_time() - started


def of_size(size: int, count: int, together: int) -> dict[str, Any]:
    """Milliseconds of processor time for each picture, in all and in each operation, and how far the results differ."""
    from benchmarks._wild_opencv import degrade  # OpenCV is needed to measure, not to render

    x = torch.stack([picture(size, seed) for seed in range(count)])
    steps, drawing = timed(lambda: wild.plan(count, torch.Generator().manual_seed(0)))
    told = wild.events(steps)
    wild.carry_out(x[:2], steps[:2])
    y, ours = timed(lambda: wild.carry_out(x, steps, together))
    bgr = [p.flip(0).permute(1, 2, 0).contiguous().numpy() for p in x]
    degrade(bgr[0], told[0], 0)
    loop, theirs = timed(lambda: [degrade(p, e, i) for i, (p, e) in enumerate(zip(bgr, told, strict=True))])

    parts: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for i in range(count):
        for row, event in zip(steps[i][steps[i, :, 0] >= 0], told[i], strict=True):
            name = event["operation"]
            part = parts[name]
            part[0] += timed(lambda a=name, b=row, c=x[i]: operate(a, [c], b[None], (size, size), 1))[1]
            part[1] += timed(lambda a=event, b=bgr[i], c=i: degrade(b, [a], c))[1]
            part[2] += 1
    same = [i for i in range(count) if not any(grainy(e) for e in told[i])]
    apart = [float((y[i].flip(0).permute(1, 2, 0) - torch.from_numpy(loop[i])).abs().mean()) * 255 for i in same]
    return {
        "size": size,
        "ours_ms": 1e3 * (ours + drawing) / count,
        "loop_ms": 1e3 * theirs / count,
        "operations": {
            k: {"ours_ms": 1e3 * a / n, "loop_ms": 1e3 * b / n, "per_picture": n / count} for k, (a, b, n) in sorted(parts.items())
        },
        "comparable_pictures": len(same),
        "mean_difference_levels": sum(apart) / len(apart) if apart else None,
    }  # fmt: skip


def grainy(event: dict[str, Any]) -> bool:
    """Whether an operation has draws of its own, which the loop makes otherwise: noise in pixels or in a kernel."""
    family = event.get("family", "")
    return event["operation"] == "noise" or family.startswith(("gaussian", "generalised", "anisotropic"))


def facts(result: dict[str, Any]) -> Facts:
    """The table, and by how much this project is faster, by size."""
    made = Facts(table=shown(result["rows"]))
    for row in result["rows"]:
        made.put(f"{row['size']}.factor", row["loop_ms"] / row["ours_ms"])
    return made


def shown(rows: list[dict[str, Any]]) -> str:
    """Whole pictures and each operation, milliseconds of one core."""
    body = []
    for row in rows:
        whole = [f"whole, {row['size']} px", "", row["ours_ms"], row["loop_ms"]]
        parts = [
            [f"- {k}", f"{v['per_picture']:.2f}", v["ours_ms"], v["loop_ms"]] for k, v in row["operations"].items()
        ]
        body += [[*r[:2], f"{r[2]:.2f}", f"{r[3]:.2f}", f"{r[3] / r[2]:.1f}"] for r in (whole, *parts)]
    return table(["", "times", "this project (ms)", "numpy + OpenCV (ms)", "faster by"], body)


OPTIONS = {
    "--count": (200, "pictures for each size"),
    "--sizes": ((128, 256), "their sides in pixels"),
    "--together": (1, "pictures in one tensor; 1 is best on a processor"),
}


def measure(given: Namespace) -> dict[str, Any]:
    try:
        import cv2
    except ImportError:
        raise InputError("the loop needs OpenCV: pip install -c constraints.txt opencv-python-headless") from None
    cv2.setNumThreads(given.threads)
    count, sizes = (6, [64]) if given.quick else (given.count, given.sizes)
    rows = [of_size(size, count, given.together) for size in sizes]
    for row in rows:
        print(
            f"{row['size']} px: {1e3 / row['ours_ms']:.0f} pictures/s a core, loop {1e3 / row['loop_ms']:.0f}. The "
            f"{row['comparable_pictures']} pictures without random noise differ by {row['mean_difference_levels']} levels"
        )
    about = {"opencv": cv2.__version__, "count": count, "together": given.together}
    return {"protocol": protocol(given, **about, time="processor time of one thread"), "rows": rows}
