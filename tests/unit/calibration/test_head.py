"""The graph works out what the head works out, on both engines."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from calibration import anomaly, features, head, memory, whole
from calibration.anomaly import Head
from calibration.projection import Floats
from calibration.tflite import convert
from edge_agent.inspection.engines import EngineSettings, Outputs, load_engine

_SHAPES = [(4, 4), (4, 6), (3, 8)]
_FINE, _COARSE = 5, 9


def _head(cells: int, channels: int, *, dims: int, size: int, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    examples = rng.normal(2, 3, (cells, size, dims)).astype(np.float16)
    turn = rng.normal(0, 0.3, (2 * channels, 2 * channels)).astype(np.float32)
    centre = np.abs(rng.normal(1, 1, 2 * channels)).astype(np.float32)
    projection = rng.normal(0, 0.5, (channels, dims)).astype(np.float32)
    return Head(projection, examples, whole.Whole(centre, turn), near=0.7, far=0.05)


def _trunk(rows: int, columns: int) -> onnx.ModelProto:
    """Make a trunk of two taps that only averages, from pixels that are read as 0 to 1."""
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "scale", "zero"], ["read"]),
        helper.make_node("Transpose", ["read"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "fine"], [features.FINE], kernel_shape=[8, 8],
                         strides=[8, 8]),
        helper.make_node("Conv", ["planes", "coarse"], [features.COARSE], kernel_shape=[16, 16],
                         strides=[16, 16]),
    ]  # fmt: skip
    rng = np.random.default_rng(6)
    constants = {
        "scale": np.float32(1 / 255), "zero": np.uint8(0),
        "fine": rng.normal(0, 0.2, (_FINE, 3, 8, 8)).astype(np.float32),
        "coarse": rng.normal(0, 0.1, (_COARSE, 3, 16, 16)).astype(np.float32),
    }  # fmt: skip
    pixels = [1, 16 * rows, 16 * columns, 3]
    taps = {
        features.FINE: [1, _FINE, 2 * rows, 2 * columns],
        features.COARSE: [1, _COARSE, rows, columns],
    }
    graph = helper.make_graph(
        nodes,
        "trunk",
        [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, pixels)],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in taps.items()
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _run(
    engine: str, model: bytes, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> Outputs:
    loaded = load_engine(engine, model, EngineSettings())
    outputs = {name: value.copy() for name, value in loaded.run(image[None]).items()}
    loaded.close()
    return outputs


def _image(rows: int, columns: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (16 * rows, 16 * columns, 3)).astype(np.uint8)


@pytest.mark.parametrize(("rows", "columns"), _SHAPES)
@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_the_graph_gives_the_map_of_the_head(rows: int, columns: int, engine: str) -> None:
    fitted = _head(rows * columns, _FINE + _COARSE, dims=6, size=10)
    trunk = _trunk(rows, columns)
    graph = head.attach(trunk, fitted)
    model = graph.SerializeToString() if engine == "onnx" else convert(graph)
    for seed in range(3):
        image = _image(rows, columns, seed)
        taps = _run("onnx", trunk.SerializeToString(), image)
        seen = features.cells(taps[features.FINE], taps[features.COARSE])
        wanted = fitted.map(seen[None]).reshape(rows, columns)
        found = _run(engine, model, image)[head.MAP].reshape(rows, columns)
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)


def test_both_engines_give_the_same_map_of_a_random_head_behind_the_trunk() -> None:
    rows, columns = 4, 6
    fitted = _head(rows * columns, 152, dims=16, size=32)
    graph = head.attach(features.load_trunk(16 * rows, 16 * columns), fitted)
    image = _image(rows, columns, 3)
    one = _run("onnx", graph.SerializeToString(), image)[head.MAP]
    two = _run("litert", convert(graph), image)[head.MAP]
    assert one.shape == two.shape == (1, rows, columns)
    np.testing.assert_allclose(one, two, rtol=0.05)


def test_an_example_itself_is_at_no_distance() -> None:
    # The squared distance is a difference of large numbers: it may come out below 0, never as NaN.
    rows, columns = 4, 4
    trunk = _trunk(rows, columns)
    taps = _run("onnx", trunk.SerializeToString(), _image(rows, columns, 0))
    seen = features.cells(taps[features.FINE], taps[features.COARSE])
    fitted = _head(16, _FINE + _COARSE, dims=4, size=3)
    near = 40 * seen @ fitted.projection  # large, so that rounding shows
    fitted = Head(
        40 * fitted.projection,
        np.repeat(near[:, None], 3, axis=1).astype(np.float16),
        fitted.whole, near=1.0, far=0.0,
    )  # fmt: skip
    model = head.attach(trunk, fitted).SerializeToString()
    found = _run("onnx", model, _image(rows, columns, 0))[head.MAP]
    assert np.isfinite(found).all()
    assert found.max() < 0.01 * float(np.abs(near).max())


def test_a_fitted_head_keeps_what_it_weighs_small() -> None:
    rng = np.random.default_rng(0)
    seen: Floats = rng.normal(3, 1, (30, 24, 152)).astype(np.float32)
    fitted = anomaly.fit(anomaly.Material.of(seen, 4), (1.0, 0.1))
    graph = head.attach(features.load_trunk(64, 96), fitted)
    trunk = features.load_trunk(64, 96)
    examples = 24 * memory.SIZE * anomaly.DIMS * 2
    whole_bytes = (2 * 152) ** 2 * 4
    more = len(graph.SerializeToString()) - len(trunk.SerializeToString())
    assert more < 1.1 * (examples + whole_bytes) + 152 * anomaly.DIMS * 4 + 20_000
