"""Measure a model on test photographs it never saw: by itself and told what is wrong, beside the input.

    python -m benchmarks quality --model general --json benchmarks/results/quality.json

    python -m benchmarks quality --model wild --rows input default --draws 1 --json benchmarks/results/quality_wild.json

A file holds the rows of one model. It is written after every photograph, and an interrupted call goes on from it; several processes can
share the work by rows and sets. `unveil bench quality` does the same for any model and baselines, beside what papers print.
"""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks._pages import Facts
from benchmarks._shared import average, earlier, shared_folder, table
from unveil.bench import methods, quality
from unveil.bench.methods import Method
from unveil.bench.sets import KNOWN, TestSet, find
from unveil.restorer import load

PROTOCOL = "native size, RGB, rounded to 8 bit, per-image mean; SSIM Gaussian 11x11, sigma 1.5, valid"
ROWS = ("input", "default", "told", "self-ensemble", "fidelity 0", "no DRM")
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
        if fixable := restorer.model.spec.fixable:
            told = [kind for kind in TOLD[name].split(",") if kind in fixable]
            made += [
                methods.model(restorer, "told", fix=told),
                methods.model(restorer, "self-ensemble", fix=told, self_ensemble=8),
                methods.model(restorer, "fidelity 0", args.few, fidelity=0.0),
                methods.model(restorer, "no DRM", resolution="off"),
            ]
    return [m for m in made if m.title in (args.rows or ROWS)]


def harmed(of_set: dict[str, Any], row: str, by: float = 0.5) -> float:
    """Share of the photographs of a set that a row's one draw takes further from their target, by more than so many dB."""
    after, before = of_set[row]["one draw"], of_set["input"]["one draw"]
    return float(np.mean([b["psnr"] - a["psnr"] > by for a, b in zip(after, before, strict=True)]))


HEAD = ("set (images)", "row", "PSNR, one draw", "lose over 0.5 dB", "SSIM", "mean-matched PSNR")


def lines(name: str, of_set: dict[str, Any]) -> list[list[str]]:
    """One line a row."""
    out = []
    for row in (row for row in ROWS if row in of_set):
        one = of_set[row]["one draw"]
        lost = "" if row == "input" or "input" not in of_set else f"{harmed(of_set, row):.0%}"
        matched = f"{average(one, 'psnr_mean_matched'):.2f}"
        out.append([f"{name} ({len(one)})", row, f"{average(one):.2f}", lost, f"{average(one, 'ssim'):.3f}", matched])
    return out


def facts(result: dict[str, Any]) -> Facts:
    """`table`, and for every set and row SET.ROW.one (PSNR in dB), .ssim and .harmed (%), spaces and slashes as underscores."""
    body = [line for name in SETS for line in lines(name, result["sets"].get(name, {}))]
    found = Facts(table=table(HEAD, body), protocol=result["protocol"]["numbers"])
    for name, of_set in result["sets"].items():
        for row, r in of_set.items():
            key = f"{name}.{row}".replace(" ", "_").replace("/", "_")
            found.put(f"{key}.one", average(r["one draw"]))
            found.put(f"{key}.ssim", average(r.get("mean of draws", r["one draw"]), "ssim"), 3)
            if row != "input" and "input" in of_set:
                found.put(f"{key}.harmed", harmed(of_set, row), 0, 100)
    return found


def scored(given: Namespace, plan: Iterable[tuple[TestSet, Method]], every: int, **about: Any) -> dict[str, Any]:
    """Every method of the plan on its set, row by row into the file of --json, from which an interrupted call goes on.

    Args:
        given: The options of the command.
        plan: Test sets, each with a method.
        every: Take each n-th photograph alone.
        **about: What stands in the result's protocol besides.

    """
    result: dict[str, Any] = {}
    for test, method in plan:
        # Read again each time: other processes may be measuring other sets into the same file.
        before, about = earlier(given.json) or result, {**about, "quick": given.quick}
        result = quality.measure([test], [method], before=before, output=given.json, every=every, about=about)
        row = result["sets"][test.name][method.title]
        if row["one draw"]:
            said = f"{average(row['one draw']):.2f} dB, {np.mean(row['processor_seconds']):.1f} s a photograph"
            print(f"{test.name} / {method.title}: {said}", flush=True)
        for image, reason in row["failed"].items():
            print(f"{test.name} / {method.title}, {image}: {reason}", flush=True)
    return earlier(given.json) or result


OPTIONS = {
    "--model": ("general", "shelf name, file or run; none to leave its rows out"),
    "--sets": (SETS, "", SETS), "--rows": (ROWS, "", ROWS), "--device": "cpu", "--dtype": "auto", "--draws": 1,
    "--few": (1, "draws of the rows that cost most or are for comparison only"),
}  # fmt: skip


def measure(given: Namespace) -> dict[str, Any]:
    found = find(shared_folder() / "data" / "test")
    # One protocol for all sets, so that the page can say it once; `unveil bench` takes each set's own.
    sets = {name: dataclasses.replace(found[name], protocol="native") for name in given.sets}
    plan = ((test, method) for name, test in sets.items() for method in rows(given, name))
    return scored(given, plan, 8 if given.quick else 1, numbers=PROTOCOL)
