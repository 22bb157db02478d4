"""The changed graph gives for pixels what the old one gave for what it was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from calibration.importing import outputs, sizing, surgery
from calibration.importing.facts import IMAGENET, PLAIN, UNIT, Normalisation
from edge_agent.errors import UsageError
from tests.unit.calibration.importing import made


def _run(model: onnx.ModelProto, pixels: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[npt.NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: pixels})
    return outputs


def _changed(
    model: onnx.ModelProto, normalisation: Normalisation, kept: dict[str, str]
) -> onnx.ModelProto:
    fixed = sizing.fix(model, surgery.input_of(model), (made.SIDE, made.SIDE))
    repeated = surgery.take_pixels(fixed, normalisation)
    outputs.keep_outputs(fixed, kept, repeated=repeated)
    return surgery.simplify(fixed)


@pytest.mark.parametrize(
    "normalisation", [UNIT, PLAIN, IMAGENET, Normalisation(scale=1.0, mean=(127.5,), std=(127.5,))]
)
@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_pixels_in_give_what_normalised_floats_gave(
    normalisation: Normalisation, batch: int | str
) -> None:
    model = made.classifier(shape=(batch, 3, made.SIDE, made.SIDE))
    changed = _changed(model, normalisation, {"logits": "probabilities"})
    pixels = made.photo(1)[None]
    mean, std = (np.array(row, np.float64) for row in (normalisation.mean, normalisation.std))
    floats = (pixels * normalisation.scale - mean) / std
    count = batch if isinstance(batch, int) else 1
    floats = np.repeat(floats.transpose(0, 3, 1, 2), count, axis=0).astype(np.float32)
    (before,) = _run(model, floats)
    (after,) = _run(changed, pixels)
    assert after.shape == (1, 3)
    np.testing.assert_allclose(after, before[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ([2, 3, made.SIDE * made.SIDE], 1),  # begins with the batch, and may begin with 1
        ([6, made.SIDE * made.SIDE], 2),  # the batch is in a product
    ],
)
def test_a_batch_that_is_baked_in_becomes_one_only_where_that_changes_nothing(
    shape: list[int], count: int
) -> None:
    net = made.Net((2, 3, made.SIDE, made.SIDE))
    rows = net.add("Reshape", "images", net.constant(np.array(shape, np.int64)))
    means = net.add("ReduceMean", rows, axes=[-1], keepdims=0)
    back = net.constant(np.array([2, -1], np.int64))
    net.add(
        "Reshape", net.add("Expand", means, net.constant(np.array([1], np.int64))), back, to="means"
    )
    model = net.model({"means": (TensorProto.FLOAT, None)})
    fixed = sizing.fix(model, surgery.input_of(model), (made.SIDE, made.SIDE))
    assert surgery.take_pixels(fixed, PLAIN) == count
    outputs.keep_outputs(fixed, {"means": "means"}, repeated=count)
    pixels = made.photo(2)[None]
    (after,) = _run(surgery.simplify(fixed), pixels)
    floats = np.repeat(pixels.transpose(0, 3, 1, 2), 2, axis=0).astype(np.float32)
    (before,) = _run(model, floats)
    np.testing.assert_allclose(after, before[:1], rtol=1e-4)


def test_half_precision_comes_out_as_float32() -> None:
    net = made.Net((1, 3, made.SIDE, made.SIDE), TensorProto.FLOAT16)
    net.add("ReduceMean", "images", to="means", axes=[2, 3], keepdims=0)
    model = net.model({"means": (TensorProto.FLOAT16, (1, 3))})
    changed = _changed(model, UNIT, {"means": "means"})
    (after,) = _run(changed, made.photo(3)[None])
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, made.photo(3).mean(axis=(0, 1))[None] / 255, atol=2e-3)


def test_channels_may_come_last_and_pixels_may_be_bytes_already() -> None:
    for kind in (TensorProto.UINT8, TensorProto.FLOAT):
        net = made.Net((None, made.SIDE, made.SIDE, 3), kind)
        cast = helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT)
        net.take(cast)
        net.add("ReduceMean", "floats", to="means", axes=[1, 2], keepdims=0)
        model = net.model({"means": (TensorProto.FLOAT, (None, 3))})
        assert surgery.input_of(model).last
        (after,) = _run(_changed(model, PLAIN, {"means": "means"}), made.photo(5)[None])
        np.testing.assert_allclose(after, made.photo(5).mean(axis=(0, 1))[None], rtol=1e-4)


def test_unread_outputs_are_cut_off_and_their_weights_with_them() -> None:
    model = made.anomalib()
    changed = _changed(model, UNIT, {"raw_score": "score"})
    assert [output.name for output in changed.graph.output] == ["score"]
    assert "Where" not in {node.op_type for node in changed.graph.node}


def test_an_output_may_take_the_name_of_a_tensor_inside() -> None:
    model = made.anomalib()
    changed = _changed(model, UNIT, {"raw_map": "raw_score", "raw_score": "map"})
    pixels = made.photo(4)[None]
    raw = dict(zip((o.name for o in changed.graph.output), _run(changed, pixels), strict=True))
    assert raw["map"] == pytest.approx(raw["raw_score"].max())


def test_equal_models_change_to_equal_bytes() -> None:
    one, two = (
        _changed(made.classifier(), IMAGENET, {"logits": "p"}).SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert one == two


def test_custom_operators_are_refused_by_name() -> None:
    net = made.Net()
    net.domains.append(helper.make_opsetid("maker.own", 1))
    net.add("Magic", "images", to="out", domain="maker.own")
    with pytest.raises(UsageError, match=r"custom operators \(maker.own::Magic\).*standard"):
        surgery.check_operators(net.model({"out": (TensorProto.FLOAT, (1, 2))}))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 4, 32, 32), r"\[1, 4, 32, 32\]: a camera gives 1 channel"),
        ((1, None, None, None), r"\[1, \?, \?, \?\]: a camera gives 1 channel"),
        ((3, 32, 32), "not an image: it must be float or uint8 of four dimensions"),
        ((1, 16), "not an image"),
    ],
)
def test_inputs_that_are_no_camera_image_are_refused(shape: made.Shape, text: str) -> None:
    model = made.Net(shape).model({"images": (TensorProto.FLOAT, shape)})
    with pytest.raises(UsageError, match=text):
        surgery.input_of(model)


def test_two_inputs_are_refused_by_name() -> None:
    model = made.classifier()
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1, 2]))
    with pytest.raises(UsageError, match=r"2 inputs \(images, scale\).*others are constants"):
        surgery.input_of(model)


def test_a_size_that_does_not_fit_is_refused_with_the_way_out() -> None:
    net = made.Net((1, 3, None, None))
    rows = net.constant(np.array([1, 3 * 32 * 32], np.int64))
    net.add("Reshape", "images", rows, to="out")
    model = net.model({"out": (TensorProto.FLOAT, (1, 3072))})
    with pytest.raises(UsageError, match=r"images of 24 x 24 .*--input HxW"):
        sizing.fix(model, surgery.input_of(model), (24, 24))


def test_a_model_that_the_runtime_refuses_is_refused_with_its_reason() -> None:
    model = made.classifier(shape=(1, 3, made.SIDE, made.SIDE))
    model.opset_import[0].version = 99
    with pytest.raises(UsageError, match=r"ONNX Runtime refuses the model: .*opset from 13 to 21"):
        sizing.fix(model, surgery.input_of(model), (made.SIDE, made.SIDE))
