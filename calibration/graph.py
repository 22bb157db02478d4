"""Write ONNX graphs node by node: a thin layer over `onnx.helper` that names things by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

OPSET = 17
"""New enough for per-channel QDQ, old enough for every runtime of the last years."""

_IR_VERSION = 8


class Graph:
    """A graph being written. Equal constants are stored once; names follow the order of calls."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, shape: Sequence[int | str | None], dtype: npt.DTypeLike) -> None:
        """Declare an input."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))

    def output(self, name: str, shape: Sequence[int | str | None]) -> None:
        """Declare a float32 output."""
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, value: npt.ArrayLike) -> str:
        """Store a constant and return its name."""
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            name = f"c{len(self._constants)}"
            self._known[key] = name
            self._constants[name] = numpy_helper.from_array(array, name)
        return self._known[key]

    def node(self, op: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        self._count += 1
        name = to or f"t{self._count}"
        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def cast(self, value: str, dtype: npt.DTypeLike) -> str:
        """Append a cast; runtimes fold that of a constant when they load the model."""
        self._count += 1
        name = f"t{self._count}"
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._nodes.append(helper.make_node("Cast", [value], [name], name=name, to=kind))
        return name

    def absorb(self, model: onnx.ModelProto) -> None:
        """Take over the inputs, constants and nodes of another graph, but not its outputs."""
        self._inputs += list(model.graph.input)
        self._nodes += list(model.graph.node)
        for tensor in model.graph.initializer:
            renamed = type(tensor)()
            renamed.CopyFrom(tensor)
            self._constants[tensor.name] = renamed
        self._count = len(self._nodes)

    def model(self) -> onnx.ModelProto:
        """Return the finished model, checked.

        Raises:
            onnx.checker.ValidationError: The graph is malformed: a mistake in the caller.
        """
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._constants.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="edge-inspection",
        )
        onnx.checker.check_model(model)
        return model
