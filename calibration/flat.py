"""Write TFLite flatbuffers operator by operator, the way `calibration.graph` writes ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from collections.abc import Sequence

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
}
# The version of each operator that brought what we use of it; 1 where it is not named.
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "DEQUANTIZE": 3}
_FILE_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_ALIGNMENT = 16


class _Builder(flatbuffers.Builder):  # type: ignore[misc]  # untyped library
    """A builder that aligns the bytes of buffers, as the schema asks and Python's does not."""

    def StartVector(self, size: int, count: int, alignment: int) -> Any:  # noqa: N802 - as the base class
        """Begin a vector; those of bytes are buffers."""
        return super().StartVector(size, count, _ALIGNMENT if size == 1 else alignment)


class Flat:
    """A TFLite model being written. Tensors are numbers."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._buffers = [schema.BufferT()]  # buffer 0 is by definition the empty one
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[str] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: npt.DTypeLike,
        *,
        scale: npt.ArrayLike | None = None,
        zero: npt.ArrayLike = 0,
        axis: int = 0,
        data: npt.NDArray[Any] | None = None,
    ) -> int:
        """Declare a tensor; with `data` a constant, with `scale` a quantized one."""
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = [int(side) for side in shape]
        tensor.type = _TYPES[np.dtype(dtype).name]
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self._buffers.append(buffer)
            tensor.buffer = len(self._buffers) - 1
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
            quantization.zeroPoint = np.broadcast_to(
                np.asarray(zero, np.int64), quantization.scale.shape
            ).copy()
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(self, value: npt.NDArray[Any]) -> int:
        """Store a constant that is not quantized."""
        return self.tensor(f"c{len(self._tensors)}", value.shape, value.dtype, data=value)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(self._tensors[tensor].shape)

    def operator(
        self,
        op: str,
        inputs: Sequence[int],
        output: int,
        options: tuple[str, dict[str, Any]] = ("", {}),
    ) -> int:
        """Append an operator and return its output.

        Args:
            op: Its name in the schema.
            inputs: Tensors.
            output: Tensor.
            options: Name of its options in the schema, and their values.
        """
        if op not in self._codes:
            self._codes.append(op)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index(op)
        operator.inputs = list(inputs)
        operator.outputs = [output]
        name, values = options
        if name:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = getattr(schema, f"{name}T")()
            for key, value in values.items():
                setattr(operator.builtinOptions, key, value)
        self._operators.append(operator)
        return output

    def model(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the bytes of the finished model."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        graph.name = "main"
        model = schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = self._description
        model.operatorCodes = [_code(op) for op in self._codes]
        model.subgraphs = [graph]
        model.buffers = self._buffers
        builder = _Builder(1 << 20)
        builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
        return bytes(builder.Output())


def _code(op: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, op)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = _VERSIONS.get(op, 1)
    return code
