"""What a model's defaults rest on: the curve over fidelity, solver and grid, dynamic resolution. On held-out photographs.

    python -m benchmarks choices --model general --json benchmarks/results/choices.json --plots docs/img
    python -m benchmarks choices --model runs/mine --part solver --json mine.json

A part that is measured again replaces itself in the JSON file; the others stay if they are of the same model.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from benchmarks._pages import Value
from benchmarks._shared import Clock, environment, read_json, shared_folder, table, write_json

NAME = "choices"
PARTS = ("fidelity", "solver", "resolution")


def measure(name: str, parts: list[str], quick: bool) -> dict[str, Any]:
    from benchmarks import _choices
    from unveil.models import shelf

    model = shelf.load(name)
    if model.spec.sampler != "diffusion":
        raise SystemExit(f"benchmark: {name} is a one-shot network; it has no fidelity, solver or resolution to choose")
    import torch

    model.to(torch.device("cpu"))
    source = _choices.held_out(model)
    found: dict[str, Any] = {}
    for part in parts:
        print(part, flush=True)
        clock = Clock()
        found[part] = getattr(_choices, part)(model, source, quick)
        found[part]["processor_seconds"] = clock.processor
        print(f"{part}: {clock.processor:.0f} s of processor time, {clock.wall:.0f} s in all", flush=True)
    return {
        "benchmark": NAME,
        "protocol": {
            **environment(),
            "quick": quick,
            "model": model.spec.name,
            "sha256": model.sha256,
            "steps_trained": model.spec.recipe.get("steps_done"),
            "psnr": "dB, RGB, full frame, clipped to [0, 1], averaged over images (one: and over the draws; mean: of the mean of "
            "the draws, 4 unless said otherwise)",
            "spread": "root mean square over images and pixels of the draws' unbiased standard deviation, full range = 1",
        },
        **found,
    }


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """What a page may quote: `fidelity.0.5.one`, `solver.cubic_5.2m.crps`, `resolution.coarse_to_fine.160.image.one`, tables."""
    made: dict[str, Value | str] = {
        "model": f"{result['protocol']['model']} (sha256 {result['protocol']['sha256'][:12]})"
    }
    digits = {"one": (2, 1), "mean": (2, 1), "mean19": (2, 1), "spread": (1, 255), "sharpness": (2, 1), "sharpness_mean": (2, 1),
              "natural": (2, 1), "natural_mean": (2, 1), "target_natural": (2, 1), "crps": (2, 255), "coverage90": (0, 100),
              "seconds_per_draw": (3, 1)}  # fmt: skip

    def put(prefix: str, row: dict[str, Any]) -> None:
        for key, (places, scale) in digits.items():
            if row.get(key) is not None:
                made[f"{prefix}.{key}"] = Value([row[key] * scale], places)

    def cells(prefix: str, *keys: str) -> list[str]:
        return [str(made.get(f"{prefix}.{key}", "")) for key in keys]

    for part in PARTS:
        if part in result:
            made[f"{part}.photographs"] = result[part]["protocol"]["photographs"]
    if "fidelity" in result:
        rows = result["fidelity"]["rows"]
        for row in rows:
            put(f"fidelity.{row['label']}", row)
        keys = ("one", "mean", "spread", "sharpness", "sharpness_mean", "natural", "natural_mean")
        made["table.fidelity"] = table(
            ["fidelity", "one draw (dB)", "mean of 4 (dB)", "spread (of 255)", "sharpness, one", "sharpness, mean", "naturalness, one",
             "naturalness, mean"],
            [[row["label"], *cells(f"fidelity.{row['label']}", *keys)] for row in rows]
            + [["target", "", "", "", "1.00", "", *cells("fidelity.input", "target_natural"), ""]],
        )  # fmt: skip
    if "solver" in result:
        rows = result["solver"]["rows"]
        for row in rows:
            put(f"solver.{row['grid'].replace(', ', '_')}.{row['solver']}", row)
        keys = ("one", "mean", "mean19", "spread", "crps", "coverage90", "sharpness", "seconds_per_draw")
        made["table.solver"] = table(
            ["grid and steps, solver", "one draw (dB)", "mean of 4", "mean of 19", "spread (of 255)", "CRPS (of 255)",
             "coverage of 90 % (%)", "sharpness", "s a draw"],
            [[", ".join((r["grid"], r["solver"])), *cells(f"solver.{r['grid'].replace(', ', '_')}.{r['solver']}", *keys)] for r in rows],
        )  # fmt: skip
    if "resolution" in result:
        rows = result["resolution"]["rows"]
        kinds = list(rows[0]["kinds"])
        body = []
        for row in rows:
            name = ".".join(str(v) for v in (row["reading"], row["low"], row["switch"]) if v is not None)
            label = ", ".join(
                str(v)
                for v in (row["reading"].replace("_", " "), row["low"] and f"low {row['low']}", row["switch"])
                if v
            )
            put(f"resolution.{name}", row)
            for kind in kinds:
                made[f"resolution.{name}.{kind}"] = Value([row["kinds"][kind]])
            body.append([label, *cells(f"resolution.{name}", "one", "mean", "spread", "sharpness", *kinds),
                         f"{100 * row['pixels']:.0f} %", *cells(f"resolution.{name}", "seconds_per_draw")])  # fmt: skip
        made["table.resolution"] = table(
            [
                "reading, low stage, switch",
                "one draw (dB)",
                "mean of 2",
                "spread (of 255)",
                "sharpness",
                *kinds,
                "pixels",
                "s a draw",
            ],
            body,
        )
    return made


def arguments(command: ArgumentParser) -> None:
    command.add_argument("--model", default="general", help="name on the shelf, model file or run folder")
    command.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS))
    command.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the curve over fidelity into this folder")
    command.add_argument(
        "--again", type=Path, metavar="FILE", help="tables and plots of an earlier result, instead of measuring"
    )


def main(arguments: Namespace) -> None:
    if arguments.again:
        result = read_json(arguments.again)
    else:
        shared_folder()
        result = measure(arguments.model, arguments.part, arguments.quick)
        if arguments.json and arguments.json.exists():
            before = read_json(arguments.json)
            if before.get("protocol") == json.loads(json.dumps(result["protocol"])):
                result = {**before, **result}
    found = facts(result)
    print("\n\n".join(str(found[f"table.{part}"]) for part in PARTS if f"table.{part}" in found))
    write_json(arguments.json, result)
    if arguments.plots:
        from benchmarks.plots import fidelity_curve

        if "fidelity" in result:
            print(f"wrote {fidelity_curve(result, arguments.plots / 'fidelity.png')}")
