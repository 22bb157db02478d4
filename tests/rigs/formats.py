"""Say which int8 formats a processor counts right: the worst cases of each, in ONNX Runtime.

    python tests/rigs/formats.py

A convolution whose inputs and weights all have their largest values: where a kernel adds two
products in 16 bits (vpmaddubsw, on x86 without VNNI), 2 * 255 * 127 does not fit and is cut off.
Prints for each format how far the output is off, as a share of the right one. tests/rigs/no_vnni.sh
runs it on emulated processors.
"""

from __future__ import annotations

import itertools

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIDE = 64, 8
FORMATS = {
    "U8S8": ("uint8", 127),
    "U8S8, weights of 7 bits": ("uint8", 63),
    "S8S8": ("int8", 127),
    "S8S8, weights of 7 bits": ("int8", 63),
}
"""Type of the activations and largest weight, by name; weights are int8."""

_WRONG = 0.02
"""More than rounding the output to 8 bits may cost."""


def model(activations: str, weight: int) -> bytes:
    """Make a quantized 1 x 1 convolution, in the form that the trunk has (QDQ), weights all alike.

    Its output is zero in the middle of its range, and reaches the ends with the largest values.
    """
    dtype = np.dtype(activations)
    reach = CHANNELS * abs(weight) * 256.0  # of the sums, either way
    constants = [
        numpy_helper.from_array(np.float32(1.0), "one"),
        numpy_helper.from_array(np.zeros((), dtype), "x_zero"),
        numpy_helper.from_array(np.int8(0), "w_zero"),
        numpy_helper.from_array(np.float32(reach / 128.0), "y_scale"),
        numpy_helper.from_array(np.array(128 if activations == "uint8" else 0, dtype), "y_zero"),
        numpy_helper.from_array(np.full((CHANNELS, CHANNELS, 1, 1), weight, np.int8), "w"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "one", "x_zero"], ["fx"]),
        helper.make_node("DequantizeLinear", ["w", "one", "w_zero"], ["fw"]),
        helper.make_node("Conv", ["fx", "fw"], ["fy"]),
        helper.make_node("QuantizeLinear", ["fy", "y_scale", "y_zero"], ["qy"]),
        helper.make_node("DequantizeLinear", ["qy", "y_scale", "y_zero"], ["y"]),
    ]
    shape = [1, CHANNELS, SIDE, SIDE]
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    graph = helper.make_graph(
        nodes,
        "worst",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    made.ir_version = 9
    data: bytes = made.SerializeToString()
    return data


def error_of(activations: str, largest: int) -> float:
    """Run the worst cases; return how far the output is off, as a share of the right one."""
    limits = np.iinfo(activations)
    worst = 0.0
    for value, weight in itertools.product({limits.min, limits.max} - {0}, (largest, -largest)):
        session = ort.InferenceSession(
            model(activations, weight), providers=["CPUExecutionProvider"]
        )
        x = np.full((1, CHANNELS, SIDE, SIDE), value, activations)
        right = float(CHANNELS * value * weight)
        off = np.abs(session.run(None, {"x": x})[0] - right).max() / abs(right)
        worst = max(worst, float(off))
    return worst


if __name__ == "__main__":
    for name, (activations, largest) in FORMATS.items():
        off = error_of(activations, largest)
        verdict = "wrong" if off > _WRONG else "right"
        print(f"{name:26} off by {off:6.1%}  {verdict}")  # noqa: T201 - its answer
