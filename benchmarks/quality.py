"""Measure a model on test photographs it never saw: one draw and the mean of several, beside the input and a one-shot regression.

    python benchmarks/quality.py --model general --regression runs/regression --json benchmarks/results/quality.json

Rows are added to the JSON file set by set, so that several processes can share the work (--sets); the table is printed from it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from _pages import Value
from _shared import environment, parser, shared_folder, write_json
from _shared import table as markdown
from unveil import photo
from unveil.evaluation.metrics.psnr import psnr, psnr_mean_matched
from unveil.evaluation.metrics.ssim import ssim
from unveil.restorer import Restorer, load

SETS: dict[str, tuple[str, str, str, str]] = {
    # name: folder of inputs, folder of targets, end of an input's stem, what a target's stem has in its place
    "LOL_eval15": ("LOL_eval15/low", "LOL_eval15/high", "", ""),
    "tao256/LOL": ("tao256/LOL_256x256/degraded", "tao256/LOL_256x256/clean", "", ""),
    "tao256/HSTS": ("tao256/HSTS_256x256/degraded", "tao256/HSTS_256x256/clean", "", ""),
    "tao256/Kodak24": ("tao256/Kodak24_256x256/degraded", "tao256/Kodak24_256x256/clean", "", ""),
    "SRD": ("SRD/shadow", "SRD/shadow_free", "", "_free"),
    "PolyU_100": ("PolyU_100/noisy", "PolyU_100/clean", "_real", "_mean"),
    "Kodak24 clean": ("Kodak24", "Kodak24", "", ""),
}
NAME = "quality"
ROWS = ("input", "one-shot regression", "default", "fidelity 0", "fidelity 1", "no DPSC", "no DRM")
PROTOCOL = "native size, RGB, rounded to 8 bit, per-image mean; SSIM Gaussian 11x11, sigma 1.5, valid"


def pairs(root: Path, name: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(file name, input, target), sorted by name. A missing partner is an error."""
    degraded, clean, end, other = SETS[name]
    targets = {p.stem: p for p in (root / clean).iterdir()}
    for path in sorted((root / degraded).iterdir()):
        yield path.name, photo.read(path).pixels, photo.read(targets[path.stem.removesuffix(end) + other]).pixels


def eight_bit(pixels: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(pixels, 0, 1).astype(np.float64) * 255) / 255


def scores(pixels: np.ndarray, target: np.ndarray) -> dict[str, float]:
    image = eight_bit(pixels)
    value = psnr(image, target.astype(np.float64))
    return {
        "psnr": min(value, 100.0),
        "ssim": ssim(image, target.astype(np.float64)),
        "psnr_mean_matched": min(psnr_mean_matched(image, target.astype(np.float64)), 100.0),
    }


def rows(args: argparse.Namespace, restorer: Restorer | None, regression: Restorer | None) -> dict[str, Any]:
    """Name of the row -> (restorer, settings, draws). The settings are those of `Options`."""
    known: dict[str, Any] = {"input": (None, {}, 0)}
    if regression is not None:
        known["one-shot regression"] = (regression, {}, 1)
    if restorer is not None:
        fidelity = restorer.model.spec.defaults.fidelity
        known |= {
            "default": (restorer, {}, args.draws),
            "fidelity 0": (restorer, {"fidelity": 0.0}, args.draws),
            "fidelity 1": (restorer, {"fidelity": 1.0}, 1),
            "no DPSC": (without_head(restorer), {"fidelity": fidelity}, args.few),
            "no DRM": (restorer, {"resolution": "off"}, args.few),
        }
    return {name: known[name] for name in args.rows or known if name in known}


def without_head(restorer: Restorer) -> Restorer:
    """The same model without its learned correction; the dial then only scales the noise."""
    return Restorer(dataclasses.replace(restorer.model, head=None), "cpu")


