"""From an image to a model's input: the invariants of `edge_agent.inspection.view`, by name."""

from __future__ import annotations

from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.roi import Roi
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Outputs, Pixels
from edge_agent.inspection.seen import WHOLE, Box
from edge_agent.inspection.spec import Anomaly, Input, Pose
from edge_agent.inspection.tasks.anomaly import AnomalyInspector
from edge_agent.inspection.view import Placement, View, clip, place_map

FITS = st.sampled_from(["stretch", "letterbox", "crop"])
SIDES = st.integers(8, 80)
SHARES = st.floats(0.0, 1.0)


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)


# --- channels ------------------------------------------------------------------------------------


def test_channels_come_in_the_order_that_the_model_wants() -> None:
    image = noise(16, 16, 3)
    views = {
        "BGR": View(Input(height=16, width=16)),
        "RGB": View(Input(height=16, width=16, order="RGB")),
        "GREY": View(Input(height=16, width=16, order="GREY", channels=1)),
    }
    for view in views.values():
        view.fill(image)
    np.testing.assert_array_equal(views["BGR"].pixels[0], image)
    np.testing.assert_array_equal(views["RGB"].pixels[0], image[:, :, ::-1])
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    np.testing.assert_array_equal(views["GREY"].pixels[0, :, :, 0], grey)
    for name, view in views.items():
        view.fill(grey)
        wanted = grey[:, :, np.newaxis] if name == "GREY" else np.dstack([grey] * 3)
        np.testing.assert_array_equal(view.pixels[0], wanted)


@given(FITS, SIDES, SIDES, st.booleans())
def test_no_buffer_is_allocated_twice_and_the_part_before_never_stays(
    fit: Any, height: int, width: int, grey: bool
) -> None:
    view = View(Input(height=24, width=16, fit=fit, order="RGB"))
    address = view.pixels.ctypes.data
    view.fill(np.full((30, 50, 3), 250, np.uint8))
    view.fill(np.full((height, width) if grey else (height, width, 3), 7, np.uint8))
    assert view.pixels.ctypes.data == address
    assert set(np.unique(view.pixels).tolist()) <= {7, 114}
    assert 7 in view.pixels
    assert view.pixels.shape == (1, 24, 16, 3)


@pytest.mark.parametrize("shape", [(0, 0), (8, 0, 3), (8, 8, 1), (8, 8, 4)])
def test_what_cannot_be_looked_at_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(EngineError, match="cannot be looked at"):
        View(Input(height=8, width=8)).fill(np.zeros(shape, np.uint8))


# --- geometry ------------------------------------------------------------------------------------


def test_a_letterbox_keeps_the_aspect_and_fills_the_rest() -> None:
    view = View(Input(height=32, width=32, fit="letterbox", fill=50))
    placed = view.fill(np.full((40, 80, 3), 200, np.uint8))
    assert (view.pixels[0, :8] == 50).all()
    assert (view.pixels[0, 8:24] == 200).all()
    assert (view.pixels[0, 24:] == 50).all()
    assert placed == Placement(Box(0.0, -0.5, 1.0, 2.0), Box(0.0, 0.25, 1.0, 0.5))
    assert placed.content.within(placed.region) == WHOLE


def test_a_crop_keeps_the_aspect_and_the_middle() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 20:60] = 200
    view = View(Input(height=32, width=32, fit="crop"))
    placed = view.fill(image)
    assert (view.pixels == 200).all()
    assert placed == Placement(Box(0.25, 0.0, 0.5, 1.0))


@given(FITS, SIDES, SIDES, SIDES, SIDES)
def test_a_border_is_even_and_the_content_is_the_image(
    fit: Any, height: int, width: int, rows: int, columns: int
) -> None:
    view = View(Input(height=rows, width=columns, fit=fit))
    placed = view.fill(np.zeros((height, width, 3), np.uint8))
    shown = placed.content.within(placed.region)
    if fit == "crop":
        assert min(shown.width, shown.height) <= 1.0
        assert max(shown.width, shown.height) == pytest.approx(1.0)
    else:
        for side, expected in zip((shown.x, shown.y, shown.width, shown.height), (0, 0, 1, 1),
                                  strict=True):  # fmt: skip
            assert side == pytest.approx(expected, abs=1e-9)
    border = columns * (1 - placed.content.width), rows * (1 - placed.content.height)
    assert min(border) < 1.0  # on one axis only, but for a rounded pixel


