"""Turn our ONNX graphs into TFLite: the same integers, the same steps, another container.

This is no general converter: it knows the operators that `models.int8` and `calibration.head`
write, in the forms in which they write them, and refuses every other. TFLite keeps the channels
last, as our input has them: every transposition falls away. Its activations are signed: codes and
zero points move down by 128.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
from onnx import helper, numpy_helper

from calibration.flat import Flat

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]

_SIGNED = 128


class _Codes(msgspec.Struct, frozen=True):
    """A constant in eight (or 32) bits: value = scale * codes."""

    codes: Array
    scale: Array


class _Coded(msgspec.Struct, frozen=True):
    """A quantized tensor, read as if it were float."""

    tensor: int


class _Sums(msgspec.Struct, frozen=True):
    """A convolution or addition whose output is not decided yet: quantized, clipped or plain."""

    op: str
    coded: bool
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    options: tuple[str, dict[str, Any]]


_Value = int | Array | _Codes | _Coded | _Sums


def convert(model: onnx.ModelProto) -> bytes:
    """Convert a model of fixed input size.

    Returns:
        A TFLite model: uint8 (1, H, W, 3) in, and the outputs of the ONNX model, by name.

    Raises:
        ValueError: The graph has an operator, or a form of one, that we do not write.
    """
    return _Conversion(model).run()


class _Conversion:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._flat = Flat(model.graph.name)
        self._values: dict[str, _Value] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self._floats: dict[int, int] = {}

    def run(self) -> bytes:
        """Walk over the nodes in their order."""
        image = self._graph.input[0]
        dims = [dim.dim_value for dim in image.type.tensor_type.shape.dim]
        scale, zero = self._input_step()
        source = self._flat.tensor(image.name, dims, np.uint8, scale=scale, zero=zero)
        self._values[image.name] = _Coded(source)
        for node in self._graph.node:
            self._values[node.output[0]] = self._step(node)
        results = [self._float(output.name) for output in self._graph.output]
        return self._flat.model([source], results)

    def _input_step(self) -> tuple[Array, Array]:
        """Find the step of the pixels: that of the first node that reads them as numbers."""
        for node in self._graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] not in self._values:
                return self._array(node.input[1]), self._array(node.input[2])
        msg = "the model does not take pixels"
        raise ValueError(msg)

    def _step(self, node: onnx.NodeProto) -> _Value:
        """Return what a node's output is in TFLite, with operators appended as needed."""
        steps = {
            "Transpose": self._transpose, "DequantizeLinear": self._dequantize,
            "QuantizeLinear": self._quantize, "Conv": self._conv, "Clip": self._clip,
            "Add": self._sum, "Sub": self._sum, "Mul": self._sum, "Cast": self._cast,
            "Reshape": self._reshape, "Concat": self._concat, "MatMul": self._matmul,
            "ReduceL2": self._norm, "ReduceSumSquare": self._squares,
            "ReduceMin": self._reduced, "Relu": self._single, "Sqrt": self._single,
        }  # fmt: skip
        if node.op_type not in steps:
            msg = f"operator {node.op_type} is not one that we write"
            raise ValueError(msg)
        return steps[node.op_type](node)

    # --- values -----------------------------------------------------------------------------------

    def _array(self, name: str) -> Array:
        """Return a constant."""
        value = self._values[name]
        if not isinstance(value, np.ndarray):
            msg = f"{name} is not a constant"
            raise TypeError(msg)
        return value

    def _float(self, name: str) -> int:
        """Return a tensor as float32, with a DEQUANTIZE or the pending operator where needed."""
        value = self._values[name]
        if isinstance(value, _Sums):
            tensor = self._flat.tensor(name, value.shape, np.float32)
            self._values[name] = self._flat.operator(value.op, value.inputs, tensor, value.options)
            return tensor
        if isinstance(value, _Coded):
            if value.tensor not in self._floats:
                shape = self._flat.shape(value.tensor)
                tensor = self._flat.tensor(name, shape, np.float32)
                self._floats[value.tensor] = self._flat.operator(
                    "DEQUANTIZE", [value.tensor], tensor, ("DequantizeOptions", {})
                )
            return self._floats[value.tensor]
        if isinstance(value, np.ndarray):
            return self._flat.constant(value)
        if isinstance(value, int):
            return value
        msg = f"{name} is a constant in codes where numbers are needed"
        raise TypeError(msg)

    # --- operators --------------------------------------------------------------------------------

    def _transpose(self, node: onnx.NodeProto) -> _Value:
        name, order = node.input[0], list(_attributes(node)["perm"])
        if order not in ([0, 3, 1, 2], [0, 2, 3, 1]):
            msg = f"transposition {order} is not between channels first and last"
            raise ValueError(msg)
        if isinstance(self._values[name], _Sums):
            self._float(name)
        return self._values[name]

    def _dequantize(self, node: onnx.NodeProto) -> _Value:
        value = self._values[node.input[0]]
        if isinstance(value, np.ndarray):
            return _Codes(value, self._array(node.input[1]))
        return value

    def _quantize(self, node: onnx.NodeProto) -> _Value:
        value = self._values[node.input[0]]
        scale, zero = self._array(node.input[1]), self._array(node.input[2])
        if isinstance(value, _Sums) and value.coded:
            shape, inputs, op, options = value.shape, value.inputs, value.op, value.options
        else:
            source = self._float(node.input[0])
            shape, inputs, op, options = (
                self._flat.shape(source),
                (source,),
                "QUANTIZE",
                ("QuantizeOptions", {}),
            )
        tensor = self._flat.tensor(
            node.output[0], shape, np.int8, scale=scale, zero=int(zero) - _SIGNED
        )
        return _Coded(self._flat.operator(op, inputs, tensor, options))

    def _conv(self, node: onnx.NodeProto) -> _Sums:
        attributes = _attributes(node)
        weight = self._values[node.input[1]]
        depthwise = attributes.get("group", 1) != 1
        stride = attributes["strides"][0] if "strides" in attributes else 1
        codes = weight.codes if isinstance(weight, _Codes) else self._array(node.input[1])
        size = codes.shape[2]
        same = list(attributes.get("pads", [0, 0, 0, 0])) == _same(size, stride)
        if not same and any(attributes.get("pads", [0])):
            msg = f"{node.name}: padding {attributes['pads']} is not TensorFlow's"
            raise ValueError(msg)
        laid = codes.transpose(1, 2, 3, 0) if depthwise else codes.transpose(0, 2, 3, 1)
        coded = isinstance(weight, _Codes)
        if isinstance(weight, _Codes):
            source = self._coded(node.input[0])
            filters = self._flat.tensor(
                node.input[1], laid.shape, np.int8, scale=weight.scale,
                axis=3 if depthwise else 0, data=laid,
            )  # fmt: skip
        else:
            source = self._float(node.input[0])
            filters = self._flat.constant(np.ascontiguousarray(laid))
        inputs = (source, filters, self._bias(node, coded=coded, depth=codes.shape[0]))
        _, rows, columns, _ = self._flat.shape(source)
        shape = (1, -(-rows // stride), -(-columns // stride), codes.shape[0])
        options = {"padding": 0 if same else 1, "strideH": stride, "strideW": stride,
                   "dilationHFactor": 1, "dilationWFactor": 1}  # fmt: skip
        if depthwise:
            return _Sums("DEPTHWISE_CONV_2D", coded, inputs, shape,
                         ("DepthwiseConv2DOptions", {**options, "depthMultiplier": 1}))  # fmt: skip
        return _Sums("CONV_2D", coded, inputs, shape, ("Conv2DOptions", options))

    def _coded(self, name: str) -> int:
        value = self._values[name]
        if not isinstance(value, _Coded):
            msg = f"{name} is not in eight bits"
            raise TypeError(msg)
        return value.tensor

    def _bias(self, node: onnx.NodeProto, *, coded: bool, depth: int) -> int:
        if len(node.input) < 3:
            return self._flat.constant(np.zeros(depth, np.float32))
        value = self._values[node.input[2]]
        if coded and isinstance(value, _Codes):
            return self._flat.tensor(
                node.input[2], value.codes.shape, np.int32, scale=value.scale, data=value.codes
            )
        return self._flat.constant(self._array(node.input[2]))

    def _clip(self, node: onnx.NodeProto) -> _Value:
        value = self._values[node.input[0]]
        limits = [float(self._array(name)) for name in node.input[1:]]
        if not isinstance(value, _Sums) or limits != [0.0, 6.0]:
            msg = f"{node.name}: clips to {limits}, not as ReLU6 after a convolution"
            raise ValueError(msg)
        kind, options = value.options
        return msgspec.structs.replace(
            value, options=(kind, {**options, "fusedActivationFunction": 3})
        )

    def _sum(self, node: onnx.NodeProto) -> _Value:
        left, right = (self._values[name] for name in node.input)
        kind: tuple[str, dict[str, Any]] = (f"{node.op_type}Options", {})
        coded = isinstance(left, _Coded) and isinstance(right, _Coded)
        if isinstance(left, _Coded) and isinstance(right, _Coded):
            inputs = (left.tensor, right.tensor)
        else:
            inputs = (self._float(node.input[0]), self._float(node.input[1]))
        shape = np.broadcast_shapes(*(self._flat.shape(each) for each in inputs))
        return _Sums(node.op_type.upper(), coded, inputs, shape, kind)

    def _cast(self, node: onnx.NodeProto) -> int:
        """Read a half-precision constant: LiteRT expands it once, when it is first needed."""
        value = self._array(node.input[0])
        half = self._flat.constant(value.astype(np.float16))
        tensor = self._flat.tensor(node.output[0], value.shape, np.float32)
        return self._flat.operator("DEQUANTIZE", [half], tensor, ("DequantizeOptions", {}))

    def _reshape(self, node: onnx.NodeProto) -> int:
        source, shape = self._float(node.input[0]), self._array(node.input[1]).astype(np.int32)
        tensor = self._flat.tensor(node.output[0], shape.tolist(), np.float32)
        return self._flat.operator(
            "RESHAPE",
            [source, self._flat.constant(shape)],
            tensor,
            ("ReshapeOptions", {"newShape": shape.tolist()}),
        )

    def _matmul(self, node: onnx.NodeProto) -> int:
        left, right = self._float(node.input[0]), self._float(node.input[1])
        shape = (*self._flat.shape(left)[:-1], self._flat.shape(right)[-1])
        tensor = self._flat.tensor(node.output[0], shape, np.float32)
        return self._flat.operator(
            "BATCH_MATMUL", [left, right], tensor, ("BatchMatMulOptions", {})
        )

    def _concat(self, node: onnx.NodeProto) -> int:
        parts = [self._float(name) for name in node.input]
        axis = _attributes(node)["axis"]
        shape = list(self._flat.shape(parts[0]))
        shape[axis] = sum(self._flat.shape(part)[axis] for part in parts)
        tensor = self._flat.tensor(node.output[0], shape, np.float32)
        return self._flat.operator(
            "CONCATENATION", parts, tensor, ("ConcatenationOptions", {"axis": axis})
        )

    def _single(self, node: onnx.NodeProto) -> int:
        """Write an operator of one input, one output and no options."""
        source = self._float(node.input[0])
        tensor = self._flat.tensor(node.output[0], self._flat.shape(source), np.float32)
        return self._flat.operator(node.op_type.upper(), [source], tensor)

    def _norm(self, node: onnx.NodeProto) -> int:
        total = self._squares(node)
        root = self._flat.tensor(f"{node.output[0]}.root", self._flat.shape(total), np.float32)
        return self._flat.operator("SQRT", [total], root)

    def _squares(self, node: onnx.NodeProto) -> int:
        source = self._float(node.input[0])
        name = f"{node.output[0]}.square"
        square = self._flat.tensor(name, self._flat.shape(source), np.float32)
        self._flat.operator("MUL", [source, source], square, ("MulOptions", {}))
        return self._reduce("SUM", square, node)

    def _reduced(self, node: onnx.NodeProto) -> int:
        return self._reduce("REDUCE_MIN", self._float(node.input[0]), node)

    def _reduce(self, op: str, source: int, node: onnx.NodeProto) -> int:
        attributes = _attributes(node)
        axes, kept = list(attributes["axes"]), bool(attributes["keepdims"])
        shape = [
            1 if axis in axes else side
            for axis, side in enumerate(self._flat.shape(source))
            if kept or axis not in axes
        ]
        tensor = self._flat.tensor(node.output[0], shape, np.float32)
        return self._flat.operator(
            op,
            [source, self._flat.constant(np.array(axes, np.int32))],
            tensor,
            ("ReducerOptions", {"keepDims": kept}),
        )


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _same(size: int, stride: int) -> list[int]:
    """Return TensorFlow's "same" padding for an input that is a multiple of the stride."""
    total = max(size - stride, 0)
    return [total // 2] * 2 + [total - total // 2] * 2
