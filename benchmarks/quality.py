"""Measure a model on test photographs it never saw: one draw and the mean of several, beside the input and a one-shot regression.

    python benchmarks/quality.py --model general --regression runs/regression --json benchmarks/results/quality.json

Rows are added to the JSON file set by set, so that several processes can share the work (--sets); the table is printed from it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _shared import shared_folder

from unveil import photo
from unveil.evaluation.metrics.psnr import psnr, psnr_mean_matched
from unveil.evaluation.metrics.ssim import ssim
from unveil.restorer import Restorer, load

SETS: dict[str, tuple[str, str, str]] = {
    # name: folder of inputs, folder of targets, what a target's stem has behind the input's
    "LOL_eval15": ("LOL_eval15/low", "LOL_eval15/high", ""),
    "tao256/LOL": ("tao256/LOL_256x256/degraded", "tao256/LOL_256x256/clean", ""),
    "tao256/HSTS": ("tao256/HSTS_256x256/degraded", "tao256/HSTS_256x256/clean", ""),
    "tao256/Kodak24": ("tao256/Kodak24_256x256/degraded", "tao256/Kodak24_256x256/clean", ""),
    "SRD": ("SRD/shadow", "SRD/shadow_free", "_free"),
    "PolyU_100": ("PolyU_100/noisy", "PolyU_100/clean", ""),
    "Kodak24 clean": ("Kodak24", "Kodak24", ""),
}
PROTOCOL = "native size, RGB, rounded to 8 bit, per-image mean; SSIM Gaussian 11x11, sigma 1.5, valid"


def pairs(root: Path, name: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(file name, input, target), sorted by name. A missing partner is an error."""
    degraded, clean, suffix = SETS[name]
    targets = {p.stem: p for p in (root / clean).iterdir()}
    for path in sorted((root / degraded).iterdir()):
        yield path.name, photo.read(path).pixels, photo.read(targets[path.stem + suffix]).pixels


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
    table: dict[str, Any] = {"input": (None, {}, 0)}
    if regression is not None:
        table["one-shot regression"] = (regression, {}, 1)
    if restorer is not None:
        table |= {
            "default": (restorer, {}, args.draws),
            "fidelity 0": (restorer, {"fidelity": 0.0}, args.draws),
            "fidelity 1": (restorer, {"fidelity": 1.0}, 1),
            "no DPSC": (restorer, {"fidelity": 0.0}, 1),
            "no DRM": (restorer, {"resolution": "off"}, args.few),
        }
    return {k: v for k, v in table.items() if not args.rows or k in args.rows}


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


def table(results: dict[str, Any]) -> str:
    """Markdown: one line a row and set."""
    lines = ["| set | n | row | PSNR one draw | mean of draws | SSIM one / mean | mean-matched PSNR (mean) | spread (levels) |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in SETS:
        for row, r in results.get(name, {}).items():
            one, many = r["one draw"], r.get("mean of draws")
            best = many or one
            lines.append(
                f"| {name} | {len(one)} | {row} | {average(one, 'psnr'):.2f} | "
                + (f"{average(many, 'psnr'):.2f} ({r['draws']})" if many else "")
                + f" | {average(one, 'ssim'):.3f}"
                + (f" / {average(many, 'ssim'):.3f}" if many else "")
                + f" | {average(best, 'psnr_mean_matched'):.2f} | "
                + (f"{np.mean(r['spread_levels']):.1f}" if many else "")
                + " |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="general")
    parser.add_argument("--regression", help="one-shot model to put beside it")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--rows", nargs="*")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--few", type=int, default=1, help="draws of the row without DRM, which costs five native evaluations each")
    parser.add_argument("--every", type=int, default=1, help="only every k-th image")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", type=Path, help="file to read, extend and write")
    args = parser.parse_args()
    root = shared_folder() / "data" / "test"
    restorer = load(args.model, "cpu", args.dtype) if args.model != "none" else None
    regression = load(args.regression, "cpu", args.dtype) if args.regression else None
    results: dict[str, Any] = {}
    for name in args.sets:
        images = list(pairs(root, name))[:: args.every]
        for row, what in rows(args, restorer, regression).items():
            measured = measure(images, what)
            results.setdefault(name, {})[row] = measured
            print(f"{name} / {row}: {average(measured.get('mean of draws', measured['one draw']), 'psnr'):.2f} dB", flush=True)
        if args.json:
            kept = json.loads(args.json.read_text()) if args.json.exists() else {}
            kept[name] = kept.get(name, {}) | results[name]
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(kept, indent=1))
    print(table(json.loads(args.json.read_text()) if args.json else results))


if __name__ == "__main__":
    main()
