"""The streams of the drift benchmark: their light, noise and optics are those of physics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.bench.drift import light, optics, scenes
from tests.bench.drift.changes import BY_NAME, CHANGES, Change, Expect, expected
from tests.bench.drift.images import Linear, Split
from tests.bench.drift.parts import Sprite, make_hand
from tests.bench.drift.sensor import Camera, Sensor
from tests.bench.drift.stations import Kind, Station
from tests.bench.drift.stream import Stream, make_stage

_KIND = Kind(name="made", width=96, height=64, colour=False, scene="textured")
_BARE = Camera(gamma=1.0)


def made(kind: Kind = _KIND, *, level: float = 0.6, camera: Camera = _BARE) -> Station:
    """Build a station without real images: a smooth random scene, and discs as parts."""
    rng = np.random.default_rng(5)
    size = scenes.canvas_size(kind.width, kind.height)
    coarse = rng.uniform(0.2, 1.0, (size[1] // 8, size[0] // 8)).astype(np.float32)
    scene: Linear = cv2.GaussianBlur(light.resized(coarse, size), (0, 0), 4.0)
    disc = np.ones((20, 20), np.float32)
    sprite = Sprite(0.4 * disc, 0.0 * disc)
    return Station(
        kind=kind, seed=3, split=Split.TUNE, scene=scene, fields=light.make_fields(size, rng),
        parts=[sprite], others=[sprite], hand=make_hand(20, rng, colour=kind.colour), camera=camera,
        level=level, scatter=0.05, shades=(1.0,), lamp_sd=0.004, vibration_px=0.1,
        colour_bgr=(1.0, 1.0, 1.0),
    )  # fmt: skip


def staged(change: Change) -> Linear:
    station = made()
    own = np.ones((64, 96), np.float32)
    stage = make_stage(station, change, own, np.random.default_rng(1))
    return (stage.left + stage.right) * stage.lens


def test_dimming_by_two_percent_takes_two_percent_of_the_lamps_linear_light() -> None:
    share = staged(BY_NAME["dim 2 %"]) / staged(BY_NAME["none"])
    assert share == pytest.approx(0.98, abs=1e-5)


def test_one_lamp_down_takes_most_on_its_side() -> None:
    share = staged(BY_NAME["left lamp -30 %"]) / staged(BY_NAME["none"])
    left, right = share[:, :10].mean(), share[:, -10:].mean()
    assert left < 0.84
    assert right > 0.86
    assert share.mean() == pytest.approx(0.85, abs=0.02)


def test_added_light_is_added_and_does_not_scale() -> None:
    station = made()
    own = np.ones((64, 96), np.float32)
    planes = [
        make_stage(station, BY_NAME[name], own, np.random.default_rng(1))
        for name in ("none", "sun patch 15 %")
    ]
    added = planes[1].lit_steady - planes[0].lit_steady
    assert added.max() == pytest.approx(0.15 * station.level, rel=0.02)
    assert (added < 1e-4).mean() > 0.5
    np.testing.assert_array_equal(planes[0].left, planes[1].left)


def test_noise_is_shot_and_read_noise() -> None:
    camera = Camera(full_well=10_000, read_noise=8, gamma=1.0)
    sensor = Sensor(camera, (400, 400), np.random.default_rng(0))
    for level in (0.1, 0.5):
        pixels = sensor.expose(np.full((400, 400), level, np.float32)).astype(np.float64) / 255.0
        rounding = (1 / 255.0) ** 2 / 12
        expected_var = (level + 8**2 / 10_000) / 10_000 + rounding
        assert pixels.mean() == pytest.approx(level, abs=2e-4)
        assert pixels.var() == pytest.approx(expected_var, rel=0.03)


def test_gain_raises_noise_with_the_light_and_a_lamp_less() -> None:
    def spread(light_level: float, gain: float) -> float:
        sensor = Sensor(Camera(gamma=1.0), (400, 400), np.random.default_rng(0))
        return float(sensor.expose(np.full((400, 400), light_level, np.float32), gain).std())

    plain = spread(0.3, 1.0)
    assert spread(0.3, 1.4) / plain == pytest.approx(1.4, rel=0.04)
    assert spread(0.42, 1.0) / plain == pytest.approx(1.4**0.5, rel=0.04)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_the_response_is_undone_by_its_inverse(gamma: float) -> None:
    sensor = Sensor(Camera(full_well=1e9, gamma=gamma), (8, 8), np.random.default_rng(0))
    pixels = sensor.expose(np.full((8, 8), 0.25, np.float32))
    assert (pixels / 255.0) ** gamma == pytest.approx(0.25, abs=0.005)


def test_lamp_noise_has_its_spread_and_its_memory() -> None:
    series = light.ar1(200_000, 0.97, 0.004, np.random.default_rng(0))
    assert series.std() == pytest.approx(0.004, rel=0.05)
    assert np.corrcoef(series[1:], series[:-1])[0, 1] == pytest.approx(0.97, abs=0.005)


def test_a_shift_of_a_pixel_moves_the_picture_by_a_pixel() -> None:
    station = made()
    size = station.kind.size
    still = optics.see(station.scene, size, optics.view(size), 0.0)
    moved = optics.see(station.scene, size, optics.view(size, shift_px=(1.0, 0.0)), 0.0)
    np.testing.assert_allclose(moved[:, 1:], still[:, :-1], atol=1e-4)
    half = optics.see(station.scene, size, optics.view(size, shift_px=(0.5, 0.0)), 0.0)
    np.testing.assert_allclose(half[:, 1:], (still[:, 1:] + still[:, :-1]) / 2, atol=0.01)


def test_vibration_moves_the_picture_as_the_view_does() -> None:
    station = made()
    own = np.ones((64, 96), np.float32)
    change = Change(name="moved", shift_px=0.2)
    stage = make_stage(station, BY_NAME["none"], own, np.random.default_rng(1))
    way = float(np.random.default_rng(1).uniform(0, 2 * np.pi))
    moved = make_stage(station, change, own, np.random.default_rng(1))
    whole = stage.left + stage.right + stage.steady
    guessed = whole + 0.2 * (np.cos(way) * stage.slope_x + np.sin(way) * stage.slope_y)
    really = moved.left + moved.right + moved.steady
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(guessed[inner], really[inner], atol=2e-3)
    assert np.abs(whole - really)[inner].max() > 5e-3


def test_defocus_keeps_the_light_and_takes_the_contrast() -> None:
    sharp, soft = staged(BY_NAME["none"]), staged(BY_NAME["defocus 3 px"])
    assert soft.mean() == pytest.approx(sharp.mean(), rel=0.01)
    assert soft.std() < 0.9 * sharp.std()


def test_dirt_stays_in_its_place_and_takes_its_share() -> None:
    share = staged(BY_NAME["large dirt"]) / staged(BY_NAME["none"])
    assert share.min() == pytest.approx(0.65, abs=0.01)
    assert (share < 0.99).mean() < 0.05


def test_a_stream_is_a_function_of_its_seeds() -> None:
    station = made()
    first, again, other = (list(Stream(station, n, count=6)) for n in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_until_the_change_comes_the_frames_are_those_without_it() -> None:
    station = made()
    plain = list(Stream(station, 1, count=12))
    changed = list(Stream(station, 1, count=12, change=BY_NAME["dim 30 %"], at=6))
    same = [np.array_equal(a, b) for a, b in zip(plain, changed, strict=True)]
    assert same == [True] * 6 + [False] * 6


def test_a_frozen_camera_gives_the_last_frame_again() -> None:
    frames = list(Stream(made(), 1, count=8, change=BY_NAME["frozen"], at=5))
    assert all(np.array_equal(frame, frames[4]) for frame in frames[5:])
    assert not np.array_equal(frames[3], frames[4])


def test_ageing_takes_one_percent_in_its_time() -> None:
    station = replace(made(), lamp_sd=0.0, vibration_px=0.0)
    fast = Change(name="fast", kinds=("brightness",), loss_per_frame=0.01 / 5)
    stream = Stream(station, 1, count=60, change=fast, at=10)
    stream.traffic.part[:] = -1
    stream.traffic.hand[:] = 0.0
    means = [float(frame.mean()) for frame in stream]
    assert np.mean(means[58:]) / np.mean(means[:10]) == pytest.approx(0.905, abs=0.015)


def test_row_flicker_drifts_from_frame_to_frame() -> None:
    station = replace(made(), lamp_sd=0.0, vibration_px=0.0)
    stream = Stream(station, 1, count=4, change=BY_NAME["row flicker 8 %"], at=1)
    stream.traffic.part[:] = -1
    frames = [frame.astype(np.float64) for frame in stream]
    rows = [(frame.mean(axis=1) / frames[0].mean(axis=1)) for frame in frames[1:]]
    assert all(0.1 < row.max() - row.min() < 0.2 for row in rows)
    assert np.abs(rows[0] - rows[1]).max() > 0.02


@pytest.mark.parametrize(
    ("name", "scene", "expect"),
    [
        ("shift 1 px", "textured", Expect.MUST),
        ("shift 1 px", "plate", Expect.NOT),
        ("dim 2 %", "plate", Expect.MUST),
        ("dim 2 %", "web", Expect.NOT),
        ("dim 2 %", "full", Expect.NOT),
        ("frozen", "web", Expect.MUST),
        ("product, told", "web", Expect.NOTHING),
        ("colour 2 %", "textured", Expect.NOT),
    ],
)
def test_what_nobody_can_see_is_not_asked(name: str, scene: str, expect: Expect) -> None:
    assert expected(BY_NAME[name], scene=scene, colour=False) is expect


def test_each_change_has_a_name_that_the_watch_knows() -> None:
    known = {
        "brightness", "gradient", "ambient", "color", "exposure", "flicker", "defocus", "dirt",
        "camera_moved", "frozen", "product",
    }  # fmt: skip
    unnamed = [change.name for change in CHANGES if not change.kinds]
    assert unnamed == ["product, told"]
    assert {kind for change in CHANGES for kind in change.kinds} <= known
    assert len({change.name for change in CHANGES}) == len(CHANGES) >= 33


def test_colour_frames_have_three_channels_and_follow_the_light() -> None:
    kind = Kind(name="made", width=96, height=64, colour=True, scene="textured")
    plain = made(kind)
    station = replace(
        plain,
        scene=np.repeat(plain.scene[..., np.newaxis], 3, axis=2),
        parts=[Sprite(np.full((20, 20, 3), 0.4, np.float32), plain.parts[0].keep)],
        lamp_sd=0.0,
    )
    frames = list(Stream(station, 1, count=40, change=BY_NAME["colour 6 %"], at=20))
    assert frames[0].shape == (64, 96, 3)

    def ratio(some: list[Any]) -> float:
        return float(np.mean([frame[..., 2].mean() / frame[..., 0].mean() for frame in some]))

    assert ratio(frames[20:]) / ratio(frames[:20]) == pytest.approx(1.03 / 0.97, abs=0.005)
