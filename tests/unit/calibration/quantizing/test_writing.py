"""A written graph says what runs in eight bits, and the runtime does that and no more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from calibration.quantizing import quantize
from calibration.quantizing.network import Network
from calibration.quantizing.observing import observe
from calibration.quantizing.prepare import prepare
from calibration.quantizing.writing import Codes, Scheme, Step, write

Pixels = list[npt.NDArray[np.uint8]]
Known = tuple[Network, dict[str, Step], dict[str, Codes]]


@pytest.fixture
def known(classifier: onnx.ModelProto, images: Pixels) -> Known:
    network = Network(prepare(classifier))
    seen = observe(network, images)
    codes = {name: quantize._codes(layer, seen) for name, layer in network.layers.items()}
    return network, quantize._steps(network, seen), codes


def _optimized(model: onnx.ModelProto, folder: object) -> onnx.ModelProto:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = f"{folder}/optimized.onnx"
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return onnx.load_model(options.optimized_model_filepath)


@pytest.mark.parametrize("layer", ["depthwise", "project", "grouped"])
def test_the_runtime_leaves_a_float_layer_between_codes_alone(
    known: Known, layer: str, tmp_path: object
) -> None:
    network, steps, codes = known
    model = _optimized(write(network, Scheme(network, [layer]), steps, codes).model, tmp_path)
    constants = {tensor.name for tensor in model.graph.initializer}
    plain = [node for node in model.graph.node if node.op_type in {"Conv", "FusedConv"}]
    assert len(plain) == 1
    assert plain[0].input[1] in constants  # its float weights, not weights out of codes


def test_a_clip_that_a_range_stands_for_is_gone(known: Known) -> None:
    network, steps, codes = known
    ops = [node.op_type for node in write(network, Scheme(network), steps, codes).model.graph.node]
    assert "Clip" not in ops
    assert "Relu" not in ops


def test_with_every_layer_in_float_nothing_is_changed(known: Known, images: Pixels) -> None:
    network, steps, codes = known
    written = write(network, Scheme(network, network.layers), steps, codes).model
    assert not [node for node in written.graph.node if node.op_type == "QuantizeLinear"]
    runs = [
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"])
        for each in (network.model, written)
    ]
    one, two = (run.run(None, {"image": images[0]})[0] for run in runs)
    np.testing.assert_array_equal(one, two)


def test_the_sums_of_a_layer_can_be_looked_at(known: Known) -> None:
    network, steps, codes = known
    written = write(network, Scheme(network), steps, codes)
    made = {name for node in written.model.graph.node for name in node.output}
    assert set(written.sums) == set(network.layers)
    assert set(written.sums.values()) <= made
