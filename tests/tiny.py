"""Models and bundles so small that a test can make hundreds of them.

The tiny model looks at its picture and gives each pixel's brightest channel as its map (0 to 255):
a dark picture is good, a bright spot is a defect.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from edge_agent.camera.frame import Image
from edge_agent.inspection.spec import Anomaly, Input, Stage, Thresholds
from edge_agent.rollout.bundle import Manifest, Sample

SIDE = 8
SHAPE = (1, SIDE, SIDE, 3)


def tiny_onnx(
    shape: tuple[int | str, ...] = SHAPE,
    *,
    dtype: int = TensorProto.UINT8,
    inputs: int = 1,
    outputs: tuple[str, ...] = ("map",),
    out_dtype: int = TensorProto.FLOAT,
    keepdims: int = 0,
) -> bytes:
    """Make the tiny model as ONNX, or one that is wrong in the way asked for."""
    names = [f"pixels{index}" for index in range(inputs)]
    axes = numpy_helper.from_array(np.array([len(shape) - 1], np.int64), "axes")
    nodes = [
        helper.make_node("Cast", [names[0]], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["cast", "axes"], ["most"], keepdims=keepdims),
        *(helper.make_node("Cast", ["most"], [name], to=out_dtype) for name in outputs),
    ]
    out_shape = (*shape[:-1], 1) if keepdims else shape[:-1]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, dtype, list(shape)) for name in names],
        [helper.make_tensor_value_info(name, out_dtype, list(out_shape)) for name in outputs],
        [axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def fragile_onnx(limit: int = 200) -> bytes:
    """Make the tiny model so that it really fails on a picture with a pixel brighter than that.

    It looks each brightness up in a table that ends at the limit.
    """
    table = numpy_helper.from_array(np.arange(limit + 1, dtype=np.float32), "table")
    axes = numpy_helper.from_array(np.array([3], np.int64), "axes")
    nodes = [
        helper.make_node("Cast", ["pixels"], ["cast"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "cast"], ["looked"]),
        helper.make_node("ReduceMax", ["looked", "axes"], ["map"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "fragile",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, list(SHAPE))],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, list(SHAPE[:3]))],
        [table, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    data: bytes = model.SerializeToString()
    return data


def tiny_tflite(
    shape: tuple[int, ...] = SHAPE, *, dtype: str = "UINT8", out_dtype: str = "FLOAT32"
) -> bytes:
    """Make the tiny model as TFLite, or one that is wrong in the way asked for."""
    model = schema.ModelT()
    model.version, model.description = 3, "tiny"
    axis = np.frombuffer(np.array([len(shape) - 1], np.int32).tobytes(), np.uint8)
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = axis
    tensors = [
        _tensor("pixels", dtype, shape),
        _tensor("cast", out_dtype, shape),
        _tensor("axis", "INT32", (1,), buffer=1),
        _tensor("map", out_dtype, shape[:-1]),
    ]
    cast, reduce = schema.BuiltinOperator.CAST, schema.BuiltinOperator.REDUCE_MAX
    model.operatorCodes = [_code(cast), _code(reduce)]
    options = schema.ReducerOptionsT()
    operators = [_operator(0, [0], [1]), _operator(1, [1, 2], [3])]
    operators[1].builtinOptionsType = schema.BuiltinOptions.ReducerOptions
    operators[1].builtinOptions = options
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = tensors, operators
    graph.inputs, graph.outputs = [0], [3]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, dtype: str, shape: tuple[int, ...], *, buffer: int = 0) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
    tensor.type = getattr(schema.TensorType, dtype)
    return tensor


def _code(builtin: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    return code


def _operator(code: int, inputs: list[int], outputs: list[int]) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
    return operator


def picture(brightest: int) -> Image:
    """Draw a dark picture whose brightest pixel is this bright."""
    image = np.full((SIDE, SIDE, 3), 10, np.uint8)
    image[2, 3] = brightest
    return image


def png(image: Image) -> bytes:
    """Write a picture as PNG."""
    done, data = cv2.imencode(".png", image)
    assert done
    return data.tobytes()


def tiny_manifest(version: str = "1", **changes: Any) -> Manifest:
    """Describe the tiny model: a golden sample that scores 20, a challenge part that scores 250.

    Changes go to the manifest, or to its one stage.
    """
    of_stage = {name: changes.pop(name) for name in Stage.__struct_fields__ if name in changes}
    given: dict[str, Any] = {
        "name": "tiny",
        "version": version,
        "stages": (tiny_stage(**of_stage),),
        "samples": (
            tiny_sample("golden.png", 20.0),
            tiny_sample("challenge.png", 250.0, truth="spot"),
        ),
    }
    return Manifest(**(given | changes))


def tiny_stage(**changes: Any) -> Stage:
    """Describe the one stage of the tiny model."""
    given: dict[str, Any] = {
        "name": "anomaly",
        "task": Anomaly(top=1),
        "models": {"onnx": "model.onnx"},
        "input": Input(height=SIDE, width=SIDE),
        "thresholds": Thresholds(100.0, 200.0),
    }
    return Stage(**(given | changes))


def tiny_sample(file: str, score: float, *, truth: str = "") -> Sample:
    """Describe a sample of the tiny model; its file's name says of which kind it is."""
    kind: Literal["golden", "challenge"] = "golden" if file.startswith("golden") else "challenge"
    return Sample(file=file, kind=kind, scores={"anomaly": score}, truth=truth)


def tiny_files(*, golden: int = 20, challenge: int = 250) -> dict[str, bytes]:
    """Return the members of a tiny bundle; other brightnesses than these fail its self-test."""
    return {
        "model.onnx": tiny_onnx(),
        "golden.png": png(picture(golden)),
        "challenge.png": png(picture(challenge)),
    }
