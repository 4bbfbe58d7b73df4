"""Measure a model on test photographs it never saw: one draw and the mean of several, beside the input and a one-shot regression.

    python benchmarks/quality.py --model general --regression runs/regression --json benchmarks/results/quality.json

    python benchmarks/quality.py --model wild --rows input default --draws 1 --json benchmarks/results/quality_wild.json

A file holds the rows of one model. It is written after every photograph, and an interrupted call goes on from it; several processes can
share the work by rows and sets. `unveil bench quality` does the same for any model and baselines, beside what papers print.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import numpy as np

from _pages import Value
from _shared import parser, shared_folder, use_threads
from _shared import table as markdown
from unveil.bench import methods, quality
from unveil.bench.methods import Method
from unveil.bench.sets import KNOWN, find
from unveil.restorer import Restorer, load

SETS = tuple(KNOWN)
NAME = "quality"
PROTOCOL = "native size, RGB, rounded to 8 bit, per-image mean; SSIM Gaussian 11x11, sigma 1.5, valid"
ROWS = ("input", "one-shot regression", "default", "fidelity 0", "fidelity 1", "no DPSC", "no DRM")


def rows(args: argparse.Namespace) -> list[Method]:
    """The rows that were asked for."""
    made = [methods.baseline("identity")]
    if args.regression:
        made.append(methods.model(load(args.regression, args.device, args.dtype), "one-shot regression"))
    if args.model != "none":
        restorer = load(args.model, args.device, args.dtype)
        fidelity = restorer.model.spec.defaults.fidelity
        without = Restorer(dataclasses.replace(restorer.model, head=None), args.device, args.dtype)
        made += [
            methods.model(restorer, "default", args.draws),
            methods.model(restorer, "fidelity 0", args.draws, fidelity=0.0),
            methods.model(restorer, "fidelity 1", fidelity=1.0),
            methods.model(without, "no DPSC", args.few, fidelity=fidelity),  # the dial then only scales the noise
            methods.model(restorer, "no DRM", args.few, resolution="off"),
        ]
    return [m for m in made if m.title in (args.rows or ROWS)]


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
    command.add_argument("--device", default="cpu")
    command.add_argument("--dtype", default="auto")
    args = command.parse_args()
    use_threads(args.threads)
    found = find(shared_folder() / "data" / "test")
    wanted = rows(args)
    result: dict[str, Any] = {}
    for name in args.sets:
        for method in wanted:
            # Read again each time: other processes may be measuring other sets into the same file.
            before = json.loads(args.json.read_text()) if args.json and args.json.exists() else result
            # One protocol for all sets, so that the page can say it once; `unveil bench` takes each set's own.
            test = dataclasses.replace(found[name], protocol="native")
            result = quality.measure(
                [test],
                [method],
                before=before,
                output=args.json,
                every=8 if args.quick else 1,
                about={"numbers": PROTOCOL, "quick": args.quick},
            )
            row = result["sets"][name][method.title]
            best = average(row.get("mean of draws", row["one draw"]), "psnr")
            print(f"{name} / {method.title}: {best:.2f} dB", flush=True)
    print(table(json.loads(args.json.read_text()) if args.json else result))


if __name__ == "__main__":
    main()
