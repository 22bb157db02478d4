"""Change an ONNX graph: read it, fold what is constant, let it take the camera's pixels.

Nothing here knows a library: what is to be done is told by the values of `facts`.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from calibration.importing.facts import Normalisation, Sizes
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx

PIXELS = "pixels"
"""Name of the input of every imported model."""

_STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_FLOATS = {1: "float32", 10: "float16", 11: "float64"}
_DTYPES = _FLOATS | {2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool"}


# --- what a graph says ---------------------------------------------------------------------------


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return what the exporter wrote of the model, by key."""
    return {text_of(each.key): text_of(each.value) for each in model.metadata_props}


def maker_of(model: onnx.ModelProto) -> str:
    """Return what wrote a model, with its version."""
    name, version = text_of(model.producer_name), text_of(model.producer_version)
    return f"{name or 'unknown'} {version}".strip()


def text_of(value: str | bytes) -> str:
    """Return a text of a model as such: where it is damaged its library gives bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def dtype_of(value: onnx.ValueInfoProto) -> str:
    """Return the name of the numbers of an input or output."""
    return _DTYPES.get(value.type.tensor_type.elem_type, "unknown numbers")


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Return the shape of an input or output; None for a side that is not fixed."""
    sides = value.type.tensor_type.shape.dim
    return tuple(side.dim_value if side.dim_value > 0 else None for side in sides)


def check_operators(model: onnx.ModelProto) -> None:
    """Refuse operators that only the maker's own runtime has.

    Raises:
        UsageError: There are some.
    """
    own = {(function.domain, function.name) for function in model.functions}
    custom = sorted(
        {
            f"{node.domain}::{node.op_type}"
            for node in nodes_of(model.graph)
            if node.domain not in _STANDARD and (node.domain, node.op_type) not in own
        }
    )
    if custom:
        raise UsageError(
            f"the model has custom operators ({', '.join(custom[:5])}), which no engine here has: "
            "export it with standard ONNX operators alone"
        )


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Give the nodes of a graph, and of those inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(inner)


def input_of(model: onnx.ModelProto) -> Sizes:
    """Return what the model takes.

    Raises:
        UsageError: It has several inputs, or one that is no image.
    """
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in known]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise UsageError(
            f"the model has {len(inputs)} inputs ({names}); one image is all that a station has: "
            "export it so that the others are constants"
        )
    value = inputs[0]
    shape, dtype = shape_of(value), dtype_of(value)
    if len(shape) != 4 or dtype not in {"float32", "float16", "float64", "uint8"}:
        raise UsageError(
            f"the model's input {value.name!r} is {dtype} {_show(shape)}, not an image: it must be "
            "float or uint8 of four dimensions (batch, channels, height, width, or channels last)"
        )
    last = shape[1] not in {1, 3} and shape[3] in {1, 3}
    channels = shape[3] if last else shape[1]
    if channels not in {1, 3}:
        raise UsageError(
            f"the model's input {value.name!r} is {_show(shape)}: a camera gives 1 channel (grey) "
            "or 3 (colour): export a model of 1 or 3 fixed channels"
        )
    rows, columns = (shape[1], shape[2]) if last else (shape[2], shape[3])
    return Sizes(value.name, shape[0], rows, columns, channels, last, dtype)


def constants(model: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
    """Return the small constants of a graph, by name."""
    from onnx import numpy_helper  # noqa: PLC0415 - heavy

    found = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if int(np.prod(tensor.dims)) <= 4096
    }
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    found[node.output[0]] = numpy_helper.to_array(attribute.t)
    return found


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return the node that writes each tensor."""
    return {name: node for node in model.graph.node for name in node.output if name}


# --- runs ----------------------------------------------------------------------------------------


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold what is constant, leave out what does nothing, and work the shapes out.

    Raises:
        UsageError: ONNX Runtime cannot load or run the model.
    """
    import onnx  # noqa: PLC0415 - heavy
    import onnxruntime as ort  # noqa: PLC0415 - heavy

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="edge-import-") as folder:
        options.optimized_model_filepath = f"{folder}/model.onnx"
        session = open_session(model, options)
        run(session, noise(session, 0))
        del session
        simple = onnx.load(options.optimized_model_filepath)
    domains = {node.domain for node in nodes_of(simple.graph)}
    kept = [each for each in simple.opset_import if each.domain in domains | {""}]
    del simple.opset_import[:]
    simple.opset_import.extend(kept)
    for place, node in enumerate(simple.graph.node):
        node.name = f"{node.op_type}_{place}"
    return simple


