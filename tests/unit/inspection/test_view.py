"""From an image to a model's input: the invariants of `edge_agent.inspection.view`, by name."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.roi import Roi
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Pixels
from edge_agent.inspection.seen import WHOLE, Box
from edge_agent.inspection.spec import Input
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
