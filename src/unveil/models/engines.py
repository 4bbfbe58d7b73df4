"""Evaluating a predictor in another runtime: sampler, tiles, noise and protocol stay ours.

onnx       ONNX Runtime, in fp32 (extra `export`)
openvino   Intel's runtime, in fp32 or bf16 (extra `openvino`)

A network is written as ONNX when it is first evaluated, and kept in the user's cache folder for the next time.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unveil.errors import InputError
from unveil.networks.compact import CompactUNet, TimestepExperts
from unveil.util import atomic
from unveil.util.extras import check_installed
from unveil.util.words import check_known

if TYPE_CHECKING:
    from unveil.models.model import Model

ENGINES = ("torch", "onnx", "openvino")
NEEDS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino")}
DTYPES = {"onnx": ("fp32",), "openvino": ("fp32", "bf16")}
LAYOUT = 1
"""Version of the files in the cache; those of another version are made anew."""

Session = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(x_t, y, level, told) -> residual, as `Evaluation`."""


class Evaluation(nn.Module):
    """One network with its correction: (x_t, y, level, told) -> the residual (B, 3, H, W) in fp32, as `Model.predict` has it.

    H and W are multiples of the network's. told: conditions (B, SIZE) for a network conditioned on kinds of damage, otherwise the fidelity
    (B,).
    """

    def __init__(self, network: CompactUNet, head: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, x_t: Tensor, y: Tensor, level: Tensor, context: Tensor) -> Tensor:
        if self.network.condition is not None:
            return self.network(x_t, y, level, context).float()
        answer = self.network.answer(x_t, y, level)
        answer = answer._replace(residual=answer.residual.float())
        if self.head is None:
            return answer.residual + 0 * context.reshape(-1, 1, 1, 1)  # the graph takes what it is given
        return answer.residual + self.head(answer, context).float()


class Runner:
    """A model's networks in another runtime, each made at its first evaluation. Thread-safe."""

    def __init__(self, model: Model, engine: str, dtype: str) -> None:
        self.model, self.engine, self.dtype = model, engine, dtype
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def __call__(self, x_t: Tensor, y: Tensor, level: Tensor, context: Tensor) -> Tensor:
        """The residual (B, 3, H, W), fp32, on the CPU; arguments as of `Evaluation`, all levels of a batch alike."""
        predictor = self.model.predictor
        name, network = "whole", predictor
        if isinstance(predictor, TimestepExperts):
            network = predictor.expert(float(level[0]))
            name = "low" if network is predictor.low else "native"
        with self._lock:
            session = self._sessions.get(name)
            if session is None:
                graph = _graph(self.model, name, network)
                session = self._sessions[name] = _OPENED[self.engine](graph, self.dtype)
        return session(x_t.float(), y.float(), level.float(), context.float())


def check(engine: str) -> None:
    """Raise InputError for an engine that does not exist or whose packages are not installed."""
    check_known("engine", engine, ENGINES)
    check_installed(f"the engine {engine}", NEEDS.get(engine, ()), "openvino" if engine == "openvino" else "export")


def on_engine(model: Model, engine: str, dtype: str) -> Model:
    """The model, a compact one or one of experts, on the CPU, with its networks evaluated by an engine other than "torch".

    Raises InputError for a model of another kind, a precision that the engine does not have (DTYPES), packages that are not installed.
    """
    check(engine)
    if not isinstance(model.predictor, (CompactUNet, TimestepExperts)):
        raise InputError(f"{model.spec.name} runs in torch alone; leave out --engine {engine}")
    if dtype not in DTYPES[engine]:
        raise InputError(f"the engine {engine} computes in {' or '.join(DTYPES[engine])}, not {dtype}")
    return replace(model, runner=Runner(model, engine, dtype))


def _graph(model: Model, name: str, network: CompactUNet) -> bytes:
    """A network as ONNX, from the cache where it is there. Models without a weight file are not kept."""
    kept = _cache() / f"{model.sha256[:32]}-{name}-{LAYOUT}.onnx" if model.sha256 else None
    if kept is not None:
        with contextlib.suppress(OSError):
            return kept.read_bytes()
    made = _written(Evaluation(network, model.head).eval(), network.condition is not None)
    if kept is not None:
        with contextlib.suppress(OSError, InputError):  # a cache that cannot be written costs only time
            kept.parent.mkdir(parents=True, exist_ok=True)
            atomic.replace(kept, made)
    return made


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unveil" / "engines"


def _written(answer: Evaluation, conditioned: bool) -> bytes:
    from unveil.models import exporting
    from unveil.networks.condition import SIZE

    unit = answer.network.multiple_of
    example = torch.zeros(1, 3, 4 * unit, 5 * unit)
    context = torch.zeros(1, SIZE) if conditioned else torch.zeros(1)
    program = exporting.traced(answer, (example, example.clone(), torch.full((1,), 0.5), context), unit)
    return exporting.graph(program, ("x_t", "y", "level", "told"), "residual").SerializeToString()


def _onnx(graph: bytes, dtype: str) -> Session:
    import onnxruntime  # type: ignore[import-not-found]

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(*given: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, dict(zip(names, map(_array, given), strict=True)))[0])

    return run


def _openvino(graph: bytes, dtype: str) -> Session:
    import openvino  # type: ignore[import-not-found]

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(graph, b""),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        },
    )

    def run(*given: Tensor) -> Tensor:
        request = compiled.create_infer_request()  # one for each call: calls may overlap
        return torch.from_numpy(request.infer([_array(one) for one in given])[0].copy())

    return run


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


_OPENED: dict[str, Callable[[bytes, str], Session]] = {"onnx": _onnx, "openvino": _openvino}
