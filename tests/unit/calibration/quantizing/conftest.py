"""Small networks with random weights, in the forms in which real exports have them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from calibration.graph import Graph

Pixels = list[npt.NDArray[np.uint8]]


@pytest.fixture
def images() -> Pixels:
    """Twelve pictures with structure, uint8 (1, 32, 32, 3)."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:32, :32] / 32.0
    found = []
    for _ in range(12):
        waves = [
            np.sin(2 * np.pi * (rng.uniform(0, 3) * rows + rng.uniform(0, 3) * columns))
            for _ in range(3)
        ]
        picture = 128 + 90 * np.stack(waves, axis=2) + rng.normal(0, 10, (32, 32, 3))
        found.append(np.clip(picture, 0, 255).astype(np.uint8)[None])
    return found


class Net:
    """Writes networks for tests."""

    def __init__(self) -> None:
        self.graph = Graph("net")
        self._rng = np.random.default_rng(1)

    def pixels(self) -> str:
        self.graph.input("image", (1, 32, 32, 3), np.uint8)
        planes = self.graph.node("Transpose", "image", perm=[0, 3, 1, 2])
        values = self.graph.cast(planes, np.float32)
        return self.graph.node("Div", values, self.graph.constant(np.float32(255)))

    def weights(self, *shape: int, gain: float = 1.0) -> str:
        spread = gain / np.sqrt(np.prod(shape[1:]))
        return self.graph.constant(self._rng.normal(0, spread, shape).astype(np.float32))

    def conv(
        self, source: str, depth: tuple[int, int], *, size: int = 3, groups: int = 1,
        stride: int = 1, gain: float = 1.4, to: str = "",
    ) -> str:  # fmt: skip
        weight = self.weights(depth[1], depth[0] // groups, size, size, gain=gain)
        bias = self.graph.constant(self._rng.normal(0, 0.1, depth[1]).astype(np.float32))
        pad = size // 2
        return self.graph.node(
            "Conv", source, weight, bias, kernel_shape=[size, size], pads=[pad] * 4,
            strides=[stride, stride], group=groups, to=to,
        )  # fmt: skip

    def silu(self, source: str) -> str:
        return self.graph.node("Mul", source, self.graph.node("Sigmoid", source))

    def relu6(self, source: str) -> str:
        limits = [self.graph.constant(np.float32(limit)) for limit in (0, 6)]
        return self.graph.node("Clip", source, *limits)


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def classifier(net: Net) -> onnx.ModelProto:
    """A classifier: convolutions of all kinds, a skip, a pool, a matrix and a softmax."""
    graph = net.graph
    first = net.relu6(net.conv(net.pixels(), (3, 16), stride=2, to="stem"))
    deep = net.relu6(net.conv(first, (16, 16), groups=16, to="depthwise"))
    wide = net.conv(deep, (16, 16), size=1, to="project")
    both = graph.node("Relu", graph.node("Add", wide, first))
    last = graph.node("Relu", net.conv(both, (16, 32), groups=2, to="grouped"))
    pooled = graph.node("Flatten", graph.node("GlobalAveragePool", last))
    bias = graph.constant(np.zeros(4, np.float32))
    logits = graph.node("Gemm", pooled, net.weights(4, 32, gain=4.0), bias, transB=1, to="logits")
    graph.node("Softmax", logits, to="shares")
    graph.output("shares", (1, 4))
    return graph.model()


@pytest.fixture
def detector(net: Net) -> onnx.ModelProto:
    """A detector in the manner of YOLO: SiLU, split and concat, two scales, boxes and scores."""
    graph = net.graph
    first = net.silu(net.conv(net.pixels(), (3, 16), stride=2, to="stem"))
    left, right = f"{first}.left", f"{first}.right"
    halves = graph.constant(np.array([8, 8], np.int64))
    split = onnx.helper.make_node("Split", [first, halves], [left, right], name="split", axis=1)
    graph._nodes.append(split)
    more = net.silu(net.conv(right, (8, 8), to="bottleneck"))
    joined = graph.node("Concat", left, right, more, axis=1)
    fine = net.silu(net.conv(joined, (24, 16), size=1, to="fine"))
    coarse = graph.node("MaxPool", fine, kernel_shape=[2, 2], strides=[2, 2], to="pool")
    scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
    up = graph.node("Resize", net.silu(net.conv(coarse, (16, 16), to="neck")), "", scales,
                    mode="nearest", to="up")  # fmt: skip
    both = graph.node("Concat", up, fine, axis=1)
    boxes = net.conv(both, (32, 4), size=1, gain=30.0, to="boxes")
    scores = graph.node("Sigmoid", net.conv(both, (32, 3), size=1, to="scores"))
    away = graph.node("Mul", graph.node("Exp", graph.node("Tanh", boxes)),
                      graph.constant(np.float32(32)))  # fmt: skip
    shape = graph.constant(np.array([1, -1, 256], np.int64))
    flat = [graph.node("Reshape", each, shape) for each in (away, scores)]
    graph.node("Concat", *flat, axis=1, to="found")
    graph.output("found", (1, 7, 256))
    return graph.model()


Run = Callable[[onnx.ModelProto, Pixels], list[npt.NDArray[np.float32]]]


@pytest.fixture
def run() -> Run:
    """Run a model as an engine would, and give its first output."""

    def results(model: onnx.ModelProto, pixels: Pixels) -> list[npt.NDArray[np.float32]]:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        return [session.run(None, {name: each})[0] for each in pixels]

    return results
