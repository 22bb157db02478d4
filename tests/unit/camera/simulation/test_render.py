"""What is drawn: by its truth, and by the light that is ordered, in linear light."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np
import pytest

from edge_agent.camera.drivers.simulated import Settings, truth_of
from edge_agent.camera.simulation.light import NOMINAL, Light, view
from edge_agent.camera.simulation.parts import Kind, Part, make_part, scale_of
from edge_agent.camera.simulation.render import Renderer
from edge_agent.camera.simulation.scene import FIDUCIALS
from edge_agent.camera.simulation.sensor import Linear, to_linear

if TYPE_CHECKING:
    from edge_agent.camera.frame import Image

SETTINGS = Settings(defect_rate=1.0, noise=0.0)
BELT = (slice(200, 300), slice(20, 120))
WHITE = (slice(366, 369), slice(46, 88))


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(640, 480, noise=0.0)


def draw(renderer: Renderer, part: Part, light: Light = NOMINAL, time_s: float = 0.0) -> Image:
    out = np.zeros((480, 640, 3), np.uint8)
    renderer.draw(part, light, out, time_s=time_s)
    return out


def linear(renderer: Renderer, light: Light = NOMINAL, time_s: float = 0.0) -> Linear:
    return to_linear(draw(renderer, good(1), light, time_s))


def good(number: int) -> Part:
    return msgspec.structs.replace(make_part(SETTINGS.line, number), defect=None)


def of_kind(kind: Kind, count: int) -> list[int]:
    found = []
    for number in range(1, 1000):
        defect = make_part(SETTINGS.line, number).defect
        if defect is not None and defect.kind is kind:
            found.append(number)
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("light", [NOMINAL, Light(shift_x_px=9, shift_y_px=-6, rotation_deg=3)])
def test_a_defect_is_drawn_where_the_truth_says_and_nowhere_else(
    renderer: Renderer, kind: Kind, light: Light
) -> None:
    for number in of_kind(kind, 8):
        bad = draw(renderer, make_part(SETTINGS.line, number), light).astype(int)
        clean = draw(renderer, good(number), light).astype(int)
        y, x = np.nonzero(np.abs(bad - clean).max(axis=2) > 6)
        truth = truth_of(SETTINGS, number, light=light)
        assert truth.defect == kind
        assert len(x) >= 4, truth
        middle = ((x.min() + x.max()) / 2, (y.min() + y.max()) / 2)
        assert math.dist(middle, (truth.x, truth.y)) < 3.0 + 0.12 * truth.size_px, truth
        reach = max(
            math.dist(p, (truth.x, truth.y)) for p in zip(x.tolist(), y.tolist(), strict=True)
        )
        assert reach <= 0.75 * truth.size_px + 5.0, truth
        assert reach >= 0.3 * truth.size_px, truth


def test_a_truth_of_a_smaller_frame_is_in_its_pixels() -> None:
    small = Settings(defect_rate=1.0, noise=0.0, width=320, height=240)
    full, half = truth_of(SETTINGS, 3), truth_of(small, 3)
    assert half.size_px == pytest.approx(full.size_px / 2)
    assert half.x == pytest.approx((full.x + 0.5) / 2 - 0.5)


@pytest.mark.parametrize("size", [(160, 120), (320, 240), (800, 480), (480, 640)])
def test_frames_of_other_sizes_are_drawn(size: tuple[int, int]) -> None:
    out = np.zeros((size[1], size[0], 3), np.uint8)
    crooked = Light(shift_x_px=40, shift_y_px=-40, rotation_deg=10, defocus_px=8)
    renderer = Renderer(*size, noise=1.0)
    for light in (NOMINAL, crooked):
        renderer.draw(good(1), light, out, time_s=0.0)
        mapping = view(light, width=size[0], height=size[1], scale=scale_of(*size))
        bore_x, bore_y = mapping @ [(size[0] - 1) / 2, (size[1] - 1) / 2, 1.0]
        assert out[round(bore_y), round(bore_x)].max() < 60
        assert out.min(axis=2).max() > 120


def test_a_frame_does_not_depend_on_those_before(renderer: Renderer) -> None:
    first = draw(renderer, make_part(SETTINGS.line, 4))
    draw(renderer, good(9), Light(level=0.5, defocus_px=2))
    draw(renderer, make_part(SETTINGS.line, 5))
    assert np.array_equal(first, draw(renderer, make_part(SETTINGS.line, 4)))


def test_surfaces_differ_from_part_to_part(renderer: Renderer) -> None:
    one, other = (
        msgspec.structs.replace(good(1), texture_turn_deg=turn, texture_zoom=zoom)
        for turn, zoom in ((0.0, 1.0), (77.0, 1.07))
    )
    change = draw(renderer, one).astype(int) - draw(renderer, other).astype(int)
    assert 2.0 < change[350:390, 300:340].std() < 20.0


def test_level_scales_the_light(renderer: Renderer) -> None:
    nominal, dim = linear(renderer), linear(renderer, Light(level=0.7))
    assert dim.mean() / nominal.mean() == pytest.approx(0.7, rel=0.01)
    assert dim[BELT].mean() / nominal[BELT].mean() == pytest.approx(0.7, rel=0.02)


def test_a_gradient_brightens_one_side(renderer: Renderer) -> None:
    nominal = linear(renderer)
    wide = linear(renderer, Light(gradient_x=0.4)) / np.maximum(nominal, 1e-3)
    high = linear(renderer, Light(gradient_y=-0.4)) / np.maximum(nominal, 1e-3)
    assert wide[:, 600:].mean() == pytest.approx(1.0 + 0.4 * (620 / 640 - 0.5), rel=0.02)
    assert wide[:, :40].mean() == pytest.approx(1.0 + 0.4 * (20 / 640 - 0.5), rel=0.02)
    assert high[:40].mean() == pytest.approx(1.0 - 0.4 * (20 / 480 - 0.5), rel=0.02)


def test_warmth_moves_red_against_blue(renderer: Renderer) -> None:
    nominal, warm = linear(renderer), linear(renderer, Light(warmth=0.3))
    blue, green, red = (warm[..., c].mean() / nominal[..., c].mean() for c in range(3))
    assert red / blue == pytest.approx(1.3, rel=0.01)
    assert green == pytest.approx(1.0, rel=0.001)


def test_flicker_swings_with_time(renderer: Renderer) -> None:
    light = Light(flicker=0.1, flicker_hz=1.0)
    nominal = linear(renderer).mean()
    swing = [linear(renderer, light, time_s).mean() / nominal for time_s in (0.0, 0.25, 0.75)]
    assert swing == pytest.approx([1.0, 1.1, 0.9], rel=0.01)


@pytest.mark.parametrize(
    "light",
    [
        Light(shift_x_px=5),
        Light(shift_y_px=-3.5),
        Light(rotation_deg=2),
        Light(shift_x_px=-8, shift_y_px=4, rotation_deg=-1.5),
    ],
)
def test_a_moved_camera_moves_the_fiducials(renderer: Renderer, light: Light) -> None:
    nominal, moved = linear(renderer), linear(renderer, light)
    mapping = view(light, width=640, height=480, scale=1.0)
    window = cv2.createHanningWindow((96, 96), cv2.CV_32F)
    for x, y in FIDUCIALS:
        box = (slice(int(y) - 48, int(y) + 48), slice(int(x) - 48, int(x) + 48))
        before = np.ascontiguousarray(nominal[box][..., 1])
        after = np.ascontiguousarray(moved[box][..., 1])
        (dx, dy), _ = cv2.phaseCorrelate(before, after, window)
        expected = mapping @ [x, y, 1.0] - [x, y]
        assert (dx, dy) == pytest.approx(tuple(expected), abs=0.8)


def test_the_part_moves_with_the_scene(renderer: Renderer) -> None:
    moved = draw(renderer, good(1), Light(shift_x_px=11, shift_y_px=-7)).astype(int)
    nominal = draw(renderer, good(1)).astype(int)
    change = moved[30:420, 60:600] - nominal[37:427, 49:589]
    assert np.abs(change).max() <= 3


@pytest.mark.parametrize("blur", [0.8, 2.0, 5.0])
def test_defocus_blurs_scene_and_part_alike(renderer: Renderer, blur: float) -> None:
    sharp = linear(renderer)
    expected = cv2.GaussianBlur(sharp, (0, 0), blur)
    soft = linear(renderer, Light(defocus_px=blur))
    assert np.abs(soft - expected).max() < 0.012
    assert (
        np.abs(cv2.Laplacian(soft, cv2.CV_32F)).mean()
        < np.abs(cv2.Laplacian(sharp, cv2.CV_32F)).mean()
    )


def test_the_nominal_picture_uses_the_range_and_clips_nothing(renderer: Renderer) -> None:
    picture = draw(renderer, good(1))
    assert (picture == 255).mean() == 0.0
    assert picture[WHITE].mean() > 190
    assert 40 < picture[BELT].mean() < 90
