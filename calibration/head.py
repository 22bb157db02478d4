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

    The fine tap's averaging is folded into its projection, the fp16 statistics are cast when the
    model is loaded, so that nothing runs that a fitted head does not need.

    Returns:
        A model with the one output `map`, float32 (1, H / 16, W / 16).
    """
    dims = trunk.graph.input[0].type.tensor_type.shape.dim
    rows, columns = dims[1].dim_value // STEP, dims[2].dim_value // STEP
    cells, depth = head.mean.shape
    fine = head.projection.shape[0] - _depth(trunk, COARSE)
    graph = Graph("anomaly")
    graph.absorb(trunk)
    weight = np.repeat(head.projection[:fine].T[:, :, None], 4, axis=2) / 4
    near = graph.node(
        "Conv",
        FINE,
        graph.constant(weight.reshape(depth, fine, 2, 2)),
        kernel_shape=[2, 2],
        strides=[2, 2],
    )
    far = graph.node(
        "Conv", COARSE, graph.constant(head.projection[fine:].T[:, :, None, None].copy()),
        kernel_shape=[1, 1],
    )  # fmt: skip
    both = graph.node("Transpose", graph.node("Add", near, far), perm=[0, 2, 3, 1])
    shape = graph.constant(np.array([cells, 1, depth], np.int64))
    away = graph.node(
        "Sub", graph.node("Reshape", both, shape), graph.constant(head.mean[:, None, :])
    )
    whitening = graph.cast(graph.constant(head.whitening), np.float32)
    turned = graph.node("MatMul", away, whitening)
    distance = graph.node("ReduceL2", turned, axes=[2], keepdims=0)
    graph.node("Reshape", distance, graph.constant(np.array([1, rows, columns], np.int64)), to=MAP)
    graph.output(MAP, (1, rows, columns))
    return graph.model()


def _depth(trunk: onnx.ModelProto, tap: str) -> int:
    """Return how many channels a tap has."""
    depths = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value for value in trunk.graph.output
    }
    return int(depths[tap])
