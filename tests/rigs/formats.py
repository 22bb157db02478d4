"""Say which int8 formats a processor counts right: the worst cases of each, in ONNX Runtime.

    python tests/rigs/formats.py

Layers whose inputs and weights all have their largest values: where a kernel adds two products in
16 bits (vpmaddubsw, on x86 without VNNI), 2 * 255 * 127 does not fit and is cut off. Prints for
each format and kind of layer how far the output is off, as a share of the right one, and whether
that is right. tests/rigs/no_vnni.sh and tests/rigs/arm64.sh run it on emulated processors.

Ranges of weights: `full` is -127 to 127, `pairs` the rule of calibration/quantizing/rounding.py
(full range, but neighbours add up to 128 at most), `reduced` is -64 to 63 (seven bits).
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parents[2]))

from calibration.quantizing.rounding import neighbours, round_plainly

CHANNELS, SIDE = 64, 8
FORMATS = tuple(itertools.product(("uint8", "int8"), ("full", "pairs", "reduced")))
KINDS = ("conv 1x1", "conv 3x3", "conv 3x3 in 4 groups", "depthwise 3x3", "matrix")

_WRONG = 0.02
"""More than rounding the output to 8 bits may cost."""


def weights(kind: str, reach: str, sign: int) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Return the worst weights of a kind of layer, int8."""
    shape: tuple[int, ...] = (CHANNELS, CHANNELS)
    if kind != "matrix":
        size, groups = (1 if "1x1" in kind else 3), _groups(kind)
        shape = (CHANNELS, CHANNELS // groups, size, size)
    if reach == "pairs":
        ones = np.full(shape, sign, np.float32)
        scale = np.full(CHANNELS, 1 / 127, np.float32)
        return round_plainly(ones, scale, neighbours(ones, _groups(kind)))
    return np.full(shape, sign * (63 if reach == "reduced" else 127), np.int8)


def model(kind: str, activations: str, weight: np.ndarray[Any, np.dtype[np.int8]]) -> bytes:
    """Make a quantized layer in the form that our models have (QDQ).

    Its output is zero in the middle of its range, and reaches the ends with the largest values.
    """
    dtype = np.dtype(activations)
    reach = float(np.abs(weight[0].astype(int)).sum()) * 256.0  # of the sums, either way
    matrix = kind == "matrix"
    constants = [
        numpy_helper.from_array(np.float32(1.0), "one"),
        numpy_helper.from_array(np.zeros((), dtype), "x_zero"),
        numpy_helper.from_array(np.int8(0), "w_zero"),
        numpy_helper.from_array(np.float32(reach / 128.0), "y_scale"),
        numpy_helper.from_array(np.array(128 if activations == "uint8" else 0, dtype), "y_zero"),
        numpy_helper.from_array(np.ascontiguousarray(weight.T) if matrix else weight, "w"),
    ]
    layer: dict[str, Any] = {"op_type": "MatMul"} if matrix else {
        "op_type": "Conv", "group": _groups(kind)
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "one", "x_zero"], ["fx"]),
        helper.make_node("DequantizeLinear", ["w", "one", "w_zero"], ["fw"]),
        helper.make_node(inputs=["fx", "fw"], outputs=["fy"], **layer),
        helper.make_node("QuantizeLinear", ["fy", "y_scale", "y_zero"], ["qy"]),
        helper.make_node("DequantizeLinear", ["qy", "y_scale", "y_zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "worst",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(dtype), _shape(kind))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    made.ir_version = 9
    data: bytes = made.SerializeToString()
    return data


def error_of(kind: str, activations: str, reach: str) -> float:
    """Run the worst cases; return how far the output is off, as a share of the right one."""
    limits = np.iinfo(activations)
    worst = 0.0
    for value, sign in itertools.product({limits.min, limits.max} - {0}, (1, -1)):
        weight = weights(kind, reach, sign)
        session = ort.InferenceSession(
            model(kind, activations, weight), providers=["CPUExecutionProvider"]
        )
        x = np.full(_shape(kind), value, activations)
        right = value * weight.reshape(CHANNELS, -1).sum(axis=1, dtype=np.float64)
        got = session.run(None, {"x": x})[0].astype(np.float64)
        got = got.reshape(-1, CHANNELS) if kind == "matrix" else got[0].reshape(CHANNELS, -1).T
        worst = max(worst, float((np.abs(got - right) / np.abs(right)).max()))
    return worst


def _groups(kind: str) -> int:
    return {"conv 3x3 in 4 groups": 4, "depthwise 3x3": CHANNELS}.get(kind, 1)


def _shape(kind: str) -> list[int]:
    return [SIDE, CHANNELS] if kind == "matrix" else [1, CHANNELS, SIDE, SIDE]


def _main() -> None:
    lines = [f"{'':16}" + "".join(f"{kind:>22}" for kind in KINDS)]
    for activations, reach in FORMATS:
        cells = []
        for kind in KINDS:
            off = error_of(kind, activations, reach)
            cells.append(f"{off:.1%} {'wrong' if off > _WRONG else 'right'}")
        name = f"{'U8S8' if activations == 'uint8' else 'S8S8'} {reach}"
        lines.append(f"{name:16}" + "".join(f"{cell:>22}" for cell in cells))
    print("\n".join(lines))  # noqa: T201 - its answer


if __name__ == "__main__":
    _main()
