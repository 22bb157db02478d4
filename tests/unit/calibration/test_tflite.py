"""The TFLite model is the ONNX model in another container."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from calibration import anomaly, features, head
from calibration.commission import Fitted, Good, Plan, inspector
from calibration.tflite import convert
from edge_agent.camera.frame import Image

# Engines round the last bit of a sum in their own ways, and thirty layers carry that on: one
# onnxruntime with and without its optimizations differs as much. A score of a single cell, as that
# of this small map, shows it most.
_MAP_TOLERANCE = 0.1
_SCORE_TOLERANCE = 0.15


def test_both_engines_see_the_same_map(
    plan: Plan, fitted: Fitted, draw: Callable[..., Image]
) -> None:
    one, two = (inspector(plan, fitted, engine) for engine in ("onnx", "litert"))
    for seed in range(6):
        image = draw(100 + seed, spot_px=12 if seed % 2 else 0)
        a, b = one.inspect(image), two.inspect(image)
        assert a.map is not None
        assert b.map is not None
        assert a.map.shape == b.map.shape == (6, 6)
        error = float(np.sqrt(((a.map - b.map) ** 2).mean() / (a.map**2).mean()))
        assert error < _MAP_TOLERANCE
        assert b.score == pytest.approx(a.score, rel=_SCORE_TOLERANCE)


def test_buffers_are_aligned_as_the_schema_asks(fitted: Fitted) -> None:
    data = fitted.models["litert"]
    start = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    model = schema.Model.GetRootAsModel(data, 0)
    filled = [
        buffer.DataAsNumpy().__array_interface__["data"][0] - start
        for buffer in map(model.Buffers, range(model.BuffersLength()))
        if buffer.DataLength()
    ]
    assert len(filled) > 50
    assert {offset % 16 for offset in filled} == {0}


def test_the_same_graph_gives_the_same_bytes(plan: Plan, good: Good) -> None:
    trunk = features.load_trunk(plan.input.height, plan.input.width)
    model = head.attach(trunk, anomaly.fit(good.material, (1.0, 0.1), dims=8))
    assert convert(model) == convert(model)


def test_an_operator_that_we_do_not_write_is_refused() -> None:
    helper = onnx.helper
    pixels = helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, [1, 32, 32, 3])
    result = helper.make_tensor_value_info("map", onnx.TensorProto.FLOAT, [1, 32, 32, 3])
    constants = [
        onnx.numpy_helper.from_array(np.float32(0.5), "scale"),
        onnx.numpy_helper.from_array(np.uint8(0), "zero"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "scale", "zero"], ["x"]),
        helper.make_node("Erf", ["x"], ["map"]),
    ]
    graph = helper.make_graph(nodes, "odd", [pixels], [result], constants)
    with pytest.raises(ValueError, match="operator Erf is not one that we write"):
        convert(helper.make_model(graph))
