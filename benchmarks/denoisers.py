"""Classical denoisers that find the noise level themselves, BM3D among them, beside the model: known noise on crops of Kodak24.

    python -m benchmarks denoisers --json benchmarks/results/denoisers.json

Central crops of every third photograph, because the package `bm3d`, which is needed, takes long for whole ones.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from argparse import Namespace
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image

from benchmarks._pages import Facts
from benchmarks._shared import average, shared_folder, table
from benchmarks.quality import scored
from unveil.bench import methods
from unveil.bench.sets import TestSet, find
from unveil.restorer import load

SETS = ("Kodak24 sigma 25", "Kodak24 sigma 50")
SIDE, EVERY = 256, 3
BASELINES = ("identity", "median", "tv", "nlm", "bm3d")
TITLES = ("input", "median 5x5", "total variation", "non-local means", "BM3D", "general, told")


def cropped(test: TestSet, folder: Path, every: int) -> TestSet:
    """The set with the central squares of its photographs, written into `folder`."""
    pairs = []
    for name, _, clean in test.pairs[::every]:
        with Image.open(clean) as image:
            left, top = ((side - SIDE) // 2 for side in image.size)
            image.convert("RGB").crop((left, top, left + SIDE, top + SIDE)).save(folder / f"{name}.png")
        pairs.append((name, folder / f"{name}.png", folder / f"{name}.png"))
    return dataclasses.replace(test, pairs=tuple(pairs), protocol="native")


def facts(result: dict[str, Any]) -> Facts:
    """`table`, `count`, `seconds` (of BM3D, a crop), and SET.ROW (PSNR in dB), spaces as underscores."""
    rows = {(name, title): result["sets"][name][title]["one draw"] for title in TITLES for name in SETS}
    body = [
        [title, *(f"{average(rows[name, title], k):.{n}f}" for name in SETS for k, n in (("psnr", 2), ("ssim", 3)))]
        for title in TITLES
    ]
    found = Facts(table=table(("", "sigma 25, PSNR", "SSIM", "sigma 50, PSNR", "SSIM"), body))
    for (name, title), row in rows.items():
        found.put(f"{name}.{title}".replace(" ", "_").replace(",", ""), average(row))
    found.put("count", len(rows[SETS[0], TITLES[0]]), 0)
    found.put("seconds", fmean(s for name in SETS for s in result["sets"][name]["BM3D"]["processor_seconds"]), 0)
    return found


def measure(given: Namespace) -> dict[str, Any]:
    found = find(shared_folder() / "data" / "test")
    rows = [methods.baseline(name) for name in BASELINES]
    rows.append(methods.model(load("general", "cpu"), TITLES[-1], fix="noise"))
    numbers = f"central {SIDE}x{SIDE} of every {EVERY}rd photograph, RGB, 8 bit"
    with tempfile.TemporaryDirectory() as folder:
        sets = [cropped(found[name], Path(folder), 12 if given.quick else EVERY) for name in SETS]
        return scored(given, itertools.product(sets, rows), 1, numbers=numbers)
