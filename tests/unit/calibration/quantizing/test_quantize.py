"""Any float model in eight bits: right, the same each time, and honest about what it lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from calibration.quantizing.quantize import Options, quantize
from edge_agent.errors import UsageError

Pixels = list[npt.NDArray[np.uint8]]
Run = Callable[[onnx.ModelProto, Pixels], list[npt.NDArray[np.float32]]]

_QUICK = Options(always=False)


def _sqnr_db(wanted: list[npt.NDArray[np.float32]], got: list[npt.NDArray[np.float32]]) -> float:
    one, two = np.stack(wanted).astype(np.float64), np.stack(got).astype(np.float64)
    return float(10 * np.log10(np.square(one - one.mean()).sum() / np.square(one - two).sum()))


def _ops(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_a_classifier_keeps_its_shares(
    classifier: onnx.ModelProto, images: Pixels, run: Run
) -> None:
    result = quantize(classifier, images, options=_QUICK)
    onnx.checker.check_model(result.model)
    wanted, got = run(classifier, images), run(result.model, images)
    assert _sqnr_db(wanted, got) > 20.0
    assert [int(a.argmax()) for a in wanted] == [int(a.argmax()) for a in got]
    assert result.model.ByteSize() < 0.8 * classifier.ByteSize()


def test_a_detector_keeps_boxes_and_scores_in_float_after_the_last_layers(
    detector: onnx.ModelProto, images: Pixels, run: Run
) -> None:
    result = quantize(detector, images, options=_QUICK)
    wanted, got = run(detector, images), run(result.model, images)
    boxes = [[each[:, :4] for each in some] for some in (wanted, got)]
    scores = [[each[:, 4:] for each in some] for some in (wanted, got)]
    assert _sqnr_db(*boxes) > 18.0
    assert _sqnr_db(*scores) > 18.0
    # The boxes reach 32 e, the scores 1: one step for both would leave nothing of the scores.
    producer = {name: node for node in result.model.graph.node for name in node.output}
    found = producer["found"]
    assert found.op_type == "Concat"
    assert all(producer[name].op_type == "Reshape" for name in found.input)


def test_most_of_the_detector_runs_in_eight_bits(
    detector: onnx.ModelProto, images: Pixels, tmp_path: object
) -> None:
    result = quantize(detector, images, options=Options(target_db=0.0, always=False))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = f"{tmp_path}/seen.onnx"
    options.log_severity_level = 4
    onnxruntime.InferenceSession(
        result.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    ops = _ops(onnx.load_model(options.optimized_model_filepath))
    assert ops["QLinearConv"] == 6
    assert ops["Conv"] + ops["FusedConv"] == 0
    assert ops["QLinearConcat"] == 2
    assert ops["QLinearMul"] == 4


def test_the_same_inputs_give_the_same_bytes(detector: onnx.ModelProto, images: Pixels) -> None:
    first, again = (quantize(detector, iter(images), options=_QUICK) for _ in range(2))
    assert first.model.SerializeToString(deterministic=True) == again.model.SerializeToString(
        deterministic=True
    )


def test_each_layer_is_measured_alone(classifier: onnx.ModelProto, images: Pixels) -> None:
    result = quantize(classifier, images)
    assert [layer.name for layer in result.layers] == [
        "stem", "depthwise", "project", "grouped", "logits"
    ]  # fmt: skip
    alone = [layer.alone_db for layer in result.layers if layer.alone_db is not None]
    assert len(alone) == 5
    assert min(alone) > result.all_int8_db - 1.0  # one alone is no worse than all together
    assert sum(layer.share for layer in result.layers) == pytest.approx(1.0)


def _spoil(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Give a layer a channel that is far larger than the others: no step serves its output."""
    spoiled = onnx.ModelProto()
    spoiled.CopyFrom(model)
    node = next(each for each in spoiled.graph.node if each.name == name)
    weight = next(each for each in spoiled.graph.initializer if each.name == node.input[1])
    values = numpy_helper.to_array(weight).copy()
    values[0] *= 3000
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    follower = next(each for each in spoiled.graph.node if each.name == "grouped")
    after = next(each for each in spoiled.graph.initializer if each.name == follower.input[1])
    values = numpy_helper.to_array(after).copy()
    values[:, 0] /= 3000
    after.CopyFrom(numpy_helper.from_array(values, after.name))
    return spoiled


def test_the_worst_layers_stay_in_float_and_really_do(
    classifier: onnx.ModelProto, images: Pixels, run: Run
) -> None:
    # ONNX Runtime quantizes a convolution between codes by itself, and worse: `Min` keeps it off.
    spoiled = _spoil(classifier, "project")
    every = quantize(spoiled, images, options=Options(target_db=-100.0, always=False))
    result = quantize(spoiled, images, options=Options(target_db=20.0, most_float=0.9))
    assert every.kept_float == ()
    assert every.sqnr_db < 15.0
    assert result.kept_float
    assert result.sqnr_db > every.sqnr_db + 5.0
    assert any("stay in float" in note for note in result.notes)
    wanted = run(spoiled, images)
    assert _sqnr_db(wanted, run(result.model, images)) > _sqnr_db(wanted, run(every.model, images))


def test_what_was_not_reached_is_said(classifier: onnx.ModelProto, images: Pixels) -> None:
    result = quantize(classifier, images, options=Options(target_db=90.0, most_float=0.0))
    assert any("90 dB were wanted" in note for note in result.notes)


def test_black_and_white_are_not_clipped(
    classifier: onnx.ModelProto, images: Pixels, run: Run
) -> None:
    dull = [(each // 4 + 60).astype(np.uint8) for each in images]
    result = quantize(classifier, dull, options=Options(target_db=-100.0, always=False))
    scales = {t.name: float(numpy_helper.to_array(t)) for t in result.model.graph.initializer
              if t.name.endswith(".scale") and not t.dims}  # fmt: skip
    pixels = next(iter(scales.values()))
    assert pixels * 255 == pytest.approx(1.0, rel=0.01)


def _with(model: onnx.ModelProto, change: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    change(changed)
    return changed


def _second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(onnx.helper.make_tensor_value_info("mask", 1, [1]))


def _old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 6


def _half(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float16), "half"))


def _unknown(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Conjure"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_second_input, "2 inputs"),
        (_old_opset, "opset 6"),
        (_half, "half precision"),
        (_unknown, "cannot be loaded"),
    ],
)
def test_what_cannot_be_quantized_is_refused_with_the_reason(
    classifier: onnx.ModelProto,
    images: Pixels,
    change: Callable[[onnx.ModelProto], None],
    words: str,
) -> None:
    with pytest.raises(UsageError, match=words):
        quantize(_with(classifier, change), images)


def test_a_quantized_model_is_refused(classifier: onnx.ModelProto, images: Pixels) -> None:
    with pytest.raises(UsageError, match="quantized already"):
        quantize(quantize(classifier, images, options=_QUICK).model, images)


def test_no_inputs_are_refused(classifier: onnx.ModelProto) -> None:
    with pytest.raises(UsageError, match="none were given"):
        quantize(classifier, [])
