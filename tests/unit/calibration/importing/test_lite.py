"""TFLite models take pixels and give floats; their own quantization stays."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from calibration.importing.convert import Converted
from calibration.importing.convert_lite import convert
from calibration.importing.facts import PLAIN, UNIT, Given, Normalisation
from calibration.importing.reading import ModelFile
from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings, load_engine
from edge_agent.inspection.spec import Classify
from tests.unit.calibration.importing import made

GOOD = Given(labels=("good", "chip", "dent"))


def _convert(data: bytes, given: Given = GOOD) -> Converted:
    return convert(ModelFile(Path("net.tflite"), "tflite", data, None, "", {}), given)


def _before(data: bytes, numbers: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Feed a model as its library would: numbers, in codes where it takes those."""
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = entry["quantization"]
    codes = np.round(numbers / scale + zero) if scale else numbers
    interpreter.set_tensor(entry["index"], codes.astype(entry["dtype"]))
    interpreter.invoke()
    values = interpreter.get_tensor(result["index"]).astype(np.float64)
    scale, zero = result["quantization"]
    shares: npt.NDArray[np.float64] = (values - zero) * scale if scale else values
    return np.asarray(shares[0], np.float64)


def _after(converted: Converted, seed: int) -> npt.NDArray[np.float32]:
    engine = load_engine("litert", converted.litert, EngineSettings())
    (values,) = engine.run(made.photo(seed, 8)[None]).values()
    assert values.dtype == np.float32
    return np.asarray(values[0], np.float32)


@pytest.mark.parametrize("kind", ["float32", "int8", "uint8"])
def test_pixels_in_give_what_the_library_gives(kind: str) -> None:
    data = made.tflite(kind, first="MUL")
    converted = _convert(data)
    assert converted.reading.normalisation == PLAIN
    assert converted.reading.facts["input"] == kind
    for seed in range(4):
        expected = _before(data, made.photo(seed, 8)[None].astype(np.float64))
        np.testing.assert_allclose(_after(converted, seed), expected, atol=1e-5)


@pytest.mark.parametrize(
    "normalisation",
    [UNIT, Normalisation(scale=1.0, mean=(127.5,), std=(127.5,)),
     Normalisation(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))],
)  # fmt: skip
def test_the_normalisation_given_is_folded_in(normalisation: Normalisation) -> None:
    data = made.tflite()
    given = Given(
        labels=GOOD.labels, scale=normalisation.scale, mean=normalisation.mean,
        std=normalisation.std,
    )  # fmt: skip
    converted = _convert(data, given)
    mean, std = np.array(normalisation.mean), np.array(normalisation.std)
    numbers = (made.photo(2, 8)[None] * normalisation.scale - mean) / std
    np.testing.assert_allclose(_after(converted, 2), _before(data, numbers), atol=1e-5)


def test_pixels_of_another_span_go_through_floats_to_codes() -> None:
    data = made.tflite("int8")
    given = Given(labels=GOOD.labels, scale=0.5)
    numbers = made.photo(3, 8)[None] * 0.5
    np.testing.assert_allclose(_after(_convert(data, given), 3), _before(data, numbers), atol=2e-2)


def test_channels_may_come_first() -> None:
    data = made.tflite(last=False)
    given = Given(labels=GOOD.labels, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    numbers = (made.photo(6, 8) / 255 - np.array(given.mean)) / np.array(given.std)
    expected = _before(data, numbers.transpose(2, 0, 1)[None])
    np.testing.assert_allclose(_after(_convert(data, given), 6), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "step", "expected"),
    [
        ("int8", (1 / 255, -128), UNIT),
        ("int8", (2 / 255, -1), Normalisation(scale=1 / 127.5, mean=(1.0,))),
        ("int8", (1.0, 0), Normalisation(scale=1.0, mean=(128.0,))),
        ("int8", (0.99, -128), PLAIN),
        ("uint8", (1 / 255, 0), PLAIN),
    ],
)
def test_the_span_of_a_quantized_input_tells_its_normalisation(
    kind: str, step: tuple[float, int], expected: Normalisation
) -> None:
    data = made.tflite(kind, step=step)
    converted = _convert(data)
    assert converted.reading.normalisation == expected
    if kind == "int8":
        numbers = made.photo(4, 8)[None] * expected.scale - expected.mean[0]
        np.testing.assert_allclose(_after(converted, 4), _before(data, numbers), atol=2e-2)


