#!/bin/sh
# Guess: OpenVINO runs an ONNX Resize with antialias=1 as ONNX Runtime does, or refuses it.
. "$(dirname "$0")/_room.sh"
room onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6
look <<'PY'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper


def model(mode, antialias, size):
    node = helper.make_node("Resize", ["x", "", "", "size"], ["y"], mode=mode, antialias=antialias)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 64, 64])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, size, size])
    sizes = helper.make_tensor("size", TensorProto.INT64, [4], [1, 1, size, size])
    out = helper.make_model(helper.make_graph([node], "g", [given], [made], [sizes]), opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(out)
    return out.SerializeToString()


def run(data, x):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0], compiled(x)[0]


lines = np.tile((np.arange(64) % 4 == 1).astype(np.float32), (1, 1, 64, 1))
print(f"OpenVINO {openvino.__version__.split('-')[0]}, ONNX Runtime {onnxruntime.__version__}: Resize of a picture of one white column in four, mean .25")
print("most would guess: a quarter the size with antialias=1 it is grey, .25, in both")
seen = {}
for mode in ("linear", "cubic"):
    there, here = run(model(mode, 1, 16), lines)
    _, without = run(model(mode, 0, 16), lines)
    larger = run(model(mode, 1, 128), lines)
    seen[mode] = float(np.abs(there[..., 3:-3] - 0.25).max()), float(np.abs(here - there)[..., 3:-3].max()), float(np.abs(here - without).max())
    print(f"seen, {mode}: ONNX Runtime {there[0, 0, 8, 8]:.3f}, OpenVINO {here[0, 0, 8, 8]:.3f}, which is what it gives without antialias ({without[0, 0, 8, 8]:.3f});")
    print(f"      enlarged twice they agree to {np.abs(larger[0] - larger[1]).max():.0e}")
print("It says nothing: the picture is made of the nearest pixels alone, and only where it shrinks")
raise SystemExit(not all(right < 0.03 and apart > 0.1 and same < 1e-6 for right, apart, same in seen.values()))
PY
