"""Draw every plot of the documentation from the results that are committed, into docs/img.

    python -m benchmarks plots

Needs matplotlib, a tool of the developers.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._shared import PICTURES, RESULTS, average
from benchmarks.calibration import ALL, HELD_OUT, way

COLOURS = ("#1f5fa8", "#c8551b", "#3a8a4d", "#7a4fa3")
ONE = {"color": COLOURS[0]}
GREY = {"color": "0.6", "linewidth": 0.8, "linestyle": ":"}
NO_FRAME = {"frameon": False, "fontsize": 8}


def scatter(result: dict[str, Any]) -> Any:
    """Every photograph's PSNR after against before, a panel a set: `quality.json`."""
    sets = {n: rows for n, rows in result["sets"].items() if "clean" not in n}
    count = -(-len(sets) // 3)
    figure, panels = axes(count, 3, (10.8, 3.4 * count))
    for axis, (name, rows) in zip(panels, sets.items(), strict=False):
        before, after = ([v["psnr"] for v in rows[row]["one draw"]] for row in ("input", "default"))
        limits = (min(before + after) - 1, max(before + after) + 1)
        axis.plot(limits, limits, **GREY)
        axis.plot(before, after, "o", **ONE, markersize=4, alpha=0.7)
        better = sum(b > a for a, b in zip(before, after, strict=True))
        axis.set(title=f"{name}: {better} of {len(after)} better", xlabel="input (dB)", ylabel="restored (dB)")
        axis.set(xlim=limits, ylim=limits, aspect="equal")
    for axis in panels[len(sets) :]:
        axis.set_visible(False)
    return figure


def steps(result: dict[str, Any]) -> Any:
    """PSNR over the number of steps and over processor seconds, a line a set: a result of `unveil bench quality --steps ...`."""
    figure, (left, right) = axes(1, 2, (9.6, 3.8), sharey=True)
    for colour, (name, rows) in zip(COLOURS, result["sets"].items(), strict=False):
        counted = sorted((r for r in rows.values() if "steps" in r["run"]), key=lambda r: r["run"]["steps"])
        gain = [average(r["one draw"]) - average(rows["input"]["one draw"]) for r in counted]
        at = [r["run"]["steps"] for r in counted]
        left.plot(at, gain, "o-", color=colour, label=f"{name} ({len(counted[0]['images'])})")
        right.plot([seconds(r) for r in counted], gain, "o-", color=colour)
        left.set_xticks(at)
    left.set(xlabel="steps", ylabel="PSNR above the input, one draw (dB)", title="Quality against steps")
    right.set(xlabel="processor seconds a megapixel", title="Quality against time")
    left.legend(**NO_FRAME)
    return figure


def reliability(result: dict[str, Any]) -> Any:
    """Nominal level against coverage, before and after, on photographs kept back and on test photographs: `calibration.json`."""
    figure, panels = axes(1, 2, (9.6, 4.6), sharey=True)
    titles = {HELD_OUT: "Kept back by training, not fitted on", ALL: "Test photographs from elsewhere"}
    for axis, (name, title) in zip(panels, titles.items(), strict=True):
        axis.plot([0, 100], [0, 100], **GREY)
        for colour, (label, row) in zip(COLOURS, result["rows"].items(), strict=False):
            for stage, style in (("before", "--"), ("after", "-")):
                curve = row["sets"][name][stage]["curve"]
                x, y = [100 * float(k) for k in curve], [100 * v for v in curve.values()]
                axis.plot(x, y, style, color=colour, label=f"{way(row, label)}, {stage}", linewidth=1.6)
        axis.set(xlabel="nominal level of the interval (%)", title=title, xlim=(0, 100), ylim=(0, 100), aspect="equal")
    panels[0].set_ylabel("target values inside (%)")
    panels[0].legend(loc="upper left", **NO_FRAME)
    return figure


def seconds(row: dict[str, Any]) -> float:
    """Processor seconds a megapixel and draw of a row of `unveil bench quality`."""
    return sum(row["processor_seconds"]) / sum(row["megapixels"]) / row.get("draws", 1)


def axes(down: int, across: int, size: tuple[float, float], **more: Any) -> tuple[Any, Any]:
    """A figure of matplotlib's, that draws into files, and its panels in one row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(down, across, figsize=size, constrained_layout=True, squeeze=False, **more)
    return figure, panels.ravel()


def saved(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    for axis in figure.axes:
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No software and date in the file: the same numbers give the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return path


PLOTS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    # picture: (result, function)
    "reliability": ("calibration", reliability),
    "scatter": ("quality", scatter),
    "steps": ("steps", steps),
}


def draw(folder: Path, results: Path = RESULTS) -> list[Path]:
    """Every plot whose result is there."""
    made = []
    for name, (source, function) in PLOTS.items():
        path = results / f"{source}.json"
        if path.is_file():
            made.append(saved(function(json.loads(path.read_text(encoding="utf-8"))), folder / f"{name}.png"))
    return made


OPTIONS = {"-o --output": PICTURES}


def main(given: Namespace) -> None:
    for path in draw(given.output):
        print(f"wrote {path}")
