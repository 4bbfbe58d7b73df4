"""Draw every plot of the documentation from the results that are committed, into docs/img.

    python -m benchmarks plots

Needs matplotlib, a tool of the developers.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks._shared import HERE, RESULTS
from benchmarks.calibration import ALL, HELD_OUT, way

COLOURS = ("#1f5fa8", "#c8551b", "#3a8a4d", "#7a4fa3")
_ONE, _MEAN = COLOURS[:2]


def fidelity_curve(result: dict[str, Any], path: Path) -> Path:
    """PSNR, spread and sharpness over the dial, and the plane of distortion against perception."""
    rows = [r for r in result["fidelity"]["rows"] if "fidelity" in r]
    f = [r["fidelity"] for r in rows]
    figure, (left, middle, right) = pyplot().subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)

    left.plot(f, [r["one"] for r in rows], "o-", color=_ONE, label="one draw")
    left.plot(f, [r["mean"] for r in rows], "s--", color=_MEAN, label="mean of 4 draws")
    left.set(xlabel="fidelity", ylabel="PSNR (dB)", title="Distortion")
    left.legend(frameon=False)

    middle.plot(f, [255 * r["spread"] for r in rows], "o-", color=_ONE)
    middle.set(xlabel="fidelity", ylabel="spread of the draws (levels of 255)", title="Diversity")
    middle.set_ylim(bottom=0)

    right.plot([r["one"] for r in rows], [r["sharpness"] for r in rows], "o-", color=_ONE, label="one draw")
    right.plot(
        [r["mean"] for r in rows], [r["sharpness_mean"] for r in rows], "s--", color=_MEAN, label="mean of 4 draws"
    )
    for r in rows:
        right.annotate(
            f"{r['fidelity']:g}",
            (r["one"], r["sharpness"]),
            xytext=(5, 4),
            textcoords="offset points",
            color=_ONE,
            fontsize=8,
        )
    right.axhline(1.0, color="0.6", linewidth=0.8, linestyle=":")
    right.set(xlabel="PSNR (dB)", ylabel="gradient energy, target = 1", title="Sharpness against distortion")
    right.legend(frameon=False, loc="lower left", fontsize=8)

    return saved(figure, (left, middle, right), path)


def scatter(result: dict[str, Any], path: Path) -> Path:
    """Every photograph's PSNR after against before, a panel a set: `quality.json`."""
    sets = {n: rows for n, rows in result["sets"].items() if "clean" not in n}
    columns = 3
    count = -(-len(sets) // columns)
    figure, axes = pyplot().subplots(
        count, columns, figsize=(3.6 * columns, 3.4 * count), constrained_layout=True, squeeze=False
    )
    flat = axes.ravel()
    for axis, (name, rows) in zip(flat, sets.items(), strict=False):
        before = [v["psnr"] for v in rows["input"]["one draw"]]
        after = [v["psnr"] for v in rows["default"]["one draw"]]
        low, high = min(before + after) - 1, max(before + after) + 1
        axis.plot([low, high], [low, high], color="0.6", linewidth=0.8, linestyle=":")
        axis.plot(before, after, "o", color=_ONE, markersize=4, alpha=0.7)
        better = sum(b > a for a, b in zip(before, after, strict=True))
        axis.set(title=f"{name}: {better} of {len(after)} better", xlabel="input (dB)", ylabel="restored (dB)")
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in flat[len(sets) :]:
        axis.set_visible(False)
    return saved(figure, flat, path)


def steps(result: dict[str, Any], path: Path) -> Path:
    """PSNR over the number of steps and over processor seconds, a line a set: a result of `unveil bench quality --steps ...`."""
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(9.6, 3.8), constrained_layout=True, sharey=True)
    for colour, (name, rows) in zip(COLOURS, result["sets"].items(), strict=False):
        counted = sorted((r for r in rows.values() if "steps" in r["run"]), key=lambda r: r["run"]["steps"])
        start = fmean(v["psnr"] for v in rows["input"]["one draw"])
        gain = [fmean(v["psnr"] for v in r["one draw"]) - start for r in counted]
        label = f"{name} ({len(counted[0]['images'])})"
        left.plot([r["run"]["steps"] for r in counted], gain, "o-", color=colour, label=label)
        right.plot([seconds(r) for r in counted], gain, "o-", color=colour)
    left.set(xlabel="steps", ylabel="PSNR above the input, one draw (dB)", title="Quality against steps")
    right.set(xlabel="processor seconds a megapixel", title="Quality against time")
    left.set_xticks(
        sorted({r["run"]["steps"] for rows in result["sets"].values() for r in rows.values() if "steps" in r["run"]})
    )
    left.legend(frameon=False, fontsize=8)
    return saved(figure, (left, right), path)


def reliability(result: dict[str, Any], path: Path) -> Path:
    """Nominal level against coverage, before and after, on photographs kept back and on test photographs: `calibration.json`."""
    colours = dict(zip(result["rows"], COLOURS, strict=False))
    figure, axes = pyplot().subplots(1, 2, figsize=(9.6, 4.6), constrained_layout=True, sharey=True)
    titles = {HELD_OUT: "Kept back by training, not fitted on", ALL: "Test photographs from elsewhere"}
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        axis.plot([0, 100], [0, 100], color="0.6", linewidth=0.8, linestyle=":")
        for label, row in result["rows"].items():
            for stage, style in (("before", "--"), ("after", "-")):
                curve = row["sets"][name][stage]["curve"]
                x, y = zip(*((100 * float(k), 100 * v) for k, v in curve.items()), strict=True)
                axis.plot(x, y, style, color=colours[label], label=f"{way(row, label)}, {stage}", linewidth=1.6)
        axis.set(xlabel="nominal level of the interval (%)", title=title, xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes[0].set_ylabel("target values inside (%)")
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    return saved(figure, axes, path)


def seconds(row: dict[str, Any]) -> float:
    """Processor seconds a megapixel and draw of a row of `unveil bench quality`."""
    return sum(row["processor_seconds"]) / sum(row["megapixels"]) / row.get("draws", 1)


def pyplot() -> Any:
    """matplotlib's, that draws into files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def saved(figure: Any, axes: Sequence[Any], path: Path) -> Path:
    for axis in axes:
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No software and date in the file: the same numbers give the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot().close(figure)
    return path


PLOTS = {
    # picture: (result, function)
    "fidelity": ("choices", fidelity_curve),
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
            made.append(function(json.loads(path.read_text(encoding="utf-8")), folder / f"{name}.png"))
    return made


def arguments(command: ArgumentParser) -> None:
    command.add_argument("-o", "--output", type=Path, default=HERE.parent / "docs" / "img", help="folder to draw into")


def main(given: Namespace) -> None:
    for path in draw(given.output):
        print(f"wrote {path}")
