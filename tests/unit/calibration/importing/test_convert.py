"""What a model is, read from the ONNX files that libraries write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from calibration.importing.convert import Converted, convert
from calibration.importing.facts import PLAIN, UNIT, Given, Normalisation
from calibration.importing.reading import ModelFile
from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings, load_engine
from edge_agent.inspection.spec import Anomaly, Classify, Detect, Segment, Thresholds
from tests.unit.calibration.importing import made

GOOD = Given(labels=("good", "chip", "dent"))


def _convert(
    model: onnx.ModelProto, given: Given = GOOD, beside: dict[str, object] | None = None
) -> Converted:
    return convert(ModelFile(Path("net.onnx"), "onnx", b"", model, "", beside or {}), given)


def _run(converted: Converted) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    assert converted.onnx is not None
    engine = load_engine("onnx", converted.onnx.SerializeToString(), EngineSettings())
    return engine.run(made.photo(1)[None])


# --- Ultralytics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["yolo", "end2end"])
def test_a_yolo_detector_says_all_of_itself(layout: str) -> None:
    converted = _convert(made.yolo(layout=layout), Given())
    task, reading = converted.reading.task, converted.reading
    assert isinstance(task, Detect)
    assert (task.labels, task.defects, task.layout) == (("chip", "dent"), ("chip", "dent"), layout)
    assert task.boxes == "pixels"
    assert (reading.source, reading.order, reading.fit) == (
        "Ultralytics 8.4.190", "RGB", "letterbox",
    )  # fmt: skip
    assert reading.normalisation == UNIT
    assert reading.thresholds == Thresholds(0.25, 0.5)
    assert (converted.input.height, converted.input.channels) == (made.SIDE, 3)
    shape = (1, 6, 64) if layout == "yolo" else (1, 64, 6)
    assert {name: value.shape for name, value in _run(converted).items()} == {"output0": shape}


def test_a_yolo_that_takes_any_size_gets_that_of_its_metadata() -> None:
    model = made.yolo(shape=("batch", 3, "height", "width"))
    assert _convert(model, Given()).input.width == made.SIDE
    with pytest.raises(UsageError, match=r"2 inputs|--input 64x64"):
        _convert(made.yolo(), Given(size=(64, 64)))


@pytest.mark.parametrize("layout", ["yolo", "end2end"])
def test_a_yolo_with_masks_keeps_its_prototypes(layout: str) -> None:
    converted = _convert(made.yolo("segment", layout=layout), Given(defects=("dent",)))
    task = converted.reading.task
    assert isinstance(task, Segment)
    assert (task.layout, task.defects) == (layout, ("dent",))
    shapes = sorted(value.shape for value in _run(converted).values())
    assert shapes == [(1, 32, 8, 8), (1, 38, 64) if layout == "yolo" else (1, 64, 38)]


def test_a_yolo_classifier_is_cropped_and_needs_to_know_what_is_good() -> None:
    converted = _convert(made.yolo("classify"), Given(good=("chip",)))
    task = converted.reading.task
    assert isinstance(task, Classify)
    assert (task.good, task.activation, converted.reading.fit) == (("chip",), "none", "crop")
    with pytest.raises(UsageError, match=r"which labels are those of good parts.*chip, dent"):
        _convert(made.yolo("classify"), Given())


def test_what_is_expected_is_no_defect() -> None:
    task = _convert(made.yolo(), Given(expected={"chip": 4})).reading.task
    assert isinstance(task, Detect)
    assert (task.defects, task.expected) == ((), {"chip": 4})


@pytest.mark.parametrize(
    ("model", "given", "text"),
    [
        (made.yolo(task="pose"), Given(), "for 'pose': a station has anomaly, classify"),
        (made.yolo(), Given(task="segment"), "says of itself that its task is detect"),
        (made.yolo(), Given(labels=("a", "b", "c")), "3 labels for a model of 2 classes"),
        (made.yolo(), Given(defects=("crack",)), "--defects crack: none of the model's labels"),
        (made.yolo(), Given(expected={"nut": 1}), "--expect nut: none of the model's labels"),
    ],
)
def test_a_yolo_that_does_not_fit_is_refused(
    model: onnx.ModelProto, given: Given, text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        _convert(model, given)


# --- anomalib ------------------------------------------------------------------------------------


@pytest.mark.parametrize("forked", [True, False])
def test_anomalib_gives_its_raw_values_and_its_threshold(forked: bool) -> None:
    converted = _convert(made.anomalib(threshold=8.0, span=10.0, forked=forked), Given())
    reading = converted.reading
    assert reading.task == Anomaly(1)
    assert reading.outputs == {"raw_map": "map", "raw_score": "score"}
    assert reading.thresholds == Thresholds(review=7.5, ng=8.0)
    assert reading.normalisation == UNIT
    assert converted.input.height == made.SIDE
    outputs = _run(converted)
    assert outputs["map"].shape == (1, 1, made.SIDE, made.SIDE)
    assert outputs["score"].item() == pytest.approx(outputs["map"].max())


def test_scores_around_zero_are_moved_above_it() -> None:
    plain = _run(_convert(made.anomalib(), Given()))
    converted = _convert(made.anomalib(threshold=-3.0, span=2.0), Given())
    assert converted.reading.thresholds == Thresholds(review=1.9, ng=2.0)
    moved = _run(converted)
    assert moved["score"].item() == pytest.approx(plain["score"].item() + 5.0)
    assert moved["map"].max() == pytest.approx(plain["map"].max() + 5.0)


def test_older_anomalib_says_its_threshold_beside_the_model() -> None:
    net = made.Net()
    net.add("Abs", net.conv("images", 3, 1, 3), to="output")
    model = net.model({"output": (TensorProto.FLOAT, (1, 1, made.SIDE, made.SIDE))})
    beside: dict[str, object] = {"image_threshold": 40.0, "min": 10.0, "max": 90.0}
    reading = _convert(model, Given(), beside).reading
    assert reading.outputs == {"output": "map"}
    assert reading.thresholds == Thresholds(review=36.0, ng=40.0)
    assert reading.source == "anomalib"


# --- those that say nothing ----------------------------------------------------------------------


@pytest.mark.parametrize(("softmax", "activation"), [(True, "none"), (False, "softmax")])
def test_a_classifier_is_known_by_its_shape(softmax: bool, activation: str) -> None:
    converted = _convert(made.classifier(softmax=softmax))
    task, reading = converted.reading.task, converted.reading
    assert isinstance(task, Classify)
    assert (task.labels, task.good, task.activation) == (GOOD.labels, ("good",), activation)
    assert reading.source == "pytorch 2.13.0"
    assert any("ImageNet" in note for note in reading.notes)
    assert next(iter(_run(converted).values())).shape == (1, 3)


def test_what_a_person_says_of_normalisation_is_the_whole_of_it() -> None:
    given = Given(labels=GOOD.labels, mean=(127.5,), std=(127.5,))
    reading = _convert(made.classifier(), given).reading
    assert reading.normalisation == Normalisation(scale=1.0, mean=(127.5,), std=(127.5,))
    assert not any("normalisation" in note for note in reading.notes)
    given = Given(labels=GOOD.labels, mean=(0.5,), std=(0.5,))
    assert _convert(made.classifier(), given).reading.normalisation.scale == 1 / 255


def test_a_normalisation_in_the_graph_is_not_done_twice() -> None:
    assert _convert(made.classifier(inside=255.0)).reading.normalisation == PLAIN
    assert _convert(made.classifier(inside=0.25)).reading.normalisation == UNIT


def test_a_grey_model_stays_grey() -> None:
    converted = _convert(made.classifier(depth=1, shape=(1, 1, made.SIDE, made.SIDE)))
    assert (converted.input.order, converted.input.channels) == ("GREY", 1)


def test_labels_in_the_metadata_are_taken_and_numbers_otherwise() -> None:
    own = _convert(made.classifier(meta={"classes": "ok,chip,dent"}), Given()).reading.task
    assert isinstance(own, Classify)
    assert own.good == ("ok",)
    numbered = _convert(made.classifier(), Given(good=("0",))).reading
    assert isinstance(numbered.task, Classify)
    assert numbered.task.labels == ("0", "1", "2")
    assert any("no labels" in note for note in numbered.notes)


def test_one_number_is_two_classes_where_it_is_said_to_be() -> None:
    given = Given(task="classify", labels=("good", "bad"))
    task = _convert(made.classifier(1), given).reading.task
    assert isinstance(task, Classify)
    assert (task.activation, task.good) == ("sigmoid", ("good",))
    with pytest.raises(UsageError, match="may be anomaly or classify: say it with --task"):
        _convert(made.classifier(1), Given())


def test_a_segmentation_takes_the_background_for_good() -> None:
    net = made.Net()
    net.conv("images", 3, 3, 3)
    net.add("Identity", net.conv("images", 3, 3, 3), to="out")
    model = net.model({"out": (TensorProto.FLOAT, None)})
    task = _convert(model, Given(labels=("background", "chip", "dent"))).reading.task
    assert isinstance(task, Segment)
    assert (task.layout, task.defects, task.activation) == (
        "semantic", ("chip", "dent"), "softmax",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Given(labels=("a", "b")), "2 labels for a model of 3 classes"),
        (Given(labels=GOOD.labels, task="detect"), "cannot be read as --task detect"),
        (Given(labels=GOOD.labels, mean=(1.0, 2.0)), "--mean gives 2 numbers; the model has 3"),
        (Given(labels=GOOD.labels, std=(0.0,)), "--std 0: it is divided by"),
        (Given(labels=GOOD.labels, order="GREY"), "--order GREY: the model takes 3 channels"),
        (Given(labels=GOOD.labels, size=(9, 9)), "--input 9x9: the model takes 32x32"),
        (Given(labels=("a", "b", "c"), good=("a", "b", "c")), "which labels are those of good"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(given: Given, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        _convert(made.classifier(), given)


def test_a_model_of_any_size_needs_one() -> None:
    model = made.classifier(shape=("batch", 3, "height", "width"))
    with pytest.raises(UsageError, match=r"any size.*--input HxW"):
        _convert(model)
    given = Given(labels=GOOD.labels, size=(24, 40))
    converted = _convert(model, given)
    assert (converted.input.height, converted.input.width) == (24, 40)


def test_outputs_that_change_their_shape_are_refused() -> None:
    net = made.Net()
    net.add("NonZero", net.add("Round", net.add("Abs", "images")), to="out")
    model = net.model({"out": (TensorProto.INT64, None)})
    with pytest.raises(UsageError, match=r"changes its shape from image to image.*nms=False"):
        _convert(model)


def test_class_numbers_without_scores_are_refused() -> None:
    net = made.Net()
    net.add("ArgMax", net.conv("images", 3, 4, 3), to="out", axis=1, keepdims=0)
    model = net.model({"out": (TensorProto.INT64, None)})
    with pytest.raises(UsageError, match=r"whole numbers.*argmax"):
        _convert(model)


def test_words_that_are_damaged_harm_nothing() -> None:
    data = made.classifier(meta={"names": "['good', 'b', 'c']"}).SerializeToString()
    damaged = onnx.load_model_from_string(data.replace(b"pytorch", b"p\xfftorch"))
    assert _convert(damaged).reading.source == "p\ufffdtorch 2.13.0"
