"""A graph is read as layers; what only decodes or smooths is none of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnx
import pytest

from calibration.graph import Graph
from calibration.quantizing.network import Network
from calibration.quantizing.prepare import prepare
from calibration.quantizing.writing import Scheme, Step


class Writer(Protocol):
    graph: Graph

    def pixels(self) -> str: ...
    def weights(self, *shape: int, gain: float = 1.0) -> str: ...
    def conv(self, source: str, depth: tuple[int, int], *, size: int = 3, to: str = "") -> str: ...
    def silu(self, source: str) -> str: ...
    def relu6(self, source: str) -> str: ...


def _read(net: Writer, *outputs: str) -> Network:
    for name in outputs:
        net.graph.output(name, (1, None, None, None))
    return Network(prepare(net.graph.model()))


def test_layers_stand_in_their_order_and_the_edge_is_what_the_tail_reads(
    detector: onnx.ModelProto,
) -> None:
    network = Network(prepare(detector))
    assert [name for name in network.nodes if name in network.layers] == list(network.layers)
    assert len(network.layers) == 6
    assert network.edge() == ["boxes", "scores"]


def test_weights_on_shares_decode_and_are_no_layer(net: Writer) -> None:
    # As YOLOv8 has it: a distribution over distances, and a convolution that takes its mean.
    sums = net.conv(net.pixels(), (3, 16), to="boxes")
    shares = net.graph.node("Softmax", sums, axis=1)
    steps = net.graph.constant(np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1))
    net.graph.node("Conv", shares, steps, kernel_shape=[1, 1], to="mean")
    network = _read(net, "mean")
    assert list(network.layers) == ["boxes"]
    assert network.edge() == ["boxes"]


def test_smoothing_a_map_is_no_layer(net: Writer) -> None:
    sums = net.conv(net.pixels(), (3, 1), to="map")
    blur = net.graph.constant(np.full((1, 1, 5, 5), 0.04, np.float32))
    net.graph.node("Conv", sums, blur, kernel_shape=[5, 5], to="smooth")
    assert list(_read(net, "smooth").layers) == ["map"]


def test_a_gate_ends_the_range_of_what_it_alone_reads(net: Writer) -> None:
    first = net.conv(net.pixels(), (3, 8), to="gated")
    second = net.conv(net.silu(first), (8, 8), to="shared")
    both = net.graph.node("Add", net.silu(second), second)
    net.conv(both, (8, 2), to="last")
    assert _read(net, "last").gates() == {"gated": -8.0}


def test_what_moves_values_shares_their_step(detector: onnx.ModelProto) -> None:
    network = Network(prepare(detector))
    groups = Scheme(network).groups()
    split = next(node for node in network.nodes.values() if node.op_type == "Split")
    assert len({groups[name] for name in (split.input[0], *split.output)}) == 1
    pool = network.nodes["pool"]
    assert groups[pool.output[0]] == groups[pool.input[0]]


def test_a_layer_in_float_takes_its_activation_with_it(detector: onnx.ModelProto) -> None:
    network = Network(prepare(detector))
    neck = next(name for name in network.layers if "neck" in name)
    every, without = Scheme(network), Scheme(network, [neck])
    gone = {network.nodes[name].op_type for name in every.chosen - without.chosen}
    assert {"Conv", "Sigmoid", "Mul"} <= gone


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(0.0, 6.0, 0), (-1.0, 1.0, 127), (2.0, 4.0, 0), (-4.0, -2.0, 255)]
)
def test_steps_hold_zero_exactly(low: float, high: float, zero: int) -> None:
    step = Step.over(low, high)
    assert step.zero == zero
    assert step.scale * (255 - step.zero) >= max(high, 0) - step.scale
    assert -step.scale * step.zero <= min(low, 0) + step.scale
