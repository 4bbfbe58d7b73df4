"""Plots of results. Needs matplotlib, a tool of the developers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_ONE, _MEAN = "#1f5fa8", "#c8551b"


def fidelity_curve(result: dict[str, Any], path: Path) -> Path:
    """PSNR, spread and sharpness over the dial, and the plane of distortion against perception."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [r for r in result["fidelity"]["rows"] if "fidelity" in r]
    f = [r["fidelity"] for r in rows]
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)

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

    for axis in (left, middle, right):
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
