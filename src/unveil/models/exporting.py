"""Our models for other programs: the whole sampler at fidelity 1 as one graph, in formats that need nothing of ours to run.

pt2        torch.export: any program with torch 2.10 or newer
onnx       ONNX Runtime and whatever else reads ONNX
openvino   Intel's runtime: an .xml beside its .bin
dtmodel    darktable 5.6 and newer: its package around the ONNX file

At fidelity 1 the sampler draws no noise, so that what it does is a fixed chain of networks and weighted sums: the path's coefficients
and the networks' conditions become constants of the graph. Sizes and pixels enter it as tensors only, so that other programs' formats can
hold it for any height and width.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil import __version__
from unveil.diffusion.path import GaussianPath
from unveil.diffusion.resolution import guided
from unveil.diffusion.sampling import SOLVERS, Denoiser, eta
from unveil.diffusion.self_ensemble import self_ensemble
from unveil.errors import InputError, ModelError
from unveil.models import shelf
from unveil.models.model import Model
from unveil.models.treatment import Treatment, first_evaluation, steps_of, treatment
from unveil.networks.compact import BORDER, TimestepExperts
from unveil.networks.condition import KINDS, condition
from unveil.networks.predictor import Predictor
from unveil.util import atomic
from unveil.util.extras import check_installed
from unveil.util.words import check_known


class Unrolled(nn.Module):
    """(B, 3, H, W) sRGB in [0, 1] -> the restoration, likewise; the sampler's defaults of a model at fidelity 1, without noise.

    What `Restorer` does beside the sampler is not part of it: it does not keep the mean of each channel, nor treat bars, grey and black
    specially. Those need the whole photograph, and the programs pass tiles.

    treat: what to fix, for a model conditioned on kinds of damage. reduced: (height, width) of the reduced photograph on which light is
    decided; by default a square with the model's own long side; without effect where no light is fixed. Raises ModelError for a kind of
    model or a solver that is not a fixed chain of evaluations.
    """

    told: Tensor | None
    told_levels: Tensor
    fidelity: Tensor

    def __init__(self, model: Model, treat: Treatment | None = None, reduced: tuple[int, int] | None = None) -> None:
        super().__init__()
        spec, d = model.spec, model.spec.defaults
        if not spec.trained_here or spec.sampler != "diffusion":
            raise ModelError(
                f"{spec.name} cannot be exported: only compact models and models of experts can, such as general"
            )
        if d.solver not in SOLVERS or d.solver == "2m" or d.resolution == "hourglass" or d.switch == "state":
            raise ModelError(f"{spec.name} cannot be exported: its defaults are not a fixed chain without noise")
        process = spec.process(steps=steps_of(treat, spec))
        self.switch, self.value_range = d.switch, spec.value_range
        n = process.steps
        self.begin = first_evaluation(treat, process, spec)
        # As Resolution.factor: reduced while more than half of the path is left, the last evaluation always native.
        early = sum(n - i > n / 2 and i < n - 1 for i in range(n)) if d.resolution == "coarse_to_fine" else 0
        self.early = max(early - self.begin, 0)
        self.views = d.views if self.early else 1  # as `Draws` has it
        first = n - self.begin
        self.start = float(process.alpha[first] + process.beta[first])
        self.levels = [float(process.timestep[t]) for t in range(first, 0, -1)]
        fresh = [i + 1 == self.early for i in range(first - 1)]
        self.sums = [_sum(process, d.solver, t, f) for t, f in zip(range(first, 1, -1), fresh, strict=True)]
        self.reduced = (d.low, d.low) if reduced is None else reduced
        asked = [
            model.predictor.expert(level) if isinstance(model.predictor, TimestepExperts) else model.predictor
            for level in self.levels
        ]
        self.networks = nn.ModuleList(dict.fromkeys(asked))  # an expert that is never evaluated is left out
        self.which = [list(self.networks).index(network) for network in asked]
        self.head = model.head
        self.multiple_of = model.predictor.multiple_of
        told = None
        if spec.conditioned:
            known = torch.tensor([treat is not None])
            vector = torch.zeros(1, len(KINDS)) if treat is None else treat.vector()[None]
            told = condition(vector, known, torch.ones(1))
        self.register_buffer("told", told, persistent=False)
        self.register_buffer("fidelity", torch.ones(1), persistent=False)
        self.register_buffer("told_levels", torch.tensor(self.levels), persistent=False)

    @property
    def takes_the_whole_image(self) -> bool:
        """Whether a pixel depends on the reduced photograph, and so on pixels at any distance."""
        return self.early > 0

    def forward(self, input: Tensor) -> Tensor:
        low, high = self.value_range
        full = input * (high - low) + low
        y = resized(full, self.reduced) if self.early else full
        # The start, or the state after evaluations that all returned y; without its noise.
        x = self.start * y
        for i, (of_x, of_x0, of_y) in enumerate(self.sums):
            x0_hat = self._estimate_of(i)(x, y, i)
            if i + 1 == self.early:
                x0_hat = self._enlarged(x0_hat, y, full)
                y = full
                x = of_x0 * x0_hat + of_y * y
            else:
                x = of_x * x + of_x0 * x0_hat + of_y * y
        last = len(self.sums)
        return ((self._estimate_of(last)(x, y, last) - low) / (high - low)).clamp(0, 1)

    def _enlarged(self, x0_hat: Tensor, y: Tensor, full: Tensor) -> Tensor:
        """As `diffusion.resolution.transfer`."""
        if self.switch == "guided":
            return full - guided(y - x0_hat, y, full, partial(_resized_like, like=full))
        if self.switch == "residual":
            return full - _resized_like(y - x0_hat, full)
        return _resized_like(x0_hat, full)

    def _estimate_of(self, index: int) -> Denoiser:
        """`_estimate`, or its mean over views where light is decided, as `Model.denoiser` has it."""
        return self_ensemble(self._estimate, self.views if self.levels[index] >= BORDER else 1)

    def _estimate(self, x_t: Tensor, y: Tensor, index: int) -> Tensor:
        """x0_hat as `Model.predict` has it, without branches on sizes or values."""
        states = _padded(torch.cat([x_t, y], dim=1), self.multiple_of)
        x_t, padded = states[:, :3], states[:, 3:]
        level = self.told_levels[index : index + 1]
        network: Predictor = self.networks[self.which[index]]  # type: ignore[assignment]
        answer = network.answer(x_t, padded, level, self.told)
        residual = answer.residual
        if self.head is not None:
            residual = residual + self.head(answer, self.fidelity)
        return (y - _cropped(residual, y)).clamp(*self.value_range)


def _sum(process: GaussianPath, solver: str, t: int, fresh: bool) -> tuple[float, float, float]:
    """Weights of x_t, x0_hat and y in the state at t - 1, as `diffusion.sampling.step` adds them up, without noise.

    fresh: whether the state is made anew from x0_hat, as at a change of resolution: then the old noise has no weight.
    """
    u = t - 1
    (a_t, b_t, s_t), (a_u, b_u, s_u) = (
        [float(c[i]) for c in (process.alpha, process.beta, process.sigma)] for i in (t, u)
    )
    kept = 0.0 if fresh else max(s_u**2 - eta(process, solver, t, u) ** 2, 0.0) ** 0.5 / s_t
    return kept, a_u - kept * a_t, b_u - kept * b_t


def _padded(x: Tensor, multiple: int) -> Tensor:
    """As `networks.predictor.pad_to_multiple`, by indices even where nothing is to do: a graph for any size has no branches."""
    for axis in (-2, -1):
        length = x.shape[axis]
        total = (length + multiple - 1) // multiple * multiple
        index = torch.arange(total, device=x.device)
        last = torch.full_like(index, length - 1)
        period = torch.maximum(2 * last, torch.ones_like(last))  # a line of one pixel repeats it
        index = torch.remainder(index, period)
        index = torch.minimum(torch.minimum(index, period - index), last)
        x = x.index_select(axis, index)
    return x


def _cropped(x: Tensor, like: Tensor) -> Tensor:
    """The top left part of x in the size of `like`, by indices: for a slice the exporter would ask for a proof that it lies within x at
    every size.
    """
    for axis in (-2, -1):
        x = x.index_select(axis, torch.arange(like.shape[axis], device=x.device))
    return x


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """As `diffusion.resolution.resize` (bilinear, antialiased), as two products of matrices that every format knows.

    Formats' own resizing differs in where it places pixels and in whether it filters before it reduces. (B, C, H, W) -> (B, C, *size).
    """
    rows = _weights(x.shape[-2], size[0], x)
    columns = _weights(x.shape[-1], size[1], x)
    return torch.matmul(torch.matmul(rows, x), columns.transpose(0, 1))


def _resized_like(x: Tensor, like: Tensor) -> Tensor:
    return resized(x, (like.shape[-2], like.shape[-1]))


def _weights(length: int, wanted: int, like: Tensor) -> Tensor:
    """(wanted, length): each row the triangle around a new pixel's centre, as wide as a new pixel and never narrower than an old one."""
    new = torch.arange(wanted, device=like.device, dtype=torch.float32) + 0.5
    old = torch.arange(length, device=like.device, dtype=torch.float32) + 0.5
    scale = torch.full_like(new[:1], length) / torch.full_like(new[:1], wanted)
    away = (old[None] - (new * scale)[:, None]) / scale.clamp(min=1)
    weights = F.relu(1 - away.abs())
    return weights / weights.sum(dim=1, keepdim=True)


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
    """name: of the model. fix: the kinds that it fixes, "" for a model that is not conditioned on them. sha256: of its weight file, "" for
    one made in memory.
    """

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
        own = {"model": self.name, "fix": self.fix, "sha256": self.sha256}
        return {"unveil": __version__, **own, "range": "sRGB in [0, 1]"}


