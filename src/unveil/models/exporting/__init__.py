"""Our models for other programs: the whole sampler at fidelity 1 as one graph, in formats that need nothing of ours to run.

pt2        torch.export: any program with torch 2.10 or newer
onnx       ONNX Runtime and whatever else reads ONNX
openvino   Intel's runtime: an .xml beside its .bin
dtmodel    darktable 5.6 and newer: its package around the ONNX file
"""

from __future__ import annotations

from pathlib import Path

from unveil.errors import InputError
from unveil.models import shelf
from unveil.models.exporting import formats
from unveil.models.exporting.unrolled import Unrolled
from unveil.models.model import Model
from unveil.models.treatment import treatment

__all__ = ["FORMATS", "Unrolled", "export", "unrolled"]

FORMATS = ("onnx", "openvino", "dtmodel", "pt2")


def unrolled(model: Model, fix: str | None = None, reduced: tuple[int, int] | None = None) -> Unrolled:
    """The network that is exported.

    Args:
        model: A compact model or one of experts.
        fix: What it is told to fix, by name ("noise", "blur,jpeg", "haze"); needed for a model that can be told, and only there.
        reduced: (height, width) of the reduced photograph for kinds of light; see `Unrolled`.

    Raises:
        InputError: Told where it cannot be, or not told where it has to be.
        ModelError: A model that cannot be exported.

    """
    if model.spec.told and not fix:
        raise InputError(f"say what {model.spec.name} is to fix once it is exported, as with --fix noise")
    if fix and not model.spec.told:
        raise InputError(f"{model.spec.name} cannot be told what to fix; leave out --fix")
    if reduced is not None and not (len(reduced) == 2 and all(1 <= side <= 1024 for side in reduced)):
        raise InputError(f"the reduced photograph has two sides of 1 to 1024 px, got {reduced!r}")
    return Unrolled(model, treatment(None, fix) if fix else None, reduced).eval()


def export(
    name: str | Path, path: Path, format: str = "onnx", fix: str | None = None, reduced: tuple[int, int] | None = None
) -> Path:
    """Write a model for another program.

    Args:
        name: As `shelf.load` takes it: a name on the shelf, a weight file or the folder of a run.
        path: The file to write, or a folder, in which it is called after the model.
        format: One of FORMATS.
        fix: As `unrolled` takes it.
        reduced: As `unrolled` takes it.

    Returns:
        The file that was written (of openvino the .xml).

    Raises:
        InputError: A format that does not exist, a package that is not installed, a place that cannot be written.
        ModelError: A model that is not there or that the format cannot hold.

    """
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}; known are {', '.join(FORMATS)}")
    formats.need(format)
    model = shelf.load(name)
    network = unrolled(model, fix, reduced)
    about = formats.About(model.spec.name, fix or "", model.sha256)
    return formats.WRITERS[format](network, formats.place(path, format, about), about)
