"""Fit the naturalness score's parameters on folders of clean photographs and write them as a small JSON file.

    python -m recipes fit_naturalness --source "what the photographs are" -o naturalness.json FOLDER...

The result is statistics (36 means and their covariance), no images. Photographs are taken in sorted order, so the file is
the same on every run.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unveil.evaluation.metrics.naturalness import fit
from unveil.evaluation.reading import find_images, read_image


def photographs(folders: list[Path]) -> Iterator[np.ndarray]:
    for folder in folders:
        paths = find_images(folder)
        print(f"{folder.name}: {len(paths)} photographs", flush=True)
        for path in paths:
            yield read_image(path).pixels


OPTIONS = {
    "folders": {"nargs": "+", "type": Path}, "-o --output": {"type": Path, "required": True},
    "--source": {"required": True, "help": "said in the file: which photographs these are"},
}  # fmt: skip


def main(arguments: Namespace) -> None:
    fit(photographs(arguments.folders), source=arguments.source).save(arguments.output)
    print(f"wrote {arguments.output} ({arguments.output.stat().st_size / 1024:.0f} KiB)")
