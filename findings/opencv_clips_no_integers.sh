#!/bin/sh
# Guess: an ONNX file of standard operators that its checker and ONNX Runtime take also runs in OpenCV 5, whose new engine knows shapes that are not fixed.
. "$(dirname "$0")/_room.sh"
room opencv-python-headless==5.0.0.93 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
look <<'PY'
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

print(f"OpenCV {cv2.__version__}, ONNX Runtime {onnxruntime.__version__}, onnx {onnx.__version__}")
print("most would guess: int64 numbers, as those that size a border, may be held above 1 by Clip as by Max, which the standard allows for both")
one = helper.make_tensor("one", TensorProto.INT64, [], [1])


def file(operator):
    """x, float32 of any height and width, times its height, which is held above 1 as an integer."""
    nodes = [
        helper.make_node("Shape", ["x"], ["height"], start=2, end=3),
        helper.make_node(operator, ["height", "one"], ["held"]),
        helper.make_node("Cast", ["held"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "factor"], ["y"]),
    ]
    free = [1, 3, "height", "width"]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, free)] for name in ("x", "y")]
    model = helper.make_model(helper.make_graph(nodes, "g", *ends, [one]), opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


x = np.random.default_rng(0).random((1, 3, 5, 7), dtype=np.float32)
seen = {}
for operator in ("Max", "Clip"):
    data = file(operator)
    usual = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    assert np.array_equal(usual, 5 * x)
    try:
        network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
        network.setInput(x)
        seen[operator] = "right" if np.array_equal(network.forward(), usual) else "wrong"
    except cv2.error as error:
        seen[operator] = "refused when it is run: " + str(error.err)
    print(f"seen: {operator:4} of int64: ONNX Runtime right, OpenCV {seen[operator]}")
sys.exit(not (seen["Max"] == "right" and seen["Clip"].startswith("refused")))
PY
