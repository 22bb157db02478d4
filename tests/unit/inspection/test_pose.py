"""A part is found before its background, however it lies."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.camera.frame import Image
from edge_agent.inspection.pose import find_lie, turn_of

_WEDGE = np.array([[-70, -30], [70, -8], [70, 8], [-70, 30]], np.float64)
"""Lying along the x axis, the end with more area first; its middle is that of its extent."""

ANGLES = st.floats(-math.pi, math.pi)


def _draw(
    angle: float, x: float, y: float, *, ground: Any = 40, part: Any = 200, scale: float = 1.0
) -> Image:
    cos, sin = math.cos(angle), math.sin(angle)
    corners = scale * _WEDGE @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
    shape = (240, 320, 3) if isinstance(ground, tuple) else (240, 320)
    image = np.full(shape, ground, np.uint8)
    fixed = np.round(corners * 256).astype(np.int32)
    colour = part if isinstance(part, tuple) else (part,)
    cv2.fillConvexPoly(image, fixed, colour, cv2.LINE_AA, 8)
    return image


def _off(one: float, other: float) -> float:
    return abs(math.degrees(math.remainder(one - other, math.tau)))


@given(ANGLES, st.floats(90, 230), st.floats(90, 150))
@settings(max_examples=60)
def test_a_part_is_found_at_any_angle_and_place_thick_end_first(
    angle: float, x: float, y: float
) -> None:
    for image in (
        _draw(angle, x, y),
        _draw(angle, x, y, ground=180, part=60),
        _draw(angle, x, y, ground=(90, 90, 90), part=(90, 90, 160)),
    ):
        lie = find_lie(image)
        assert lie is not None
        # More area comes first: its skew points away from the thick end.
        assert _off(lie.angle, angle) < 2.0
        assert math.hypot(lie.x - x, lie.y - y) < 2.5
        assert lie.length == pytest.approx(140, abs=8)
        assert lie.breadth == pytest.approx(60, abs=8)
        assert lie.area == pytest.approx(140 * 38 / (240 * 320), rel=0.15)
        assert lie.inside


@given(ANGLES)
@settings(max_examples=20)
def test_the_turn_lays_the_part_level_in_the_middle(angle: float) -> None:
    image = _draw(angle, 150, 125)
    turn = turn_of(find_lie(image), image.shape, view=(96, 192), length=160)
    view = cv2.warpAffine(image, turn, (192, 96), borderMode=cv2.BORDER_REPLICATE)
    level = cv2.warpAffine(_draw(0.0, 159.5, 119.5), turn_of(None, image.shape, view=(96, 192),
                           length=160), (192, 96), borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    assert float(np.abs(view.astype(int) - level.astype(int)).mean()) < 8.0


@given(ANGLES, st.integers(0, 3))
@settings(max_examples=20)
def test_light_and_noise_change_the_lie_little(angle: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    slope = np.linspace(0.85, 1.15, 320)
    image = _draw(angle, 160, 120, ground=60, part=160) * slope * rng.uniform(0.7, 1.3)
    lie = find_lie(np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8))
    assert lie is not None
    assert _off(lie.angle, angle) < 3.0
    assert math.hypot(lie.x - 160, lie.y - 120) < 4.0


def test_a_part_at_the_border_is_not_inside() -> None:
    lie = find_lie(_draw(0.0, 40, 120))
    assert lie is not None
    assert not lie.inside


def test_of_several_things_the_largest_is_the_part() -> None:
    image = _draw(0.3, 200, 140)
    cv2.circle(image, (30, 30), 12, (220,), -1)
    lie = find_lie(image)
    assert lie is not None
    assert _off(lie.angle, 0.3) < 2.0


@pytest.mark.parametrize("shape", [(120, 160), (120, 160, 3), (1, 1), (3, 500, 3)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_where_nothing_differs_there_is_no_part(shape: tuple[int, ...], grey: int) -> None:
    assert find_lie(np.full(shape, grey, np.uint8)) is None


def test_what_is_hardly_there_or_tiny_is_no_part() -> None:
    assert find_lie(_draw(0.0, 160, 120, ground=100, part=108)) is None
    speck = np.full((240, 320), 40, np.uint8)
    speck[100:106, 100:106] = 200
    assert find_lie(speck) is None


def test_a_round_part_has_no_long_axis_and_a_rod_no_two_ends() -> None:
    disk, rod = np.full((2, 240, 320), 40, np.uint8)
    cv2.circle(disk, (160, 120), 60, (200,), -1, cv2.LINE_AA)
    cv2.rectangle(rod, (80, 110), (240, 130), (200,), -1)
    found = find_lie(disk), find_lie(rod), find_lie(_draw(0.0, 160, 120))
    assert found[0] is not None
    assert found[1] is not None
    assert found[2] is not None
    assert found[0].slimness < 1.2
    assert found[1].slimness > 10
    assert found[1].lopsided < 0.05
    assert found[2].slimness > 2
    assert found[2].lopsided > 0.2


def test_without_a_part_the_middle_is_looked_at_as_it_is() -> None:
    turn = turn_of(None, (240, 320), view=(60, 80), length=320)
    np.testing.assert_allclose(turn @ (159.5, 119.5, 1), (39.5, 29.5))
    np.testing.assert_allclose(turn[:, :2], 0.25 * np.eye(2), atol=1e-12)
