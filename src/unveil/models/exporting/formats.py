"""How an unrolled network is written: torch.export first, and every other format from that."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from unveil import __version__
from unveil.errors import InputError, ModelError
from unveil.models.exporting.unrolled import Unrolled
from unveil.util import atomic

SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "dtmodel": ".dtmodel", "pt2": ".pt2"}
NEEDS = {
    "onnx": ("onnx", "onnxscript"),
    "dtmodel": ("onnx", "onnxscript"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}
"""Packages that a format is written with; `unveil[export]` brings those of ONNX, `unveil[openvino]` all of them."""
OPSET = 20
"""Of ONNX: what ONNX Runtime 1.17 (2024) and newer read."""


@dataclass(frozen=True)
class About:
    """name: of the model. fix: what it was told, "" for one that cannot be. sha256: of its weight file, "" for one made in memory."""

    name: str
    fix: str
    sha256: str

    @property
    def id(self) -> str:
        """Lower case with hyphens, as darktable names its models: the task first."""
        words = re.sub(r"[^a-z0-9]+", "-", f"denoise-unveil-{self.name}-{self.fix}".lower())
        return words.strip("-")

    @property
    def facts(self) -> dict[str, str]:
        """What is written into the file for those who find it."""
        return {
            "unveil": __version__,
            "model": self.name,
            "fix": self.fix,
            "sha256": self.sha256,
            "range": "sRGB in [0, 1]",
        }


def need(format: str) -> None:
    """Raise InputError where packages that the format is written with are not installed."""
    missing = [name for name in NEEDS.get(format, ()) if importlib.util.find_spec(name) is None]
    if missing:
        extra = "openvino" if format == "openvino" else "export"
        raise InputError(f"{format} needs {' and '.join(missing)}: pip install 'unveil[{extra}]'")


def place(path: Path, format: str, about: About) -> Path:
    """The file to write: `path`, or in a folder one named after the model. Raises InputError for another format's ending."""
    suffix = SUFFIX[format]
    if path.is_dir():
        return path / f"{about.id.removeprefix('denoise-')}{suffix}"
    if path.suffix != suffix:
        raise InputError(f"{path}: a file of the format {format} ends with {suffix}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    return path


def exported(network: Unrolled) -> torch.export.ExportedProgram:
    """The network as torch.export sees it, for any height and width above its multiple."""
    # A size below the least one would be special (its coarsest level is one pixel); this one is odd, so that nothing divides it.
    least = network.multiple_of + 1
    sizes = {
        2: torch.export.Dim("height", min=least, max=65536),
        3: torch.export.Dim("width", min=least, max=65536),
    }
    example = torch.zeros(1, 3, 4 * least + 3, 5 * least + 6)
    with _quiet():
        return torch.export.export(network, (example,), dynamic_shapes=(sizes,), strict=False)


def pt2(network: Unrolled, path: Path, about: About) -> Path:
    """Write a torch.export archive, to be read by torch.export.load(path).module()."""
    file = io.BytesIO()
    with _quiet():
        torch.export.save(exported(network), file, extra_files={"unveil.json": json.dumps(about.facts)})
    atomic.replace(path, file.getvalue())
    return path


def onnx(network: Unrolled, path: Path, about: About) -> Path:
    """Write one ONNX file, weights inside: input `input`, output `output`, float32 (1, 3, height, width)."""
    atomic.replace(path, onnx_bytes(network, about))
    return path


def onnx_bytes(network: Unrolled, about: About) -> bytes:
    """The ONNX file itself."""
    proto = graph(exported(network), ("input",), "output")
    for value in (*proto.graph.input, *proto.graph.output):
        for axis, name in ((2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    for key, text in about.facts.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, text
    return proto.SerializeToString()


def traced(network: torch.nn.Module, given: tuple[torch.Tensor, ...], unit: int) -> torch.export.ExportedProgram:
    """Any network as torch.export sees it, for images whose sides are multiples of `unit`.

    given: an example of every input; those of four axes are images, which share one size.
    """
    sides = {2 + axis: unit * torch.export.Dim(name, min=3, max=65536) for axis, name in enumerate(("rows", "columns"))}
    sizes = tuple(sides if one.ndim == 4 else None for one in given)
    with _quiet():
        return torch.export.export(network, given, dynamic_shapes=sizes, strict=False)


def graph(program: torch.export.ExportedProgram, inputs: Sequence[str], output: str) -> Any:
    """An exported network as an ONNX model, its inputs and its one output by these names."""
    with _quiet():
        made: Any = torch.onnx.export(
            program,
            (),
            None,
            input_names=list(inputs),
            output_names=[output],
            dynamo=True,
            optimize=True,
            opset_version=OPSET,
            verbose=False,
        )
        proto = made.model_proto
    _bare(proto)
    return proto


def openvino(network: Unrolled, path: Path, about: About) -> Path:
    """Write an .xml and, beside it, the weights as .bin, both in fp32."""
    import openvino as ov  # type: ignore[import-not-found]

    with TemporaryDirectory() as folder, _quiet():
        source = Path(folder) / "model.onnx"
        source.write_bytes(onnx_bytes(network, about))
        made = ov.convert_model(source)
        for key, text in about.facts.items():
            made.set_rt_info(text, ["unveil", key])
        ov.save_model(made, Path(folder) / "out.xml", compress_to_fp16=False)
        # The weights first: an .xml without them cannot be opened.
        atomic.replace(path.with_suffix(".bin"), (Path(folder) / "out.bin").read_bytes())
        atomic.replace(path, (Path(folder) / "out.xml").read_bytes())
    return path


def dtmodel(network: Unrolled, path: Path, about: About) -> Path:
    """Write darktable's package. Raises ModelError for a network that needs the whole photograph: darktable hands over tiles."""
    if network.looks_at_the_whole:
        raise ModelError(
            f"darktable hands over tiles, and {about.name} decides light on the whole photograph; export it with a kind of damage "
            "that leaves the light alone (--fix noise) where it can be told, or as onnx"
        )
    config = {
        "id": about.id,
        "name": f"unveil {about.name}" + (f" ({about.fix})" if about.fix else ""),
        "description": f"Unveil {__version__}, {about.name}: {about.fix or 'restoration'} in one to five evaluations, without noise",
        "task": "denoise",
        "backend": "onnx",
        "num_inputs": 1,
        "version": __version__,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(_entry(f"{about.id}/config.json"), json.dumps(config, indent=2) + "\n")
        package.writestr(_entry(f"{about.id}/model.onnx"), onnx_bytes(network, about))
    atomic.replace(path, file.getvalue())
    return path


WRITERS: dict[str, Callable[[Unrolled, Path, About], Path]] = {
    "onnx": onnx,
    "openvino": openvino,
    "dtmodel": dtmodel,
    "pt2": pt2,
}


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry with a fixed date, so that the same model makes the same package."""
    entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _bare(proto: Any) -> None:
    """Take out what the exporter notes about its own machine: stack traces with paths of files, and names of its passes."""
    for part in (
        proto,
        proto.graph,
        *proto.graph.node,
        *proto.graph.input,
        *proto.graph.output,
        *proto.graph.value_info,
    ):
        del part.metadata_props[:]
        if hasattr(part, "doc_string"):
            part.doc_string = ""
    for weight in proto.graph.initializer:
        del weight.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn about their own future and about packages that nothing here needs; a user can do nothing about either."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
