"""Draw every plot of the documentation from the results that are committed, into docs/img.

python benchmarks/plots.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import _plots
from _shared import HERE, RESULTS

PLOTS = {
    # picture: (result, function)
    "fidelity": ("choices", _plots.fidelity_curve),
    "reliability": ("calibration", _plots.reliability),
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


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("-o", "--output", type=Path, default=HERE.parent / "docs" / "img", help="folder to draw into")
    for path in draw(command.parse_args().output):
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