@given(FITS, st.integers(60, 200), st.integers(60, 200), st.floats(0.3, 0.7), st.floats(0.3, 0.7))
def test_what_is_found_in_the_input_is_where_it_is_in_the_image(
    fit: Any, height: int, width: int, x: float, y: float
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    x0, y0 = int(x * width) - 6, int(y * height) - 6
    image[y0 : y0 + 12, x0 : x0 + 12] = 255
    view = View(Input(height=96, width=96, fit=fit, roi=Roi(0.05, 0.1, 0.9, 0.85), fill=0))
    placed = view.fill(image)
    rows, columns = np.nonzero(view.pixels[0, :, :, 0] > 127)
    if not len(rows):
        assert fit == "crop"  # it lay outside
        return
    found = Box(
        columns.min() / 96, rows.min() / 96,
        (columns.max() + 1 - columns.min()) / 96, (rows.max() + 1 - rows.min()) / 96,
    ).within(placed.region)  # fmt: skip
    pixel = 1.5 * max(placed.region.width * width, placed.region.height * height) / 96 + 0.5
    if fit != "crop":
        assert found.x * width == pytest.approx(x0, abs=pixel)
        assert (found.y + found.height) * height == pytest.approx(y0 + 12, abs=pixel)
    assert x0 - pixel <= found.x * width
    assert (found.x + found.width) * width <= x0 + 12 + pixel


@given(SHARES, SHARES, SHARES, SHARES)
def test_a_clipped_box_lies_within_its_bounds(
    x: float, y: float, width: float, height: float
) -> None:
    bounds = Box(0.25, 0.3, 0.5, 0.4)
    box = clip(Box(2 * x - 0.5, 2 * y - 0.5, width, height), bounds)
    assert min(box.width, box.height) >= 0.0
    assert bounds.x <= box.x <= box.x + box.width <= bounds.x + bounds.width + 1e-9
    assert bounds.y <= box.y <= box.y + box.height <= bounds.y + bounds.height + 1e-9


def test_a_map_loses_its_border_and_no_more() -> None:
    values = np.arange(64, dtype=np.float32).reshape(8, 8)
    kept, region = place_map(values, Placement(Box(0.1, 0.2, 0.3, 0.4)))
    assert kept is values
    assert region == Box(0.1, 0.2, 0.3, 0.4)
    view = View(Input(height=64, width=64, fit="letterbox"))
    kept, region = place_map(values, view.fill(np.zeros((40, 80, 3), np.uint8)))
    np.testing.assert_array_equal(kept, values[2:6])
    assert region == WHOLE


# --- light ---------------------------------------------------------------------------------------


def part_like() -> Pixels:
    """Return an image with soft structure, between 40 and 200."""
    rough = np.random.default_rng(4).uniform(40, 200, (12, 16, 3)).astype(np.float32)
    return (
        cv2.resize(rough, (160, 120), interpolation=cv2.INTER_CUBIC).clip(20, 210).astype(np.uint8)
    )


@pytest.mark.parametrize("order", ["BGR", "RGB", "GREY"])
@pytest.mark.parametrize("light", [0.35, 0.6, 1.2])
def test_more_or_less_light_changes_nothing_but_rounding(order: Any, light: float) -> None:
    spec = Input(height=64, width=64, order=order, channels=1 if order == "GREY" else 3, level=90)
    one, two = View(spec), View(spec)
    one.fill(part_like())
    two.fill((part_like() * light).round().astype(np.uint8))
    away = np.abs(one.pixels.astype(int) - two.pixels.astype(int))
    assert away.max() <= 1 + 1 / light
    assert one.pixels.mean() == pytest.approx(90, abs=1)


@given(st.integers(1, 254), st.integers(0, 255))
def test_light_is_made_up_for_by_a_factor_of_four_at_most(level: int, grey: int) -> None:
    view = View(Input(height=16, width=16, level=level))
    view.fill(np.full((20, 30, 3), grey, np.uint8))
    gain = min(max(level / max(grey, 1e-6), 0.25), 4.0)
    assert np.ptp(view.pixels) == 0
    assert float(view.pixels[0, 0, 0, 0]) == pytest.approx(min(gain * grey, 255), abs=0.51)


def test_the_level_is_that_of_what_is_looked_at() -> None:
    image = np.full((100, 100, 3), 10, np.uint8)
    image[25:75, 25:75] = 100
    view = View(Input(height=32, width=32, roi=Roi(0.25, 0.25, 0.5, 0.5), level=100))
    view.fill(image)
    assert (view.pixels == 100).all()
    assert (image[50, 50], image[0, 0]) == (pytest.approx(100), pytest.approx(10))


def test_the_gain_is_one_for_all_channels_and_keeps_colours() -> None:
    view = View(Input(height=16, width=16, level=100))
    view.fill(np.full((16, 16, 3), (20, 40, 90), np.uint8))
    assert view.pixels[0, 3, 3].tolist() == [40, 80, 180]


# --- pose ----------------------------------------------------------------------------------------


def drawn(angle: float, x: float, y: float, *, scale: int = 1, ground: int = 200) -> Pixels:
    """Draw a wedge with a spot on it, 100 px long, on an image of 300 x 200 px times a scale."""
    image = np.full((200 * scale, 300 * scale, 3), ground, np.uint8)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = scale * np.array([[cos, sin], [-sin, cos]])
    wedge = np.array([[-50, -25], [50, -6], [50, 6], [-50, 25]])
    corners = wedge @ turn + scale * np.array([x, y])
    cv2.fillConvexPoly(image, np.round(256 * corners).astype(np.int32), (60, 50, 40), 16, 8)
    spot = np.array([-25, 8]) @ turn + scale * np.array([x, y])
    middle = np.round(256 * spot).astype(int).tolist()
    cv2.circle(image, middle, 7 * scale * 256, (150, 150, 160), -1, 16, 8)
    return image


POSED = Input(height=64, width=128, pose=Pose(length=0.4))
LIES = [(0.0, 150, 100), (0.7, 120, 90), (2.4, 170, 110), (-1.9, 140, 104), (3.0, 200, 60)]


@pytest.mark.parametrize("scale", [1, 2, 7])
@pytest.mark.parametrize("lie", LIES)
def test_a_part_is_seen_the_same_however_it_lies(
    lie: tuple[float, float, float], scale: int
) -> None:
    one, two = View(POSED), View(POSED)
    one.fill(drawn(*LIES[0]))
    two.fill(drawn(*lie, scale=scale))
    away = np.abs(one.pixels.astype(int) - two.pixels.astype(int)).mean(axis=3)
    assert away.mean() < 7
    assert (away > 60).mean() < 0.05  # along outlines, by a pixel
    # The spot lies at the thick end, at the same place in every view.
    spot = two.pixels[0, 40:44, 30:34].mean(axis=(0, 1))
    np.testing.assert_allclose(spot, (150, 150, 160), atol=15)


@pytest.mark.parametrize("roi", [Roi(), Roi(0.1, 0.1, 0.8, 0.85)])
@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("lie", LIES[:4])
def test_a_map_is_turned_back_onto_the_part(
    lie: tuple[float, float, float], scale: int, roi: Roi
) -> None:
    view = View(msgspec.structs.replace(POSED, roi=roi, pose=Pose(length=0.4 / roi.width)))
    placed = view.fill(drawn(*lie, scale=scale))
    bright = (view.pixels[0].min(axis=2) > 120) & (view.pixels[0].max(axis=2) < 180)
    values = bright.reshape(16, 4, 32, 4).mean(axis=(1, 3)).astype(np.float32)
    shown, region = place_map(values, placed)
    assert region == Box.of(roi) or region.x == pytest.approx(roi.x, abs=0.01)
    rows, columns = np.nonzero(shown > 0.6 * shown.max())
    weights = shown[rows, columns]
    x = (np.average(columns, weights=weights) + 0.5) / shown.shape[1] * region.width + region.x
    y = (np.average(rows, weights=weights) + 0.5) / shown.shape[0] * region.height + region.y
    angle, at_x, at_y = lie
    cos, sin = np.cos(angle), np.sin(angle)
    assert x * 300 == pytest.approx(at_x - 25 * cos - 8 * sin, abs=6)
    assert y * 200 == pytest.approx(at_y - 25 * sin + 8 * cos, abs=6)


def test_where_the_view_did_not_reach_the_map_is_zero() -> None:
    placed = View(POSED).fill(drawn(*LIES[1]))
    shown, region = place_map(np.ones((4, 8), np.float32), placed)
    assert region == WHOLE
    assert shown.shape == (21, 32)
    assert shown.dtype == np.float32
    assert (shown[0] == 0).all()
    assert (shown[-1] == 0).all()
    assert shown[round(90 / 200 * 21), round(120 / 300 * 32)] == 1.0
    # The view covers 120 x 60 px of 300 x 200.
    assert shown.mean() == pytest.approx(120 * 60 / (300 * 200), rel=0.2)


@pytest.mark.parametrize("shape", [(200, 300, 3), (200, 300), (1, 1, 3), (9, 4000, 3), (4000, 3)])
def test_an_image_without_a_part_is_looked_at_in_the_middle(shape: tuple[int, ...]) -> None:
    view = View(msgspec.structs.replace(POSED, level=90))
    placed = view.fill(np.full(shape, 90, np.uint8))
    assert (view.pixels == 90).all()
    shown, _ = place_map(np.ones((4, 8), np.float32), placed)
    assert np.isfinite(shown).all()


@pytest.mark.parametrize("scale", [1, 6])
def test_no_buffer_is_allocated_twice_for_turned_parts(scale: int) -> None:
    view = View(POSED)
    image = drawn(*LIES[1], scale=scale)
    before = image.copy()
    view.fill(image)
    address = view.pixels.ctypes.data
    first = view.pixels.copy()
    view.fill(drawn(*LIES[2], scale=scale))
    view.fill(image)
    assert view.pixels.ctypes.data == address
    np.testing.assert_array_equal(view.pixels, first)
    np.testing.assert_array_equal(image, before)


def test_a_much_larger_image_is_averaged_before_it_is_turned() -> None:
    # A fine chequer is grey from afar; every fifth pixel of it would be black or white.
    image = np.full((1600, 2400, 3), 220, np.uint8)
    part = image[600:1000, 800:1600]
    part[:] = np.where(np.indices(part.shape[:2]).sum(axis=0) % 2, 140, 40)[:, :, None]
    part[:, 700:] = 90
    view = View(POSED)
    view.fill(image)
    inner = view.pixels[0, 24:40, 30:90]
    assert np.ptp(inner) <= 6
    assert float(inner.mean()) == pytest.approx(90, abs=3)


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_the_pose_takes_the_place_of_the_fit(fit: Any) -> None:
    # Its length is a share of the ROI's width, and nothing of the ROI is cut off before.
    image = drawn(0.4, 60, 50)
    one, two = View(POSED), View(msgspec.structs.replace(POSED, fit=fit, height=64, width=128))
    one.fill(image)
    two.fill(image)
    np.testing.assert_array_equal(one.pixels, two.pixels)


def test_the_map_of_a_turned_part_is_scored_before_it_is_turned_back() -> None:
    class Eight:
        name = "eight"
        input_shape = (1, 64, 128, 3)

        def run(self, pixels: Pixels) -> Outputs:
            values = np.zeros((1, 4, 8), np.float32)
            values[0, 1, 2] = 8.0
            return {"map": values}

        def close(self) -> None:
            """Nothing to let go of."""

    seen = AnomalyInspector(Eight(), POSED, Anomaly(1)).inspect(drawn(*LIES[1]))
    assert seen.score == 8.0
    assert seen.map is not None
    assert 0.0 < seen.map.max() < 8.0