def need(format: str) -> None:
    """Raise InputError where packages that the format is written with are not installed."""
    check_installed(format, NEEDS.get(format, ()), "openvino" if format == "openvino" else "export")


def output_path(path: Path, format: str, about: About) -> Path:
    """The file to write: `path`, or in a folder one named after the model; a folder that is not there, without an ending, is made.

    Raises InputError for another format's ending.
    """
    suffix = SUFFIX[format]
    if not path.exists() and not path.suffix:
        path.mkdir(parents=True)
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
    sizes = {axis: torch.export.Dim(name, min=least, max=65536) for axis, name in ((2, "height"), (3, "width"))}
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
    if network.takes_the_whole_image:
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
        package.writestr(_zip_entry(f"{about.id}/config.json"), json.dumps(config, indent=2) + "\n")
        package.writestr(_zip_entry(f"{about.id}/model.onnx"), onnx_bytes(network, about))
    atomic.replace(path, file.getvalue())
    return path


WRITERS = {"onnx": onnx, "openvino": openvino, "dtmodel": dtmodel, "pt2": pt2}
FORMATS = tuple(WRITERS)


def _zip_entry(name: str) -> zipfile.ZipInfo:
    """An entry with a fixed date, so that the same model makes the same package."""
    entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _bare(proto: Any) -> None:
    """Take out what the exporter notes about its own machine: stack traces with paths of files, and names of its passes."""
    inside = proto.graph
    for part in (proto, inside, *inside.node, *inside.input, *inside.output, *inside.value_info):
        del part.metadata_props[:]
        if hasattr(part, "doc_string"):
            part.doc_string = ""
    for weight in inside.initializer:
        del weight.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences exporters' warnings about their own deprecations and about packages that are not needed, which a user cannot act on."""
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


