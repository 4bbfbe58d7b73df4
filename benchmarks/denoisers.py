"""Classical denoisers that find the noise level themselves, BM3D among them, beside the model: known noise on crops of Kodak24.

    python -m benchmarks denoisers --json benchmarks/results/denoisers.json

Central crops of every third photograph, because the package `bm3d`, which is needed, takes long for whole ones.
"""

from __future__ import annotations

import dataclasses
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks._pages import Value
from benchmarks._shared import read_json, shared_folder, table
from unveil.bench import methods, quality
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


def show(result: dict[str, Any]) -> str:
    """One line a method: PSNR in dB and SSIM on either set."""
    lines = []
    for title in TITLES:
        rows = [result["sets"][name][title]["one draw"] for name in SETS]
        cells = [
            f"{np.mean([one[key] for one in row]):.{digits}f}"
            for row in rows
            for key, digits in (("psnr", 2), ("ssim", 3))
        ]
        lines.append([title, *cells])
    return table(("", "sigma 25, PSNR", "SSIM", "sigma 50, PSNR", "SSIM"), lines)


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """`table`, `count`, `seconds` (of BM3D, a crop), and SET.ROW (PSNR in dB), spaces as underscores."""
    found: dict[str, Value | str] = {"table": show(result)}
    for name in SETS:
        for title in TITLES:
            scores = [one["psnr"] for one in result["sets"][name][title]["one draw"]]
            found[f"{name}.{title}".replace(" ", "_").replace(",", "")] = Value([float(np.mean(scores))])
            found["count"] = Value([len(scores)], 0)
    spent = [s for name in SETS for s in result["sets"][name]["BM3D"]["processor_seconds"]]
    found["seconds"] = Value([float(np.mean(spent))], 0)
    return found


def main(args: Namespace) -> None:
    found = find(shared_folder() / "data" / "test")
    rows = [methods.baseline(name) for name in BASELINES]
    rows.append(methods.model(load("general", "cpu"), TITLES[-1], fix="noise"))
    result: dict[str, Any] = read_json(args.json) if args.json and args.json.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            result = quality.measure(
                [cropped(found[name], Path(folder), 12 if args.quick else EVERY)],
                rows,
                before=result,
                output=args.json,
                about={
                    "numbers": f"central {SIDE}x{SIDE} of every {EVERY}rd photograph, RGB, 8 bit",
                    "quick": args.quick,
                },
            )
    print(show(result))
