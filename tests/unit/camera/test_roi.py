from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_agent.camera.roi import Roi

SHARES = st.floats(0.0, 1.0)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"width": 0.0}, "width and height must be above 0"),
        ({"height": 0.0}, "width and height must be above 0"),
        ({"x": 0.5, "width": 0.6}, "reaches beyond the frame"),
        ({"y": 0.9, "height": 0.2}, "reaches beyond the frame"),
        ({"x": -0.1, "width": 0.5}, ">= 0.0"),
        ({"width": 1.5}, "<= 1.0"),
        ({"left": 0.1}, "unknown field"),
    ],
)
def test_a_region_that_is_empty_or_leaves_the_frame_is_refused(
    raw: dict[str, float], why: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(raw, Roi)


@pytest.mark.parametrize(
    "numbers", [(-0.1, 0, 0.5, 1), (0, 0, 1, float("nan")), (float("nan"), 0, 1, 1)]
)
def test_what_was_not_read_from_a_file_is_checked_too(
    numbers: tuple[float, float, float, float],
) -> None:
    with pytest.raises(ValueError, match="roi: "):
        Roi(*numbers)


@given(SHARES, SHARES, SHARES, SHARES, st.integers(1, 700), st.integers(1, 500))
def test_any_region_of_any_frame_has_pixels_and_lies_inside(
    x: float, y: float, width: float, height: float, columns: int, rows: int
) -> None:
    assume(width > 0 and height > 0 and x + width <= 1 and y + height <= 1)
    image = np.zeros((rows, columns), np.uint8)
    roi = Roi(x, y, width, height)
    x0, y0, x1, y1 = roi.pixels(image)
    assert 0 <= x0 < x1 <= columns
    assert 0 <= y0 < y1 <= rows
    assert roi.crop(image).shape == (y1 - y0, x1 - x0)


def test_crop_copies_no_pixel() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    view = Roi(0.5, 0.25, 0.25, 0.5).crop(image)
    assert view.shape == (240, 160, 3)
    view[:] = 7
    assert image[120:360, 320:480].min() == 7
    assert image.sum() == 7 * view.size


def test_the_whole_frame_is_the_default() -> None:
    image = np.zeros((5, 7, 3), np.uint8)
    assert Roi().pixels(image) == (0, 0, 7, 5)