def unrolled(model: Model, fix: str | None = None, reduced: tuple[int, int] | None = None) -> Unrolled:
    """The network that is exported. fix: what to fix, by name ("noise", "blur,jpeg", "haze"), for a model conditioned on it. reduced: see
    `Unrolled`.

    Raises InputError for `fix` with a model that does not take it, or none for one that needs it, ModelError for one that cannot be
    exported.
    """
    if model.spec.conditioned and not fix:
        raise InputError(f"say what {model.spec.name} is to fix once it is exported, as with --fix noise")
    if fix and not model.spec.conditioned:
        raise InputError(f"{model.spec.name} cannot be told what to fix; leave out --fix")
    if reduced is not None and not (len(reduced) == 2 and all(1 <= side <= 1024 for side in reduced)):
        raise InputError(f"the reduced photograph has two sides of 1 to 1024 px, got {reduced!r}")
    return Unrolled(model, treatment(None, fix, fixable=model.spec.fixable) if fix else None, reduced).eval()


def export(
    name: str | Path, path: Path, format: str = "onnx", fix: str | None = None, reduced: tuple[int, int] | None = None
) -> Path:
    """Write a model for another program; returns the file (of openvino the .xml).

    name: as `shelf.load` takes it. path: the file to write, or a folder, in which it is called after the model. format: one of FORMATS.
    The rest is as `unrolled` takes it. Raises InputError for a format that does not exist, a package that is not installed, a place that
    cannot be written, ModelError for a model that is not there or that the format cannot hold.
    """
    check_known("format", format, FORMATS)
    need(format)
    model = shelf.load(name)
    network = unrolled(model, fix, reduced)
    about = About(model.spec.name, fix or "", model.sha256)
    return WRITERS[format](network, output_path(path, format, about), about)
