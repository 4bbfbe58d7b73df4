"""What a model's defaults rest on: the curve over fidelity, solver and grid, dynamic resolution. On held-out photographs.

    python -m benchmarks choices --model general --json benchmarks/results/choices.json
    python -m benchmarks choices --model runs/mine --part solver --json mine.json

A part that is measured again replaces itself in the JSON file; the others stay if they are of the same model.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch

from benchmarks import _choices
from benchmarks._pages import Facts
from benchmarks._shared import MODEL, Clock, earlier, protocol, shared_folder, table
from unveil.models import shelf

PARTS = ("fidelity", "solver", "resolution")
UNITS = {
    "one": (2, 1), "mean": (2, 1), "mean19": (2, 1), "spread": (1, 255), "sharpness": (2, 1), "sharpness_mean": (2, 1),
    "natural": (2, 1), "natural_mean": (2, 1), "target_natural": (2, 1), "crps": (2, 255), "coverage90": (0, 100),
    "seconds_per_draw": (3, 1),
}  # fmt: skip
"""Number -> decimals and factor of its unit on the page."""


def measure(given: Namespace) -> dict[str, Any]:
    shared_folder()
    model = shelf.load(given.model)
    if model.spec.sampler != "diffusion":
        raise SystemExit(
            f"benchmark: {given.model} is a one-shot network; it has no fidelity, solver or resolution to choose"
        )
    model.to(torch.device("cpu"))
    source = _choices.held_out(model)
    found: dict[str, Any] = {}
    for part in given.part:
        clock = Clock()
        found[part] = getattr(_choices, part)(model, source, given.quick)
        found[part]["processor_seconds"] = clock.processor
        print(f"{part}: {clock.processor:.0f} s of processor time, {clock.wall:.0f} s in all", flush=True)
    about = {
        "model": model.spec.name,
        "sha256": model.sha256,
        "steps_trained": model.spec.recipe.get("steps_done"),
        "psnr": "dB, RGB, full frame, clipped to [0, 1], averaged over images (one: and over the draws; mean: of the mean of "
        "the draws, 4 unless said otherwise)",
        "spread": "root mean square over images and pixels of the draws' unbiased standard deviation, full range = 1",
    }
    own = protocol(given, **about)
    return {**earlier(given.json, own), "protocol": own, **found}


def facts(result: dict[str, Any]) -> Facts:
    """What a page may quote: `fidelity.0.5.one`, `solver.cubic_5.2m.crps`, `resolution.coarse_to_fine.160.image.one`, tables."""
    made = Facts(model=f"{result['protocol']['model']} (sha256 {result['protocol']['sha256'][:12]})")

    def cells(prefix: str, row: dict[str, Any], *keys: str) -> list[str]:
        for key, (digits, scale) in UNITS.items():
            if row.get(key) is not None:
                made.put(f"{prefix}.{key}", row[key], digits, scale)
        return made.cells(*(f"{prefix}.{key}" for key in keys))

    parts = {part: result[part]["rows"] for part in PARTS if part in result}
    for part in parts:
        made[f"{part}.photographs"] = result[part]["protocol"]["photographs"]
    if "fidelity" in parts:
        keys = ("one", "mean", "spread", "sharpness", "sharpness_mean", "natural", "natural_mean")
        body = [[row["label"], *cells(f"fidelity.{row['label']}", row, *keys)] for row in parts["fidelity"]]
        made["table.fidelity"] = table(
            ["fidelity", "one draw (dB)", "mean of 4 (dB)", "spread (of 255)", "sharpness, one", "sharpness, mean", "naturalness, one",
             "naturalness, mean"],
            [*body, ["target", "", "", "", "1.00", "", *made.cells("fidelity.input.target_natural"), ""]],
        )  # fmt: skip
    if "solver" in parts:
        keys = ("one", "mean", "mean19", "spread", "crps", "coverage90", "sharpness", "seconds_per_draw")
        body = []
        for row in parts["solver"]:
            name = f"solver.{row['grid'].replace(', ', '_')}.{row['solver']}"
            body.append([f"{row['grid']}, {row['solver']}", *cells(name, row, *keys)])
        head = [
            "grid and steps, solver",
            "one draw (dB)",
            "mean of 4",
            "mean of 19",
            "spread (of 255)",
            "CRPS (of 255)",
        ]
        made["table.solver"] = table([*head, "coverage of 90 % (%)", "sharpness", "s a draw"], body)
    if "resolution" in parts:
        kinds, body = list(parts["resolution"][0]["kinds"]), []
        for row in parts["resolution"]:
            how = (row["reading"], row["low"], row["switch"])
            name = "resolution." + ".".join(str(v) for v in how if v is not None)
            label = [row["reading"].replace("_", " "), row["low"] and f"low {row['low']}", row["switch"]]
            body.append(
                [
                    ", ".join(filter(None, label)),
                    *cells(name, row, "one", "mean", "spread", "sharpness"),
                    *(made.put(f"{name}.{kind}", row["kinds"][kind]) for kind in kinds),
                    f"{100 * row['pixels']:.0f} %",
                    *made.cells(f"{name}.seconds_per_draw"),
                ]
            )
        head = ["reading, low stage, switch", "one draw (dB)", "mean of 2", "spread (of 255)", "sharpness", *kinds]
        made["table.resolution"] = table([*head, "pixels", "s a draw"], body)
    return made


OPTIONS = {"--model": MODEL, "--part": (PARTS, "", PARTS)}
