"""Draw every plot of the documentation from the results that are committed, into docs/img.

python -m benchmarks plots
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from benchmarks import _plots, calibration
from benchmarks._shared import HERE, RESULTS

PLOTS = {
    # picture: (result, function)
    "fidelity": ("choices", _plots.fidelity_curve),
    "reliability": ("calibration", calibration.reliability),
    "scatter": ("quality", _plots.scatter),
    "steps": ("steps", _plots.steps),
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
