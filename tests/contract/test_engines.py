"""One suite over all engines: what `edge_agent.inspection.engines` promises."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from edge_agent.errors import EngineError
from edge_agent.inspection.engines import (
    ENGINES,
    FORMATS,
    Engine,
    EngineSettings,
    Pixels,
    check_input,
    check_output,
    load_engine,
    options_of,
    version_of,
)
from edge_agent.inspection.spec import Anomaly
from edge_agent.inspection.tasks.anomaly import AnomalyInspector
from edge_agent.rollout.bundle import Bundle, read_bundle
from tests.tiny import SHAPE, tiny_onnx, tiny_tflite

NAMES = [name for name in ENGINES if name != "openvino" or importlib.util.find_spec("openvino")]
TINY: dict[str, Callable[[], bytes]] = {
    "onnx": tiny_onnx, "litert": tiny_tflite, "openvino": tiny_onnx,
}  # fmt: skip


@pytest.fixture(scope="module")
def reference(simulated_bundle: Path) -> Bundle:
    return read_bundle(simulated_bundle)


@pytest.fixture(params=NAMES)
def tiny(request: pytest.FixtureRequest) -> Engine:
    return load_engine(request.param, TINY[request.param](), EngineSettings())


def noise(shape: tuple[int, ...], seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def reference_engine(bundle: Bundle, name: str, threads: int = 1) -> Engine:
    model = bundle.files[bundle.manifest.stages[0].models[FORMATS[name]]]
    return load_engine(name, model, EngineSettings(threads=threads))


def test_a_model_is_loaded_from_bytes_and_gives_float32_by_name(tiny: Engine) -> None:
    pixels = noise(SHAPE)
    outputs = tiny.run(pixels)
    assert tiny.name in NAMES
    assert tiny.input_shape == SHAPE
    assert list(outputs) == ["map"]
    assert outputs["map"].dtype == np.float32
    np.testing.assert_array_equal(outputs["map"], pixels.max(axis=3))


def test_the_input_is_neither_changed_nor_kept(tiny: Engine) -> None:
    pixels = noise(SHAPE)
    before = pixels.copy()
    first = tiny.run(pixels)["map"]
    kept = first.copy()
    np.testing.assert_array_equal(pixels, before)
    pixels[:] = 0
    np.testing.assert_array_equal(tiny.run(before)["map"], kept)
    np.testing.assert_array_equal(tiny.run(pixels)["map"], np.zeros(SHAPE[:3]))
    np.testing.assert_array_equal(first, kept)  # outputs of before stay as they were


def test_a_read_only_input_is_taken(tiny: Engine) -> None:
    pixels = noise(SHAPE)
    pixels.flags.writeable = False
    assert tiny.run(pixels)["map"].max() > 0


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 8, 9, 3), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros(SHAPE, np.float32),
        np.zeros(SHAPE, np.int8),
    ],
    ids=["size", "batch", "rank", "float", "int8"],
)
def test_a_wrong_input_is_refused_and_the_engine_lives_on(tiny: Engine, pixels: Pixels) -> None:
    with pytest.raises(EngineError, match=f"engine {tiny.name}: ") as caught:
        tiny.run(pixels)
    assert "\n" not in str(caught.value)
    assert tiny.run(noise(SHAPE))["map"].shape == SHAPE[:3]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "model",
    [b"", b"x", b"TFL3", bytes(1000), b"\x1c\x00\x00\x00TFL3" + bytes(200), bytes(range(256)) * 9],
    ids=["empty", "letter", "magic", "zeros", "hollow", "garbage"],
)
def test_bytes_that_are_no_model_are_refused(name: str, model: bytes) -> None:
    with pytest.raises(EngineError, match=f"engine {name}: ") as caught:
        load_engine(name, model, EngineSettings())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_model_that_was_cut_short_is_refused(name: str, share: float) -> None:
    model = TINY[name]()
    with pytest.raises(EngineError, match=f"engine {name}: "):
        load_engine(name, model[: int(len(model) * share)], EngineSettings())


@pytest.mark.parametrize("name", NAMES)
def test_the_other_engines_model_is_refused(name: str) -> None:
    other = next(each for each in NAMES if FORMATS[each] != FORMATS[name])
    with pytest.raises(EngineError, match=f"engine {name}: refuses the model"):
        load_engine(name, TINY[other](), EngineSettings())


@pytest.mark.parametrize(
    "model",
    [
        tiny_onnx(dtype=TensorProto.FLOAT),
        tiny_onnx(dtype=TensorProto.INT8),
        tiny_onnx((1, "height", "width", 3)),
        tiny_onnx((2, 8, 8, 3)),
        tiny_onnx((8, 8, 3)),
        tiny_onnx(out_dtype=TensorProto.UINT8),
        tiny_onnx(out_dtype=TensorProto.DOUBLE),
    ],
    ids=["float", "int8", "free", "batch", "rank", "uint8-out", "double-out"],
)
@pytest.mark.parametrize("name", [name for name in NAMES if FORMATS[name] == "onnx"])
def test_an_onnx_model_that_does_not_fit_is_refused(name: str, model: bytes) -> None:
    with pytest.raises(EngineError, match=f"engine {name}: the model"):
        load_engine(name, model, EngineSettings())


def test_a_model_with_two_inputs_is_refused() -> None:  # OpenVINO drops one that nothing reads
    with pytest.raises(EngineError, match="engine onnx: the model has 2 inputs"):
        load_engine("onnx", tiny_onnx(inputs=2), EngineSettings())


@pytest.mark.parametrize(
    "model",
    [
        tiny_tflite(dtype="FLOAT32"),
        tiny_tflite(dtype="INT8"),
        tiny_tflite((2, 8, 8, 3)),
        tiny_tflite((8, 8, 3)),
        tiny_tflite(out_dtype="INT32"),
    ],
    ids=["float", "int8", "batch", "rank", "int-out"],
)
def test_a_tflite_model_that_does_not_fit_is_refused(model: bytes) -> None:
    with pytest.raises(EngineError, match="engine litert: the model"):
        load_engine("litert", model, EngineSettings())


def test_shapes_and_types_are_checked_by_one_rule() -> None:
    assert check_input("x", (1, 2, 3, 3), "tensor(uint8)") == (1, 2, 3, 3)
    check_output("x", "map", "float32")
    for shape in ((1, 2, 3), (1, 2, 3, 3, 1), (1, None, 3, 3), (1, -1, 3, 3), (0, 2, 3, 3)):
        with pytest.raises(EngineError, match=r"uint8 \[1, height, width, channels\]"):
            check_input("x", shape, "uint8")
    with pytest.raises(EngineError, match="'map' is int8, not float32"):
        check_output("x", "map", "int8")


def test_an_engine_that_does_not_exist_is_named() -> None:
    with pytest.raises(EngineError, match="engine 'tpu': unknown; there are onnx, litert"):
        load_engine("tpu", b"", EngineSettings())


_PACKAGES = (
    "onnxruntime", "ai_edge_litert.interpreter", "tflite_runtime.interpreter", "openvino",
)  # fmt: skip


def test_an_engine_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in _PACKAGES:
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    for module in ENGINES.values():
        monkeypatch.delitem(sys.modules, module, raising=False)
    for name in ENGINES:
        with pytest.raises(EngineError, match=f"engine {name}: not installed"):
            load_engine(name, TINY[name](), EngineSettings())
        with pytest.raises(EngineError, match=f"engine {name}: not installed"):
            version_of(name)
    monkeypatch.undo()
    assert importlib.import_module(ENGINES["onnx"]).NAME == "onnx"


def test_close_may_be_called_and_another_can_be_loaded(tiny: Engine) -> None:
    tiny.close()
    again = load_engine(tiny.name, TINY[tiny.name](), EngineSettings())
    assert again.run(noise(SHAPE))["map"].shape == SHAPE[:3]


# --- the model that ships ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_option_gives_the_same_map_within_a_little(reference: Bundle, name: str) -> None:
    pixels = noise((1, 256, 256, 3))
    model = reference.files[reference.manifest.stages[0].models[FORMATS[name]]]
    maps = []
    for option in options_of(name):
        engine = load_engine(name, model, EngineSettings(), option=option)
        maps.append(engine.run(pixels)["map"])
        engine.close()
    for each in maps:
        np.testing.assert_allclose(each, maps[0], rtol=0.0, atol=0.3)  # of 15 at its largest
    with pytest.raises(EngineError, match=f"engine {name}: option 'fast': unknown; there are"):
        load_engine(name, model, EngineSettings(), option="fast")


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_says_its_version(name: str) -> None:
    assert any(letter.isdigit() for letter in version_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_more_threads_give_the_same_map(reference: Bundle, name: str) -> None:
    one, two = reference_engine(reference, name), reference_engine(reference, name, threads=2)
    pixels = noise(one.input_shape)
    np.testing.assert_allclose(one.run(pixels)["map"], two.run(pixels)["map"], rtol=0.0, atol=1e-3)
    one.close()
    two.close()


def test_engines_give_the_same_scores_within_the_bundles_tolerance(reference: Bundle) -> None:
    manifest = reference.manifest
    task, spec = manifest.stages[0].task, manifest.stages[0].input
    assert isinstance(task, Anomaly)
    inspectors = [AnomalyInspector(reference_engine(reference, name), spec, task) for name in NAMES]
    for sample in manifest.samples:
        image = reference.image(sample)
        scores = [inspector.inspect(image).score for inspector in inspectors]
        reach = manifest.tolerance * manifest.thresholds["anomaly"].ng
        assert max(scores) - min(scores) <= reach
        assert scores == pytest.approx([sample.scores["anomaly"]] * len(NAMES), abs=reach)
