"""Measure a model on test photographs it never saw: by itself and told what is wrong, beside the input.

    python -m benchmarks quality --model general --json benchmarks/results/quality.json

    python -m benchmarks quality --model wild --rows input default --draws 1 --json benchmarks/results/quality_wild.json

A file holds the rows of one model. It is written after every photograph, and an interrupted call goes on from it; several processes can
share the work by rows and sets. `unveil bench quality` does the same for any model and baselines, beside what papers print.
"""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser, Namespace
from typing import Any

import numpy as np

from benchmarks._pages import Value
from benchmarks._shared import positive, read_json, shared_folder
from benchmarks._shared import table as markdown
from unveil.bench import methods, quality
from unveil.bench.methods import Method
from unveil.bench.sets import KNOWN, find
from unveil.restorer import load

PROTOCOL = "native size, RGB, rounded to 8 bit, per-image mean; SSIM Gaussian 11x11, sigma 1.5, valid"
ROWS = ("input", "default", "told", "fidelity 0", "no DRM")
TOLD = {
    "LOL_eval15": "lowlight,noise", "tao256/LOL": "lowlight,noise", "tao256/HSTS": "haze", "tao256/Kodak24": "noise", "SRD": "shadow",
    "PolyU_100": "noise", "Kodak24 sigma 25": "noise", "Kodak24 sigma 50": "noise", "Kodak24 JPEG 10": "jpeg", "Kodak24 JPEG 30": "jpeg",
    "Kodak24 blur 1": "blur", "Kodak24 blur 2": "blur", "Kodak24 mixed": "blur,noise,jpeg", "Kodak24 clean": "",
}  # fmt: skip
"""What a person who knows the set would say; of a clean photograph, nothing."""
SETS = tuple(name for name in KNOWN if name in TOLD)


def rows(args: Namespace, name: str) -> list[Method]:
    """The rows that were asked for, on one set."""
    made = [methods.baseline("identity")]
    if args.model != "none":
        restorer = load(args.model, args.device, args.dtype)
        made.append(methods.model(restorer, "default", args.draws))
        if restorer.model.spec.conditioned:
            made += [
                methods.model(restorer, "told", fix=TOLD[name]),
                methods.model(restorer, "fidelity 0", args.few, fidelity=0.0),
                methods.model(restorer, "no DRM", resolution="off"),
            ]
    return [m for m in made if m.title in (args.rows or ROWS)]


def harmed(of_set: dict[str, Any], row: str, by: float = 0.5) -> float:
    """Share of the photographs of a set that a row's one draw takes further from their target, by more than so many dB."""
    after, before = of_set[row]["one draw"], of_set["input"]["one draw"]
    return float(np.mean([b["psnr"] - a["psnr"] > by for a, b in zip(after, before, strict=True)]))


def average(values: list[dict[str, float]], key: str) -> float:
    return float(np.mean([v[key] for v in values]))


HEAD = ("set (images)", "row", "PSNR, one draw", "lose over 0.5 dB", "SSIM", "mean-matched PSNR")


def lines(name: str, of_set: dict[str, Any]) -> list[list[str]]:
    """One line a row."""
    out = []
    for row in ROWS:
        if row not in of_set:
            continue
        one = of_set[row]["one draw"]
        out.append(
            [
                f"{name} ({len(one)})",
                row,
                f"{average(one, 'psnr'):.2f}",
                "" if row == "input" or "input" not in of_set else f"{harmed(of_set, row):.0%}",
                f"{average(one, 'ssim'):.3f}",
                f"{average(one, 'psnr_mean_matched'):.2f}",
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
            if row != "input" and "input" in of_set:
                found[f"{key}.harmed"] = Value([100 * harmed(of_set, row)], 0)
    return found


def arguments(command: ArgumentParser) -> None:
    command.add_argument("--model", default="general", help="shelf name, file or run; none to leave its rows out")
    command.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    command.add_argument("--rows", nargs="*", choices=ROWS)
    command.add_argument("--draws", type=positive, default=1)
    command.add_argument(
        "--few", type=positive, default=1, help="draws of the rows that cost most or are for comparison only"
    )
    command.add_argument("--device", default="cpu")
    command.add_argument("--dtype", default="auto")


def main(args: Namespace) -> None:
    found = find(shared_folder() / "data" / "test")
    result: dict[str, Any] = {}
    for name in args.sets:
        for method in rows(args, name):
            # Read again each time: other processes may be measuring other sets into the same file.
            before = read_json(args.json) if args.json and args.json.exists() else result
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
    print(table(read_json(args.json) if args.json else result))
