"""What a graph does first and last: a normalisation it holds already, an activation it ends in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.importing import surgery
from calibration.importing.facts import PLAIN, UNIT, Normalisation

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx

    from edge_agent.inspection.spec import Activation

_MOVES = frozenset(
    {"Cast", "Concat", "Identity", "Pad", "Reshape", "Resize", "Slice", "Squeeze", "Transpose",
     "Unsqueeze"}
)  # fmt: skip
"""Operators that may stand between the input and the first one that counts."""

_BYTES = 1.5
"""A number above this is subtracted from, or divided into, pixels of 0 to 255."""


def normalisation(model: onnx.ModelProto) -> Normalisation | None:
    """Return what a graph's own normalisation starts from; None where it has none."""
    known = surgery.constants(model)
    node = first_of(model)
    if node is None or node.op_type not in {"Sub", "Div", "Mul", "Add"} or len(node.input) != 2:
        return None
    rows = [known[name] for name in node.input if name in known]
    if len(rows) != 1 or rows[0].size > 3 or rows[0].dtype.kind != "f":
        return None
    size = float(np.abs(rows[0]).max())
    bytes_ = size < 0.1 if node.op_type == "Mul" else size > _BYTES
    return PLAIN if bytes_ else UNIT


def first_of(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """Return the first node that does something to the numbers of the input."""
    name = surgery.input_of(model).name
    while True:
        readers = [node for node in model.graph.node if name in node.input]
        if len(readers) != 1:
            return None
        if readers[0].op_type not in _MOVES:
            return readers[0]
        name = readers[0].output[0]


def activation(model: onnx.ModelProto, output: str, values: npt.NDArray[Any]) -> Activation:
    """Tell what must still be done to an output so that it holds probabilities.

    Args:
        model: The graph.
        output: Name of the output; its classes are the second dimension.
        values: What it gave for noise.
    """
    writers = surgery.producers(model)
    node = writers.get(output)
    while node is not None and node.op_type in _MOVES:
        node = writers.get(node.input[0])
    if node is not None and node.op_type in {"Softmax", "Sigmoid", "HardSigmoid"}:
        return "none"
    sums = values.sum(axis=1)
    if values.min() >= 0.0 and np.allclose(sums, 1.0, atol=1e-3):
        return "none"
    return "softmax"
