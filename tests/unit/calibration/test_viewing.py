"""How parts are looked at is found out: their light, and whether they are turned."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from calibration import viewing
from edge_agent.camera.frame import Image
from edge_agent.camera.roi import Roi
from edge_agent.inspection.pose import find_lie
from edge_agent.inspection.spec import Input
from edge_agent.inspection.view import View

_SPEC = Input(height=128, width=128)
_PARTS = 12


def _screw(
    rng: np.random.Generator, angle: float, *, head: bool = True, moved: float = 0.0
) -> Image:
    """Draw a screw on a plain ground; without a head both ends look alike."""
    image = np.full((240, 320, 3), 200, np.float32)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = (160, 120) + rng.uniform(-1, 1, 2) * moved

    def at(ahead: float, beside: float) -> tuple[int, int]:
        point = (x + ahead * cos - beside * sin, y + ahead * sin + beside * cos)
        return round(point[0] * 16), round(point[1] * 16)

    def block(begin: float, end: float, half: float, grey: float) -> None:
        corners = np.array([at(begin, -half), at(end, -half), at(end, half), at(begin, half)])
        cv2.fillConvexPoly(image, corners.astype(np.int32), [grey] * 3, cv2.LINE_AA, 4)

    tone = float(rng.uniform(80, 95))
    block(-80, 80, 9, tone)
    if head:
        block(-80, -50, 24, tone - 15)
    for place in range(-40, 76, 12):
        block(place, place + 4, 8, 50.0)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def _lot(spread: float, *, head: bool = True, moved: float = 0.0) -> list[Image]:
    rng = np.random.default_rng(11)
    return [
        _screw(rng, rng.uniform(-spread, spread), head=head, moved=moved) for _ in range(_PARTS)
    ]


@pytest.fixture(scope="module")
def scattered() -> list[Image]:
    return _lot(math.pi, moved=20)


@pytest.fixture(scope="module")
def turned(scattered: list[Image]) -> viewing.Chosen:
    return viewing.choose(scattered, _SPEC)


def test_screws_that_lie_anyhow_are_turned(turned: viewing.Chosen) -> None:
    spec = turned.input
    assert spec.pose is not None
    # The view holds the screw (160 x 48 px of 320) and a little more, in as many pixels.
    assert 160 / 320 < spec.pose.length < 1.3 * 160 / 320
    assert spec.width > 1.5 * spec.height
    assert spec.width % 16 == spec.height % 16 == 0
    assert spec.width * spec.height == pytest.approx(128 * 128, rel=0.3)
    assert len(turned.notes) == 1
    assert f"{spec.width} x {spec.height} pixels" in turned.notes[0]


def test_what_is_turned_lies_within_the_view_thick_end_left(
    turned: viewing.Chosen, scattered: list[Image]
) -> None:
    view = View(turned.input)
    for frame in scattered:
        view.fill(frame)
        lie = find_lie(view.pixels[0])
        assert lie is not None
        assert lie.inside
        assert abs(math.degrees(math.remainder(lie.angle, math.tau))) < 4.0
        assert lie.length > 0.8 * turned.input.width


def test_screws_that_lie_alike_are_taken_as_they_lie() -> None:
    chosen = viewing.choose(_lot(math.radians(1.5), moved=2), _SPEC)
    assert chosen.input.pose is None
    assert (chosen.input.width, chosen.input.height) == (128, 128)
    assert chosen.notes == []


def test_screws_that_lie_alike_are_turned_where_that_is_asked_for() -> None:
    chosen = viewing.choose(_lot(math.radians(1.5)), _SPEC, turn=True)
    assert chosen.input.pose is not None


def test_screws_are_not_turned_where_that_is_forbidden(scattered: list[Image]) -> None:
    chosen = viewing.choose(scattered, _SPEC, turn=False)
    assert chosen.input.pose is None
    assert chosen.notes == []


@pytest.mark.parametrize("turn", [None, True])
def test_rods_without_two_ends_are_taken_as_they_lie(turn: bool | None) -> None:
    chosen = viewing.choose(_lot(math.pi, head=False), _SPEC, turn=turn)
    assert chosen.input.pose is None
    assert (len(chosen.notes) == 1) == bool(turn)


def test_parts_that_touch_the_border_are_taken_as_they_lie() -> None:
    frames = [np.ascontiguousarray(frame[:, 100:]) for frame in _lot(0.5)]
    assert viewing.choose(frames, _SPEC).input.pose is None


def test_parts_of_different_lengths_are_taken_as_they_lie() -> None:
    frames = _lot(math.pi)
    for place in range(0, _PARTS, 2):
        small = cv2.resize(frames[place], (160, 120), interpolation=cv2.INTER_AREA)
        frames[place] = np.full((240, 320, 3), 200, np.uint8)
        frames[place][60:180, 80:240] = small
    assert viewing.choose(frames, _SPEC).input.pose is None


def test_frames_of_different_sizes_are_taken_as_they_are(scattered: list[Image]) -> None:
    frames = [*scattered[1:], np.ascontiguousarray(scattered[0][:200])]
    assert viewing.choose(frames, _SPEC).input.pose is None


def test_too_few_parts_are_taken_as_they_lie(scattered: list[Image]) -> None:
    chosen = viewing.choose(scattered[:4], _SPEC)
    assert chosen.input.pose is None
    assert chosen.input.level is not None


def test_the_pose_is_measured_in_the_region_that_is_looked_at(scattered: list[Image]) -> None:
    wide = [cv2.copyMakeBorder(frame, 0, 0, 160, 160, cv2.BORDER_REPLICATE) for frame in scattered]
    spec = Input(height=128, width=128, roi=Roi(0.25, 0.0, 0.5, 1.0))
    frames = [np.asarray(frame, np.uint8) for frame in wide]
    whole = viewing.choose(scattered, _SPEC, turn=True).input
    part = viewing.choose(frames, spec, turn=True).input
    assert part.pose == whole.pose
    assert (part.width, part.height) == (whole.width, whole.height)


@pytest.mark.parametrize(("grey", "level"), [(10, 40), (90, 90), (250, 190)])
def test_the_level_is_what_parts_have_within_bounds(grey: int, level: int) -> None:
    frames = [np.full((60, 80, 3), grey + each, np.uint8) for each in (-2, 0, 0, 1, 2)]
    chosen = viewing.choose(frames, _SPEC)
    assert chosen.input.level == level
    assert chosen.notes == []


def test_the_level_is_that_of_the_view_not_of_the_frame() -> None:
    frame = np.full((100, 100, 3), 20, np.uint8)
    frame[:, 50:] = 120
    spec = Input(height=64, width=64, roi=Roi(0.5, 0.0, 0.5, 1.0))
    assert viewing.choose([frame] * 6, spec).input.level == 120
