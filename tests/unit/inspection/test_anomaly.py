"""The anomaly task: what the model sees is the camera's own pixels, cropped and resized."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.roi import Roi
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import EngineSettings, Outputs, Pixels, load_engine
from edge_agent.inspection.spec import Anomaly, Input
from edge_agent.inspection.tasks.anomaly import AnomalyInspector
from tests.tiny import SHAPE, SIDE, picture, tiny_onnx

WHOLE = Input(height=SIDE, width=SIDE)


class Glass:
    """An engine that keeps a copy of what it was shown, and answers with what it was given."""

    name = "glass"
    input_shape = SHAPE

    def __init__(self, outputs: Outputs | None = None) -> None:
        self.seen: list[Pixels] = []
        self.buffers: set[int] = set()
        self.outputs = outputs or {"map": np.ones((1, 4, 4), np.float32)}
        self.is_closed = False

    def run(self, pixels: Pixels) -> Outputs:
        self.seen.append(pixels.copy())
        self.buffers.add(pixels.ctypes.data)
        return self.outputs

    def close(self) -> None:
        self.is_closed = True


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)


def score_of(values: list[float], top: int) -> float:
    side = math.isqrt(len(values))
    anomaly_map = np.array(values, np.float32).reshape(1, side, side)
    return (
        AnomalyInspector(Glass({"map": anomaly_map}), WHOLE, Anomaly(top))
        .inspect(noise(8, 8))
        .score
    )


def test_the_model_sees_the_cameras_own_pixels() -> None:
    engine = Glass()
    image = noise(SIDE, SIDE, 3)
    AnomalyInspector(engine, WHOLE, Anomaly(1)).inspect(image)
    np.testing.assert_array_equal(engine.seen[0][0], image)


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((480, 640, 3), cv2.INTER_AREA),
        ((12, 10, 3), cv2.INTER_LINEAR),
        ((3, 5, 3), cv2.INTER_LINEAR),
    ],
)
def test_the_region_is_cropped_and_resized_and_nothing_else(
    shape: tuple[int, ...], how: int
) -> None:
    engine, image = Glass(), noise(*shape)
    roi = Roi(0.2, 0.25, 0.6, 0.5)
    AnomalyInspector(engine, Input(height=SIDE, width=SIDE, roi=roi), Anomaly(1)).inspect(image)
    expected = cv2.resize(roi.crop(image), (SIDE, SIDE), interpolation=how)
    np.testing.assert_array_equal(engine.seen[0][0], expected)


def test_a_grey_image_has_three_equal_channels() -> None:
    engine, image = Glass(), noise(SIDE, SIDE)
    AnomalyInspector(engine, WHOLE, Anomaly(1)).inspect(image)
    np.testing.assert_array_equal(engine.seen[0][0], np.dstack([image] * 3))


def test_one_buffer_serves_every_part_and_the_image_is_not_changed() -> None:
    engine = Glass()
    inspector = AnomalyInspector(engine, WHOLE, Anomaly(1))
    images = [noise(20, 30, 3), noise(SIDE, SIDE, 3), noise(9, 9), noise(SIDE, SIDE)]
    before = [image.copy() for image in images]
    for image in images:
        inspector.inspect(image)
    assert len(engine.buffers) == 1
    for image, copy in zip(images, before, strict=True):
        np.testing.assert_array_equal(image, copy)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0), np.uint8),
        np.zeros((8, 0, 3), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8), np.uint16),
        np.zeros((8, 8, 3), np.float32),
    ],
    ids=["none", "empty", "one", "alpha", "16-bit", "float"],
)
def test_an_image_that_cannot_be_looked_at_never_gets_the_score_of_the_part_before(
    image: Pixels,
) -> None:
    inspector = AnomalyInspector(
        load_engine("onnx", tiny_onnx(), EngineSettings()), WHOLE, Anomaly(1)
    )
    assert inspector.inspect(picture(20)).score == 20.0
    with pytest.raises(EngineError, match="cannot be looked at"):
        inspector.inspect(image)
    assert inspector.inspect(picture(250)).score == 250.0


def test_the_score_is_the_mean_of_the_largest_values() -> None:
    values = [float(value) for value in range(16)]
    assert score_of(values, 1) == 15.0
    assert score_of(values, 3) == 14.0
    assert score_of(values, 16) == 7.5
    assert score_of(values, 99) == 7.5  # no more than there are


@given(st.lists(st.floats(0, 1e6, width=32), min_size=16, max_size=16), st.integers(1, 16))
def test_the_score_does_not_depend_on_where(values: list[float], top: int) -> None:
    expected = np.mean(sorted(values)[-top:])
    assert score_of(values, top) == pytest.approx(expected, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("place", [0, 7, 15])
def test_a_value_that_is_no_number_makes_the_score_none(place: int) -> None:
    values = [1.0] * 16
    values[place] = math.nan
    assert math.isnan(score_of(values, 1))


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (1, 4, 6, 1), (1, 1, 4, 6)])
def test_a_map_may_have_dimensions_of_one_around_it(shape: tuple[int, ...]) -> None:
    values = np.arange(24, dtype=np.float32).reshape(shape)
    seen = AnomalyInspector(Glass({"x": values}), WHOLE, Anomaly(1)).inspect(noise(8, 8))
    np.testing.assert_array_equal(seen.map, values.reshape(4, 6))


@pytest.mark.parametrize("shape", [(1,), (24,), (2, 4, 6), (1, 1, 1, 1), (1, 2, 4, 6)])
def test_what_is_no_map_is_refused(shape: tuple[int, ...]) -> None:
    engine = Glass({"x": np.ones(shape, np.float32)})
    with pytest.raises(EngineError, match="is not an anomaly map"):
        AnomalyInspector(engine, WHOLE, Anomaly(1)).inspect(noise(8, 8))


def test_of_several_outputs_the_map_is_taken_by_name() -> None:
    outputs = {"other": np.zeros((1, 4, 4), np.float32), "map": np.ones((1, 4, 4), np.float32)}
    assert AnomalyInspector(Glass(outputs), WHOLE, Anomaly(1)).inspect(noise(8, 8)).score == 1.0
    outputs["heat"] = outputs.pop("map")
    with pytest.raises(EngineError, match="Name it map: heat, other"):
        AnomalyInspector(Glass(outputs), WHOLE, Anomaly(1)).inspect(noise(8, 8))


def test_a_model_and_a_manifest_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        EngineError, match=r"takes \[1, 8, 8, 3\], its manifest says \[1, 16, 8, 3\]"
    ):
        AnomalyInspector(Glass(), Input(height=16, width=8), Anomaly(1))


def test_times_are_measured_and_close_reaches_the_engine() -> None:
    engine = Glass()
    inspector = AnomalyInspector(engine, WHOLE, Anomaly(1))
    seen = inspector.inspect(noise(480, 640, 3))
    assert seen.preprocess_ns > 0
    assert seen.inference_ns > 0
    assert inspector.engine == "glass"
    inspector.close()
    assert engine.is_closed
