"""`unveil models export`: a model of ours for other programs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unveil.errors import InputError


def export_model(
    name: str,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    format: str = "onnx",
    fix: str | None = None,
    reduced: str | None = None,
) -> None:
    """Write a model for another program: its whole sampler at fidelity 1 in one file, for any height and width.

    Input and output are sRGB in [0, 1], (1, 3, height, width). What each program needs stands in docs/export.md.

    Args:
        name: A model on the shelf, a weight file or the folder of a run.
        output: File to write, or a folder.
        format: onnx, openvino, dtmodel (darktable) or pt2 (torch.export).
        fix: What it is to fix, for a model that can be told: noise, "blur,jpeg", haze, ...
        reduced: Size of the reduced photograph on which light is decided, as HEIGHTxWIDTH; give it the shape of your photographs.
            Default: a square with the model's own side. Without effect for kinds that leave the light alone.

    """
    size = None
    if reduced is not None:
        match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", reduced)
        if match is None:
            raise InputError(f"--reduced is written as HEIGHTxWIDTH, such as 107x160, got {reduced!r}")
        size = (int(match[1]), int(match[2]))
    from unveil.models import exporting

    path = exporting.export(name, output, format, fix, size)
    print(f"{path}  {path.stat().st_size / 2**20:.1f} MiB")