def test_a_narrow_span_before_a_rescaling_is_not_fed_with_bare_bytes() -> None:
    data = made.tflite("uint8", first="MUL", step=(0.8, 0))
    converted = _convert(data)
    numbers = np.minimum(made.photo(5, 8)[None].astype(np.float64), 0.8 * 255)
    np.testing.assert_allclose(_after(converted, 5), _before(data, numbers), atol=1e-3)


def test_softmax_is_seen_and_missed() -> None:
    for softmax, activation in ((True, "none"), (False, "softmax")):
        task = _convert(made.tflite(softmax=softmax)).reading.task
        assert isinstance(task, Classify)
        assert task.activation == activation


def test_bytes_need_no_normalisation() -> None:
    given = Given(labels=GOOD.labels, scale=1 / 255)
    reading = _convert(made.tflite("uint8"), given).reading
    assert reading.normalisation == PLAIN
    assert any("pixels as they are: not used" in note for note in reading.notes)


def test_labels_in_the_archive_behind_the_model_are_read() -> None:
    archive = io.BytesIO(made.tflite())
    with zipfile.ZipFile(archive, "a") as behind:
        behind.writestr("labels.txt", "ok\nchip\ndent\n")
    task = _convert(archive.getvalue(), Given()).reading.task
    assert isinstance(task, Classify)
    assert (task.labels, task.good) == (("ok", "chip", "dent"), ("ok",))


def test_what_ultralytics_says_in_the_archive_is_read() -> None:
    said = {"author": "Ultralytics", "task": "classify", "names": {"0": "ok", "1": "a", "2": "b"}}
    archive = io.BytesIO(made.tflite())
    with zipfile.ZipFile(archive, "a") as behind:
        behind.writestr("metadata.json", json.dumps(said))
    reading = _convert(archive.getvalue(), Given()).reading
    assert isinstance(reading.task, Classify)
    assert (reading.source, reading.task.labels) == ("Ultralytics", ("ok", "a", "b"))


def test_equal_models_change_to_equal_bytes() -> None:
    assert _convert(made.tflite("int8")).litert == _convert(made.tflite("int8")).litert


def _edited(**changes: object) -> bytes:
    """A model whose input tensor is another, or whose operator is a custom one."""
    from calibration.importing.lite import Lite  # noqa: PLC0415 - only its writer is used

    lite = Lite(made.tflite())
    graph = lite._graph
    tensor = graph.tensors[graph.inputs[0]]
    for name, value in changes.items():
        if name == "custom":
            lite._model.operatorCodes[0].customCode = value
        elif name == "inputs":
            graph.inputs = [graph.inputs[0], graph.inputs[0]]
        else:
            setattr(tensor, name, value)
    return lite.data()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (_edited(custom="FlexWhere"), r"custom operators \(FlexWhere\).*TFLITE_BUILTINS"),
        (_edited(inputs=2), "2 inputs; one image is all"),
        (_edited(shape=[4, 8, 8, 3]), r"\[4, 8, 8, 3\]: convert it for one image"),
        (_edited(shapeSignature=[1, -1, -1, 3]), r"\[1, -1, -1, 3\]: convert it for one image"),
        (_edited(shape=[1, 8, 8, 5]), "a camera gives 1 channel"),
        (_edited(shape=[1, 192]), "not an image that can be fed"),
        (_edited(type=schema.TensorType.FLOAT16), "float16 .*float32, uint8 or int8 input"),
        (made.tflite()[:200], "damaged|refuses"),
        (made.tflite(classes=4), "3 labels for a model of 4 classes"),
    ],
)
def test_what_cannot_be_fed_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        _convert(data)
