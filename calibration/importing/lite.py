"""A TFLite model being changed: pixels in front, float32 behind, everything between left as it is.

The file is read into the objects of its schema, changed there and written anew; its own
quantization stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from calibration.importing.facts import Normalisation, Sizes
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAMES = {value: name.lower() for name, value in vars(schema.TensorType).items()
          if isinstance(value, int)}  # fmt: skip
_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items()
              if isinstance(value, int)}  # fmt: skip
_VERSIONS = {"DEQUANTIZE": 2, "QUANTIZE": 2}
_FILE_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
_EXACT = 0.5 / 255
"""How far, as a share of its span, a quantized input may be off grey levels and still be them."""

_WEIGHTS = 1024
"""Bytes of a constant above which it is taken for weights."""

PIXELS = "pixels"


class Lite:
    """A TFLite model of one graph.

    Raises:
        UsageError: It is damaged, or has operators that are not LiteRT's own.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._model = schema.ModelT.InitFromPackedBuf(data, 0)
            self._graph = self._model.subgraphs[0]
        except Exception as error:
            raise UsageError(
                "a damaged TFLite model: convert it anew, or fetch it again"
            ) from error
        codes = self._model.operatorCodes or []
        custom = sorted({code.customCode.decode() for code in codes if code.customCode})
        if custom:
            raise UsageError(
                f"the model has custom operators ({', '.join(custom[:5])}), which no engine here "
                "has: convert it with TFLITE_BUILTINS alone, without its own post-processing"
            )

    # --- what it says -----------------------------------------------------------------------------

    @property
    def input(self) -> Sizes:
        """What it takes.

        Raises:
            UsageError: That is not one image of fixed size.
        """
        places = list(self._graph.inputs)
        if len(places) != 1:
            raise UsageError(
                f"the model has {len(places)} inputs; one image is all that a station has: convert "
                "it so that the others are constants"
            )
        tensor = self._graph.tensors[places[0]]
        shape = [int(side) for side in tensor.shape] if tensor.shape is not None else []
        signature = tensor.shapeSignature
        wanted = [int(side) for side in signature] if signature is not None else shape
        free = -1 in wanted[1:]
        kind = _NAMES[tensor.type]
        if len(shape) != 4 or kind not in {"float32", "uint8", "int8"}:
            raise UsageError(
                f"the model's input is {kind} {shape}, not an image that can be fed: convert it "
                "with a float32, uint8 or int8 input of four dimensions"
            )
        if free or shape[0] != 1:
            raise UsageError(
                f"the model's input is {wanted if free else shape}: convert it for one "
                "image of a fixed size (keras.Input((height, width, 3), batch_size=1))"
            )
        last = shape[3] in {1, 3}
        channels = shape[3] if last else shape[1]
        if channels not in {1, 3}:
            raise UsageError(
                f"the model's input is {shape}: a camera gives 1 channel (grey) or 3 (colour)"
            )
        rows, columns = (shape[1], shape[2]) if last else (shape[2], shape[3])
        return Sizes(_text(tensor.name), 1, rows, columns, channels, last, kind)

    @property
    def description(self) -> str:
        """What the file says of itself."""
        return _text(self._model.description)

    @property
    def weights(self) -> str:
        """What its weights are held in: float32, float16, int8, or a mixture."""
        kinds = {
            _NAMES[tensor.type]
            for tensor in self._graph.tensors
            if (data := self._constant(tensor)) is not None and data.size > _WEIGHTS
        }
        return " and ".join(sorted(kinds - {"int32", "int64"})) or "float32"

    def first_step(self) -> tuple[str, npt.NDArray[Any]] | None:
        """Return the first arithmetic with a constant that the input goes through, if any."""
        place = int(self._graph.inputs[0])
        while True:
            readers = [each for each in self._graph.operators if place in list(each.inputs)]
            if len(readers) != 1:
                return None
            name = self._operator(readers[0])
            if name in {"MUL", "ADD", "SUB", "DIV"}:
                other = [each for each in readers[0].inputs if each != place]
                values = self._values(int(other[0])) if other else None
                return (name.title(), values) if values is not None and values.size <= 3 else None
            if name not in {"QUANTIZE", "DEQUANTIZE", "CAST", "RESHAPE", "TRANSPOSE"}:
                return None
            place = int(readers[0].outputs[0])

    def last_operator(self, output: str) -> str:
        """Return the operator that writes an output, behind what only changes its form."""
        place = self._outputs()[output]
        while True:
            writer = next(
                (each for each in self._graph.operators if place in list(each.outputs)), None
            )
            if writer is None:
                return ""
            name = self._operator(writer)
            if name not in {"QUANTIZE", "DEQUANTIZE", "CAST", "RESHAPE"}:
                return name
            place = int(writer.inputs[0])

    # --- what is changed --------------------------------------------------------------------------

    def take_pixels(self, normalisation: Normalisation) -> None:
        """Let it take uint8, channels last, and do the normalisation itself."""
        sizes = self.input
        old = int(self._graph.inputs[0])
        self._model.signatureDefs = None
        direct = self.direct(normalisation)
        if sizes.dtype == "uint8" and (direct or (normalisation.plain and self.span() is None)):
            self._graph.tensors[old].name = PIXELS
            return
        shape = (1, sizes.height or 0, sizes.width or 0, sizes.channels)
        before: list[Any] = []
        if sizes.dtype == "int8" and direct and sizes.last:  # the same grey levels, signed
            scale, zero = self._step(old)
            new = self._tensor(PIXELS, shape, schema.TensorType.UINT8, step=(scale, zero + 128))
            before.append(self._make("QUANTIZE", [new], old))
        else:
            new = self._tensor(PIXELS, shape, schema.TensorType.UINT8, step=(1.0, 0))
            self._float_way(before, new, old, sizes, normalisation)
        self._graph.operators = [*before, *self._graph.operators]
        self._graph.inputs = [new]

    def span(self) -> tuple[float, float] | None:
        """Return the smallest and largest number that a quantized input holds."""
        lowest = {"uint8": 0, "int8": -128}.get(self.input.dtype)
        own = self._graph.tensors[self._graph.inputs[0]].quantization
        if lowest is None or own is None or own.scale is None or len(own.scale) == 0:
            return None
        scale, zero = self._step(int(self._graph.inputs[0]))
        return (lowest - zero) * scale, (lowest + 255 - zero) * scale

    def direct(self, normalisation: Normalisation) -> bool:
        """Tell whether each grey level is, normalised, just the code of its own number."""
        span = self.span()
        if span is None:
            return False
        factor, offset = normalisation.of(self.input.channels)
        half = _EXACT * (span[1] - span[0])
        return all(
            abs(more - span[0]) < half and abs(255 * by + more - span[1]) < half
            for by, more in zip(factor, offset, strict=True)
        )

    def _float_way(
        self, before: list[Any], new: int, old: int, sizes: Sizes, normalisation: Normalisation
    ) -> None:
        """Append to `before` what makes the old input of pixels, by way of float32."""
        shape = (1, sizes.height or 0, sizes.width or 0, sizes.channels)
        steps: list[tuple[str, list[int]]] = [("DEQUANTIZE", [])]
        factor, offset = normalisation.of(sizes.channels)
        for name, row, idle in (("MUL", factor, 1.0), ("ADD", offset, 0.0)):
            if set(row) != {idle}:
                values = np.array(row[:1] if len(set(row)) == 1 else row, np.float32)
                steps.append((name, [self._store(f"{PIXELS}.{name}", values)]))
        if not sizes.last:
            steps.append(("TRANSPOSE", [self._store(f"{PIXELS}.order", _FIRST)]))
        if sizes.dtype != "float32":
            steps.append(("QUANTIZE", []))
        value = new
        for place, (name, more) in enumerate(steps):
            if name == "TRANSPOSE":
                shape = (shape[0], shape[3], shape[1], shape[2])
            target = old
            if place < len(steps) - 1:
                target = self._tensor(f"{PIXELS}.{place}", shape, schema.TensorType.FLOAT32)
            before.append(self._make(name, [value, *more], target))
            value = target

    def give_floats(self, outputs: Mapping[str, str]) -> None:
        """Make some outputs the only ones, float32, under new names.

        Raises:
            UsageError: One is of whole numbers without a step.
        """
        places = self._outputs()
        kept = []
        for old, name in outputs.items():
            place = places[old]
            tensor = self._graph.tensors[place]
            if tensor.type != schema.TensorType.FLOAT32:
                target = self._tensor(name, tensor.shape, schema.TensorType.FLOAT32)
                self._graph.operators.append(self._make("DEQUANTIZE", [place], target))
                tensor.name, place = f"{name}.codes", target
            self._graph.tensors[place].name = name
            kept.append(place)
        self._graph.outputs = kept
        self._model.signatureDefs = None

    def data(self) -> bytes:
        """Return the bytes of the model."""
        builder = _Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), _FILE_IDENTIFIER)
        return bytes(builder.Output())

    # --- the schema -------------------------------------------------------------------------------

    def _outputs(self) -> dict[str, int]:
        return {_text(self._graph.tensors[each].name): int(each) for each in self._graph.outputs}

    def _operator(self, operator: Any) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        return str(_OPERATORS.get(max(code.builtinCode, code.deprecatedBuiltinCode), ""))

    def _step(self, place: int) -> tuple[float, int]:
        """Return scale and zero point of a tensor; 1 and 0 where it has none."""
        own = self._graph.tensors[place].quantization
        if own is None or own.scale is None or len(own.scale) == 0:
            return 1.0, 0
        return float(own.scale[0]), int(own.zeroPoint[0])

    def _constant(self, tensor: Any) -> npt.NDArray[np.uint8] | None:
        data = self._model.buffers[tensor.buffer].data
        return None if data is None or len(data) == 0 else np.asarray(data, np.uint8)

    def _values(self, place: int) -> npt.NDArray[Any] | None:
        """Return a constant in its own numbers, not in codes; None for what is none."""
        for operator in self._graph.operators:  # one in half precision is widened first
            if place in list(operator.outputs) and self._operator(operator) == "DEQUANTIZE":
                place = int(operator.inputs[0])
        tensor = self._graph.tensors[place]
        data, kind = self._constant(tensor), _NAMES[tensor.type]
        if data is None or kind not in {"float32", "float16", "int8", "uint8"}:
            return None
        values: npt.NDArray[Any] = np.frombuffer(data.tobytes(), kind).astype(np.float64)
        own = tensor.quantization
        if own is not None and own.scale is not None and len(own.scale):
            values = (values - float(own.zeroPoint[0])) * float(own.scale[0])
        return values

    def _tensor(
        self, name: str, shape: Sequence[int], kind: int, step: tuple[float, int] | None = None
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name, kind, 0
        tensor.shape = [int(side) for side in shape]
        if step is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([step[0]], np.float32)
            tensor.quantization.zeroPoint = np.array([step[1]], np.int64)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _store(self, name: str, values: npt.NDArray[Any]) -> int:
        kinds = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32}
        place = self._tensor(name, values.shape, kinds[values.dtype.name])
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        self._graph.tensors[place].buffer = len(self._model.buffers) - 1
        return place

    def _make(self, name: str, inputs: Sequence[int], output: int) -> Any:
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(name)
        operator.inputs, operator.outputs = list(inputs), [output]
        options = _OPTIONS.get(name)
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
        return operator

    def _code(self, name: str) -> int:
        wanted, version = getattr(schema.BuiltinOperator, name), _VERSIONS.get(name, 1)
        for place, code in enumerate(self._model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
                code.version = max(code.version, version)
                return place
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = wanted, min(wanted, 127)
        code.version = version
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1


_FIRST = np.array([0, 3, 1, 2], np.int32)
_OPTIONS = {
    "ADD": "AddOptions", "MUL": "MulOptions",
    "QUANTIZE": "QuantizeOptions", "DEQUANTIZE": "DequantizeOptions",
    "TRANSPOSE": "TransposeOptions",
}  # fmt: skip


class _Builder(flatbuffers.Builder):  # type: ignore[misc]  # untyped library
    """A builder that aligns the bytes of buffers, as the schema asks and Python's does not."""

    def StartVector(self, size: int, count: int, alignment: int) -> Any:  # noqa: N802 - as the base class
        """Begin a vector; those of bytes are buffers."""
        return super().StartVector(size, count, _ALIGNMENT if size == 1 else alignment)


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")