def open_session(model: onnx.ModelProto, options: Any = None) -> Any:
    """Load a model.

    Raises:
        UsageError: ONNX Runtime refuses it.
    """
    import onnxruntime as ort  # noqa: PLC0415 - heavy

    if options is None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
    try:
        return ort.InferenceSession(
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # else it prints what it refuses, and tries the same again
        )
    except Exception as error:  # its errors share no base class
        raise UsageError(f"ONNX Runtime refuses the model: {_line(error)}") from error


def noise(session: Any, seed: int) -> npt.NDArray[Any]:
    """Return a picture of noise, as a model takes it."""
    entry = session.get_inputs()[0]
    rng = np.random.default_rng(seed)
    if "uint8" in entry.type:
        return np.asarray(rng.integers(0, 256, entry.shape, np.uint8))
    kinds = {"tensor(float16)": "float16", "tensor(double)": "float64"}
    return np.asarray(rng.random(entry.shape), kinds.get(entry.type, "float32"))


def run(session: Any, pixels: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Run a model once.

    Raises:
        UsageError: It fails.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        values = session.run(names, {session.get_inputs()[0].name: pixels})
    except Exception as error:  # as above
        raise UsageError(f"the model fails when it runs: {_line(error)}") from error
    return dict(zip(names, values, strict=True))


# --- pixels --------------------------------------------------------------------------------------


def take_pixels(model: onnx.ModelProto, normalisation: Normalisation) -> int:
    """Put in front of a graph of fixed size what makes its input of a camera's pixels.

    Returns:
        How many images the graph looks at in one run; each is the same one.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - heavy

    sizes = input_of(model)
    assert sizes.batch, "the graph was fixed"
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    if not sizes.last:
        steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
    if sizes.dtype != "uint8":
        steps.append(("Cast", [], {"to": TensorProto.FLOAT}))
        factor, offset = normalisation.of(sizes.channels)
        for op, row, idle in (("Mul", factor, 1.0), ("Add", offset, 0.0)):
            if set(row) == {idle}:
                continue
            values = np.asarray(row[:1] if len(set(row)) == 1 else row, np.float32)
            shaped = values.reshape((-1,) if sizes.last else (-1, 1, 1))
            model.graph.initializer.append(numpy_helper.from_array(shaped, f"edge.{op}.by"))
            steps.append((op, [f"edge.{op}.by"], {}))
    if sizes.dtype in {"float16", "float64"}:
        own = {"float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE}
        steps.append(("Cast", [], {"to": own[sizes.dtype]}))
    name, nodes = PIXELS, []
    if sizes.batch > 1:
        steps.append(("Concat", [], {"axis": 0}))
    for place, (op, more, attributes) in enumerate(steps):
        read = [name] * sizes.batch if op == "Concat" else [name, *more]
        name = f"edge.{place}"
        nodes.append(helper.make_node(op, read, [name], name=f"edge.{place}.{op}", **attributes))
    _prepend(model, sizes, nodes, name)
    return sizes.batch


def _prepend(model: onnx.ModelProto, sizes: Sizes, nodes: list[onnx.NodeProto], name: str) -> None:
    """Put nodes before all others; what read the old input reads `name`."""
    from onnx import TensorProto, helper  # noqa: PLC0415 - heavy

    for node in model.graph.node:
        for place, read in enumerate(node.input):
            if read == sizes.name:
                node.input[place] = name
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    shape = (1, sizes.height, sizes.width, sizes.channels)
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, shape))


def append(model: onnx.ModelProto, op: str, inputs: Sequence[str], **attributes: Any) -> str:
    """Append a node and return the name of what it writes."""
    from onnx import helper  # noqa: PLC0415 - heavy

    name = f"edge.{op}.{len(model.graph.node)}"
    model.graph.node.append(helper.make_node(op, inputs, [name], name=name, **attributes))
    return name


def constant(model: onnx.ModelProto, value: npt.ArrayLike) -> str:
    """Store a constant and return its name."""
    from onnx import numpy_helper  # noqa: PLC0415 - heavy

    name = f"edge.constant.{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def _show(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('?' if side is None else str(side) for side in shape)}]"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:240]