def measure(images: list[tuple[str, np.ndarray, np.ndarray]], row: tuple[Restorer | None, dict, int]) -> dict[str, Any]:
    """Per-image scores of the first draw and of the mean of all, mean spread in 8-bit levels, seconds and megapixels."""
    restorer, settings, draws = row
    one: list[dict[str, float]] = []
    mean: list[dict[str, float]] = []
    spread: list[float] = []
    started, megapixels = time.process_time(), 0.0
    protocol: dict[str, Any] = {}
    for _, y, x in images:
        megapixels += y.shape[0] * y.shape[1] / 1e6
        if restorer is None:
            one.append(scores(y, x))
            continue
        result = restorer.restore(y, samples=draws, seed=0, **settings)
        protocol = result.protocol
        one.append(scores(result.samples[0], x))
        if draws > 1:
            mean.append(scores(result.mean, x))
            spread.append(float(result.std.mean()) * 255)
    out: dict[str, Any] = {
        "protocol": PROTOCOL,
        "run": {k: v for k, v in protocol.items() if k != "device"},
        "images": [name for name, _, _ in images],
        "processor_seconds_per_megapixel": (time.process_time() - started) / megapixels,
        "one draw": one,
    }
    if mean:
        out |= {"mean of draws": mean, "spread_levels": spread, "draws": draws}
    return out


def average(values: list[dict[str, float]], key: str) -> float:
    return float(np.mean([v[key] for v in values]))


HEAD = ("set (images)", "row", "PSNR, one draw", "PSNR, mean of draws", "SSIM", "mean-matched PSNR", "spread, levels")


def lines(name: str, of_set: dict[str, Any]) -> list[list[str]]:
    """One line a row; SSIM and mean-matched PSNR are those of the mean of draws where there is one."""
    out = []
    for row in ROWS:
        if row not in of_set:
            continue
        one, many = of_set[row]["one draw"], of_set[row].get("mean of draws")
        best = many or one
        out.append(
            [
                f"{name} ({len(one)})",
                row,
                f"{average(one, 'psnr'):.2f}",
                f"{average(many, 'psnr'):.2f} ({of_set[row]['draws']})" if many else "",
                f"{average(best, 'ssim'):.3f}",
                f"{average(best, 'psnr_mean_matched'):.2f}",
                f"{np.mean(of_set[row]['spread_levels']):.1f}" if many else "",
            ]
        )
    return out


def table(result: dict[str, Any]) -> str:
    return markdown(HEAD, [line for name in SETS for line in lines(name, result["sets"].get(name, {}))])


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """`table`, and for every set and row SET.ROW.one and SET.ROW.mean (PSNR in dB), spaces and slashes as underscores."""
    found: dict[str, Value | str] = {"table": table(result), "protocol": result["protocol"]["numbers"]}
    for name, of_set in result["sets"].items():
        for row, r in of_set.items():
            key = f"{name}.{row}".replace(" ", "_").replace("/", "_")
            found[f"{key}.one"] = Value([average(r["one draw"], "psnr")])
            found[f"{key}.mean"] = Value([average(r.get("mean of draws", r["one draw"]), "psnr")])
            found[f"{key}.ssim"] = Value([average(r.get("mean of draws", r["one draw"]), "ssim")], 3)
    return found


def main() -> None:
    command = parser(__doc__ or "")
    command.add_argument("--model", default="general", help="shelf name, file or run; none to leave its rows out")
    command.add_argument("--regression", help="one-shot model to put beside it")
    command.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    command.add_argument("--rows", nargs="*", choices=ROWS)
    command.add_argument("--draws", type=int, default=8)
    command.add_argument(
        "--few", type=int, default=1, help="draws of the rows that cost most or are for comparison only"
    )
    command.add_argument("--dtype", default="auto")
    args = command.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    root = shared_folder() / "data" / "test"
    restorer = load(args.model, "cpu", args.dtype) if args.model != "none" else None
    regression = load(args.regression, "cpu", args.dtype) if args.regression else None
    result: dict[str, Any] = {}
    for name in args.sets:
        images = list(pairs(root, name))[:: 8 if args.quick else 1]
        for row, what in rows(args, restorer, regression).items():
            measured = measure(images, what)
            best = average(measured.get("mean of draws", measured["one draw"]), "psnr")
            print(f"{name} / {row}: {best:.2f} dB", flush=True)
            # Read again each time: other processes may be measuring other sets into the same file.
            result = json.loads(args.json.read_text()) if args.json and args.json.exists() else result
            result["benchmark"] = NAME
            result["protocol"] = {**environment(), "numbers": PROTOCOL, "quick": args.quick}
            result.setdefault("sets", {}).setdefault(name, {})[row] = measured
            write_json(args.json, result)
    print(table(result))


if __name__ == "__main__":
    main()
