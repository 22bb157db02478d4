"""The figures of one frame, against changes that are known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edge_agent.camera.frame import Image
from edge_agent.lighting import figures as m
from edge_agent.lighting.figures import NAMES
from edge_agent.lighting.meter import Meter
from edge_agent.lighting.scene import Scene, learn_scene
from edge_agent.lighting.sharpness import PATCH, Spot, patch_at, sharpness
from tests.unit.lighting.scenery import HEIGHT, Scenery, View, expose

ALLOWED = {
    "level": 0.5, "slope_x": 0.5, "slope_y": 0.5, "red": 0.4, "blue": 0.4, "shift_x": 0.1,
    "shift_y": 0.1, "rotation": 0.04, "scale": 0.08, "blur": 0.3,
}  # fmt: skip
"""By how much each may be wrong, and may be moved by what moves others."""


@pytest.fixture
def meter(scene: Scene) -> Meter:
    return Meter(scene)


def seen(meter: Meter, image: Image) -> dict[str, float]:
    return dict(zip(NAMES, meter.measure(image).values.tolist(), strict=True))


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(), {}),
        (View(level=0.8), {"level": -20.0}),
        (View(level=1.25), {"level": 25.0}),
        (View(level=0.5), {"level": -50.0}),
        (View(slope_x=0.1), {"slope_x": 10.0}),
        (View(slope_y=-0.1), {"slope_y": -10.0}),
        (View(level=0.9, slope_x=-0.08), {"level": -10.0, "slope_x": -8.0}),
        (View(red=1.05), {"red": 100 * math.log(1.05)}),
        (View(blue=0.95), {"blue": 100 * math.log(0.95)}),
        (View(shift_x=0.8), {"shift_x": 0.8}),
        (View(shift_y=-0.8), {"shift_y": -0.8}),
        (View(turn=0.3), {"rotation": 0.3}),
        (View(larger=0.5), {"scale": 0.5}),
        (View(shift_x=0.5, level=0.95), {"shift_x": 0.5, "level": -5.0}),
    ],
    ids=str,
)
def test_each_change_is_measured_and_moves_no_other_figure(
    meter: Meter, scenery: Scenery, view: View, expected: dict[str, float]
) -> None:
    figures = seen(meter, scenery.frame(500, view))
    for name, allowed in ALLOWED.items():
        want = expected.get(name, 0.0)
        assert figures[name] == pytest.approx(want, abs=allowed + 0.05 * abs(want)), name


def test_blur_grows_with_its_variance_and_leaves_light_and_place_alone(
    meter: Meter, scenery: Scenery
) -> None:
    figures = [seen(meter, scenery.frame(500, View(blur=sigma))) for sigma in (0.0, 0.5, 0.7, 1.0)]
    blur = [each["blur"] for each in figures]
    assert blur == sorted(blur)
    assert blur[1] == pytest.approx(0.25, abs=0.1)
    assert blur[3] == pytest.approx(1.0, abs=0.25)
    for name in ("level", "slope_x", "slope_y", "shift_x", "shift_y", "rotation"):
        assert abs(figures[3][name]) < ALLOWED[name], name


def test_noise_is_the_log_of_the_noise(meter: Meter, scenery: Scenery) -> None:
    usual = seen(meter, scenery.frame(500, View(noise=0.006)))["noise"]
    doubled = seen(meter, scenery.frame(501, View(noise=0.012)))["noise"]
    assert doubled - usual == pytest.approx(100 * math.log(2.0), abs=20.0)


def test_a_hand_in_view_is_left_out(meter: Meter, scenery: Scenery) -> None:
    light = scenery.light(500, View(level=0.9))
    light[:80, :] *= 0.3
    figures = seen(meter, expose(light, 500))
    assert figures["level"] == pytest.approx(-10.0, abs=1.0)
    assert figures["slope_y"] == pytest.approx(0.0, abs=1.5)
    assert 25.0 < figures["hidden"] < 60.0
    assert seen(meter, scenery.frame(501))["hidden"] < 12.0


def test_parts_do_not_move_the_light_and_light_does_not_move_the_part(
    meter: Meter, scenery: Scenery
) -> None:
    plain = [seen(meter, scenery.frame(number))["level"] for number in range(510, 520)]
    assert np.ptp(plain) < 0.3, "parts differ by a third"
    dim = seen(meter, scenery.frame(515, View(level=0.7)))
    usual = seen(meter, scenery.frame(515))
    assert dim["part_level"] == pytest.approx(usual["part_level"], abs=2.0)
    assert usual["part_red"] == pytest.approx(dim["part_red"], abs=2.0)


def test_another_product_is_odd_after_some_frames(meter: Meter, scenery: Scenery) -> None:
    for number in range(40):
        usual = seen(meter, scenery.frame(number))["oddness"]
    for number in range(40, 70):
        other = seen(meter, scenery.frame(number, product=1))["oddness"]
    assert other > usual + 0.5


def test_light_that_swings_shows_in_rows_or_from_frame_to_frame(
    meter: Meter, scenery: Scenery
) -> None:
    calm = [seen(meter, scenery.frame(number)) for number in range(6)][1:]
    rows = [seen(meter, scenery.frame(number, View(stripes=0.04))) for number in range(6, 14)][1:]
    beat = [
        seen(meter, scenery.frame(number, View(level=1.0 + 0.03 * (-1) ** number)))
        for number in range(14, 22)
    ][1:]
    assert max(each["rows"] for each in calm) < 0.5 < np.mean([each["rows"] for each in rows])
    assert max(each["beat"] for each in calm) < 0.5
    assert beat[-1]["beat"] == pytest.approx(6.0, abs=0.5)


def test_clipping_is_the_share_of_black_and_of_saturated_points(
    meter: Meter, scenery: Scenery
) -> None:
    image = scenery.frame(500)
    image[: HEIGHT // 4] = 255
    image[HEIGHT // 4 : HEIGHT // 4 + HEIGHT // 10] = 1
    figures = seen(meter, image)
    assert figures["clipped_bright"] == pytest.approx(25.0, abs=2.0)
    assert figures["clipped_dark"] == pytest.approx(10.0, abs=2.0)


def test_contrast_does_not_follow_the_light(meter: Meter, scenery: Scenery) -> None:
    bright, dim = (seen(meter, scenery.frame(500, View(level=level))) for level in (1.0, 0.6))
    assert dim["contrast"] == pytest.approx(bright["contrast"], rel=0.03)


def test_what_the_scene_cannot_show_is_not_solved_for() -> None:
    plate = Scenery(texture=0.0)
    meter = Meter(learn_scene(plate.frames(20)))
    assert {m.LEVEL, m.SLOPE_X, m.SLOPE_Y} <= set(meter.solved)
    assert not {m.SHIFT_X, m.SHIFT_Y, m.ROTATION, m.SCALE, m.BLUR} & set(meter.solved)
    figures = seen(meter, plate.frame(30, View(level=0.9, slope_x=0.05)))
    assert figures["level"] == pytest.approx(-10.0, abs=0.5)
    assert figures["slope_x"] == pytest.approx(5.0, abs=0.5)
    assert math.isnan(figures["shift_x"])


def test_a_frame_of_another_size_is_not_found(meter: Meter, scenery: Scenery) -> None:
    small = np.ascontiguousarray(cv2.resize(scenery.frame(500), (64, 48)), np.uint8)
    figures = seen(meter, small)
    assert figures["hidden"] == 100.0
    assert math.isnan(figures["shift_x"])
    assert math.isfinite(figures["contrast"])


def test_a_grey_camera_has_no_colour(scenery: Scenery) -> None:
    frames = [np.ascontiguousarray(frame[:, :, 1]) for frame in scenery.frames(30)]
    meter = Meter(learn_scene(frames))
    figures = seen(meter, np.ascontiguousarray(scenery.frame(500, View(level=0.9))[:, :, 1]))
    assert figures["level"] == pytest.approx(-10.0, abs=0.5)
    assert math.isnan(figures["red"])
    colour = seen(meter, scenery.frame(500, View(level=0.9)))
    assert colour["level"] == pytest.approx(figures["level"], abs=0.5), "a colour frame: its green"


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (37, 53, 3), (8, 400, 3), (400, 8), (49, 47)])
def test_frames_of_any_shape_are_measured_and_left_as_they_were(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    frames = [random.integers(0, 256, shape).astype(np.uint8) for _ in range(20)]
    before = frames[0].copy()
    reading = Meter(learn_scene(frames)).measure(frames[0])
    assert not np.isinf(reading.values).any()
    assert math.isfinite(reading.values[m.LEVEL])
    np.testing.assert_array_equal(frames[0], before)


def test_a_part_of_a_larger_image_is_measured_as_itself(scene: Scene, scenery: Scenery) -> None:
    large = np.zeros((HEIGHT + 20, 400, 3), np.uint8)
    view = large[10:-10, 30:350]
    view[:] = scenery.frame(500)
    mine, copy = Meter(scene).measure(view), Meter(scene).measure(np.ascontiguousarray(view))
    np.testing.assert_array_equal(mine.values, copy.values)


def test_extreme_frames_give_no_infinite_figures(meter: Meter, scenery: Scenery) -> None:
    frames = [
        np.zeros((HEIGHT, 320, 3), np.uint8),
        np.full((HEIGHT, 320, 3), 255, np.uint8),
        255 - scenery.frame(1),
        np.random.default_rng(0).integers(0, 256, (HEIGHT, 320, 3)).astype(np.uint8),
    ]
    for frame in frames:
        assert not np.isinf(meter.measure(frame).values).any()


# --- sharpness -----------------------------------------------------------------------------------

SPOTS: tuple[Spot, ...] = ((0.0, 0.0), (0.5, 0.5))


def test_sharpness_falls_with_blur_and_not_with_light() -> None:
    image = np.random.default_rng(0).integers(40, 200, (240, 320, 3)).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8)
    dimmed = np.asarray(image * 0.7, np.uint8)
    sharp = sharpness(image, SPOTS)
    assert sharpness(blurred, SPOTS) < sharp - 1.0
    assert sharpness(dimmed, SPOTS) == pytest.approx(sharp, abs=0.05)


@pytest.mark.parametrize("spot", [(0.0, 0.0), (1.0, 1.0), (0.99, 0.0)])
@pytest.mark.parametrize("size", [(240, 320), (PATCH, PATCH), (20, 30)])
def test_a_patch_lies_inside_the_frame(spot: Spot, size: tuple[int, int]) -> None:
    patch = patch_at(np.ones((*size, 3), np.uint8), spot)
    assert patch.shape == (min(PATCH, size[0]), min(PATCH, size[1]))
