"""What a graph does first and last: a normalisation it holds already, an activation it ends in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.importing import surgery
from calibration.importing.facts import PLAIN, UNIT, Inner, Normalisation

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

_NEAR = 0.03
"""How far, as a share of it, a span may be off: few pictures reach both ends of it."""

_SIGNED = Normalisation(scale=1.0 / 127.5, mean=(1.0,))
_LEVELS = Normalisation(scale=1.0, mean=(128.0,))

_SMALL = 0.1
"""A number below this is multiplied with pixels of 0 to 255."""


def inner(model: onnx.ModelProto) -> Inner:
    """Return what an ONNX graph tells of itself."""
    sizes = surgery.input_of(model)
    return Inner(
        maker=surgery.maker_of(model),
        channels=sizes.channels,
        pixels=sizes.dtype == "uint8",
        own=normalisation(model),
        activation=lambda name, values: activation(model, name, values),
    )


def starts_from(operator: str, by: npt.NDArray[Any]) -> Normalisation:
    """Tell what numbers a graph's own normalisation starts from, by its first step.

    Args:
        operator: `Sub`, `Add`, `Div` or `Mul`.
        by: The constant.
    """
    size = float(np.abs(by).max())
    return PLAIN if (size < _SMALL if operator == "Mul" else size > _BYTES) else UNIT


def by_span(low: float, high: float) -> Normalisation | None:
    """Tell a normalisation by what a quantized input can hold; None for spans of no known one."""
    known = ((0.0, 255.0, PLAIN), (0.0, 1.0, UNIT), (-1.0, 1.0, _SIGNED), (-128.0, 127.0, _LEVELS))
    for lowest, highest, found in known:
        near = _NEAR * (highest - lowest)
        if abs(low - lowest) < near and abs(high - highest) < near:
            return found
    return None


def normalisation(model: onnx.ModelProto) -> Normalisation | None:
    """Return what a graph's own normalisation starts from; None where it has none."""
    known = surgery.constants(model)
    node = first_of(model)
    if node is None or node.op_type not in {"Sub", "Div", "Mul", "Add"} or len(node.input) != 2:
        return None
    rows = [known[name] for name in node.input if name in known]
    if len(rows) != 1 or rows[0].size > 3 or rows[0].dtype.kind != "f":
        return None
    return starts_from(node.op_type, rows[0])


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
    return by_values(values)


def by_values(values: npt.NDArray[Any]) -> Activation:
    """Tell the same from what the output gave alone."""
    if values.shape[1] == 1:
        return "none" if values.min() >= 0.0 and values.max() <= 1.0 else "sigmoid"
    if values.min() >= 0.0 and np.allclose(values.sum(axis=1), 1.0, atol=0.02):
        return "none"
    return "softmax"
