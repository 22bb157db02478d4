"""The int8 trunk computes what the float trunk computes, nearly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from calibration.features import load_trunk, trunk_file
from edge_agent.camera.frame import Image
from edge_agent.inspection.engines import EngineSettings, Outputs, load_engine
from models import int8, lite0
from models.lite0 import DEPTHS, Layer
from models.pictures import pictures
from models.weights import package_weights, read_weights

_SIZE = 128


@pytest.fixture(scope="module")
def network() -> list[Layer]:
    return lite0.layers(read_weights(package_weights()))


@pytest.fixture(scope="module")
def fresh() -> list[Image]:
    return list(pictures(6, _SIZE, seed=77))


def _run(model: bytes, images: list[Image]) -> list[Outputs]:
    engine = load_engine("onnx", model, EngineSettings())
    return [engine.run(image[None]) for image in images]


def _sqnr_db(wanted: list[npt.NDArray[np.float32]], got: list[npt.NDArray[np.float32]]) -> float:
    signal = sum(float((a**2).sum()) for a in wanted)
    noise = sum(float(((a - b) ** 2).sum()) for a, b in zip(wanted, got, strict=True))
    return float(10 * np.log10(signal / noise))


def _float_bytes(network: list[Layer]) -> bytes:
    model = lite0.float_graph(network)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_value = dims[2].dim_value = _SIZE
    return bytes(model.SerializeToString())


def test_the_shipped_trunk_is_within_its_noise(network: list[Layer], fresh: list[Image]) -> None:
    wanted = _run(_float_bytes(network), fresh)
    got = _run(load_trunk(_SIZE, _SIZE).SerializeToString(), fresh)
    for tap, depth in DEPTHS.items():
        assert wanted[0][tap].shape[1] == depth
        assert _sqnr_db([each[tap] for each in wanted], [each[tap] for each in got]) > 17.0


def test_quantizing_again_reaches_the_same_noise(network: list[Layer], fresh: list[Image]) -> None:
    quantized = int8.quantize(network, pictures(6, _SIZE, seed=1))
    model = int8.int8_graph(network, quantized)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_value = dims[2].dim_value = _SIZE
    wanted = _run(_float_bytes(network), fresh)
    got = _run(model.SerializeToString(), fresh)
    for tap in DEPTHS:
        assert _sqnr_db([each[tap] for each in wanted], [each[tap] for each in got]) > 14.0


def test_the_float_trunk_agrees_with_its_batch_statistics(network: list[Layer]) -> None:
    # Folding is right if what the layers see has the variance that training saw: sums of a
    # normalised layer then have the standard deviation of its gain, near enough for pictures
    # that the network was not trained on.
    weights = read_weights(package_weights())
    model = lite0.float_graph(network)
    model.graph.output.add().name = "stage2.expand.sums"
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_value = dims[2].dim_value = _SIZE
    outputs = _run(model.SerializeToString(), list(pictures(8, _SIZE, seed=5)))
    seen = np.concatenate([each["stage2.expand.sums"] for each in outputs]).std(axis=(0, 2, 3))
    gain = np.abs(weights["_blocks.4._bn0.weight"])
    assert 0.5 < float(np.median(seen / gain)) < 2.0


def test_channels_are_bgr(network: list[Layer]) -> None:
    weights = read_weights(package_weights())
    stem = network[0].weight
    plain = weights["_conv_stem.weight"]
    gain = weights["_bn0.weight"] / np.sqrt(weights["_bn0.running_var"] + 1e-3)
    np.testing.assert_allclose(stem[:, 0], plain[:, 2] * gain[:, None, None], rtol=1e-5)


def test_no_pair_of_weights_can_saturate_sixteen_bits() -> None:
    model = load_trunk(_SIZE, _SIZE)
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    codes = {
        node.output[0]: constants[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    checked = 0
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in codes:
            weight = codes[node.input[1]].astype(np.int32)
            assert weight.min() >= -127
            if weight.shape[2] == 1:
                sums = [np.clip(weight, 0, None), np.clip(weight, None, 0)]
                pairs = [each[:, ::2] + each[:, 1::2] for each in sums]
                assert pairs[0].max() * 255 <= 2**15 - 1
                assert pairs[1].min() * 255 >= -(2**15)
                checked += 1
    assert checked == 21


def test_pictures_are_the_same_for_a_seed_and_reach_both_ends() -> None:
    first, again, other = (list(pictures(3, 64, seed=seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])
    assert (first[0].min(), first[0].max()) == (0, 255)


def test_the_shipped_float_trunk_is_the_float_trunk(
    network: list[Layer], fresh: list[Image]
) -> None:
    shipped = load_trunk(_SIZE, _SIZE, path=trunk_file().with_name("lite0_float.onnx"))
    wanted = _run(_float_bytes(network), fresh)
    got = _run(shipped.SerializeToString(), fresh)
    for tap in DEPTHS:
        assert _sqnr_db([each[tap] for each in wanted], [each[tap] for each in got]) > 40.0
