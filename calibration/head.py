"""Put a fitted head behind the trunk, into one ONNX graph from pixels to map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration.features import COARSE, FINE, STEP
from calibration.graph import Graph

if TYPE_CHECKING:
    import onnx

    from calibration.anomaly import Head

MAP = "map"


def attach(trunk: onnx.ModelProto, head: Head) -> onnx.ModelProto:
    """Append the head to a trunk of fixed input size.

    The examples are kept in half precision, and cast when the model is loaded. Of the distance to
    an example, |p - e|^2 = |p|^2 + (|e|^2 - 2 p e), only the bracket is worked out for each: what a
    fitted head does not need does not run.

    Returns:
        A model with the one output `map`, float32 (1, H / 16, W / 16).
    """
    dims = trunk.graph.input[0].type.tensor_type.shape.dim
    rows, columns = dims[1].dim_value // STEP, dims[2].dim_value // STEP
    graph = Graph("anomaly")
    graph.absorb(trunk)
    seen = _features(graph, rows * columns, _depth(trunk, FINE), _depth(trunk, COARSE))
    near = _nearest(graph, seen, head)
    far = _whole(graph, seen, head)
    both = graph.node("Add", near, far)
    graph.node("Reshape", both, graph.constant(np.array([1, rows, columns], np.int64)), to=MAP)
    graph.output(MAP, (1, rows, columns))
    return graph.model()


def _features(graph: Graph, cells: int, fine: int, coarse: int) -> str:
    """Bring both taps to the coarse grid: (cells, channels); see `calibration.features.cells`."""
    pooled = graph.node(
        "Conv", FINE, graph.constant(np.full((fine, 1, 2, 2), 0.25, np.float32)),
        kernel_shape=[2, 2], strides=[2, 2], group=fine,
    )  # fmt: skip
    laid = [graph.node("Transpose", tap, perm=[0, 2, 3, 1]) for tap in (pooled, COARSE)]
    both = graph.node("Concat", *laid, axis=3)
    shape = graph.constant(np.array([cells, fine + coarse], np.int64))
    return graph.node("Reshape", both, shape)


def _nearest(graph: Graph, seen: str, head: Head) -> str:
    """Return the distance of each cell to the nearest of its examples: (cells, 1)."""
    cells, _, depth = head.examples.shape
    projected = graph.node("MatMul", seen, graph.constant(head.projection))
    length = graph.node("ReduceSumSquare", projected, axes=[1], keepdims=1)
    shape = graph.constant(np.array([cells, 1, depth], np.int64))
    stacked = graph.node("Reshape", projected, shape)
    kept = head.examples.astype(np.float32)
    doubled = np.ascontiguousarray((-2 * kept).transpose(0, 2, 1)).astype(np.float16)
    cross = graph.node("MatMul", stacked, graph.cast(graph.constant(doubled), np.float32))
    lengths = graph.constant(np.square(kept).sum(axis=2)[:, None])
    closest = graph.node("ReduceMin", graph.node("Add", cross, lengths), axes=[2], keepdims=0)
    away = graph.node("Relu", graph.node("Add", closest, length))
    looked = np.ones(cells) if head.looked is None else head.looked
    weight = (looked[:, None] * head.near / np.sqrt(depth)).astype(np.float32)
    return graph.node("Mul", graph.node("Sqrt", away), graph.constant(weight))


def _whole(graph: Graph, seen: str, head: Head) -> str:
    """Return the distance of the part as a whole: (1, 1)."""
    looked = np.ones(len(head.examples)) if head.looked is None else head.looked
    share = graph.constant((looked / looked.sum()).astype(np.float32)[None])
    mean = graph.node("MatMul", share, seen)
    away = graph.node("Sub", seen, mean)
    variance = graph.node("MatMul", share, graph.node("Mul", away, away))
    told = graph.node("Concat", mean, graph.node("Sqrt", variance), axis=1)
    centred = graph.node("Sub", told, graph.constant(head.whole.centre[None]))
    turn = (head.whole.turn * np.float32(head.far)).astype(np.float32)
    turned = graph.node("MatMul", centred, graph.constant(turn))
    return graph.node("ReduceL2", turned, axes=[1], keepdims=1)


def _depth(trunk: onnx.ModelProto, tap: str) -> int:
    """Return how many channels a tap has."""
    depths = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value for value in trunk.graph.output
    }
    return int(depths[tap])
