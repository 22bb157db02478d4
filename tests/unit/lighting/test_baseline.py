"""The baseline: frozen, wide enough for what it was learned from, and read as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st

from edge_agent.camera.frame import Image
from edge_agent.errors import UsageError
from edge_agent.lighting import Baseline, LightLevel, LightWatch
from edge_agent.lighting.baseline import GOOD_FRAMES, MIN_FRAMES, Limit, blur_sigma
from edge_agent.lighting.diagnosis import KINDS
from edge_agent.lighting.figures import NAMES
from tests.unit.lighting.scenery import Scenery, View


def noise(count: int, *shape: int, seed: int = 0) -> list[Image]:
    random = np.random.default_rng(seed)
    return [random.integers(80, 120, shape).astype(np.uint8) for _ in range(count)]


def test_every_frame_it_was_learned_from_lies_inside(
    baseline: Baseline, good_frames: list[Image]
) -> None:
    watch = LightWatch(baseline)
    assert {watch.update(frame).level for frame in good_frames} == {LightLevel.NORMAL}
    assert all(watch.glance(frame).excess <= 1.0 for frame in good_frames[::10])


@run(max_examples=8)
@given(st.lists(st.integers(0, 255), min_size=MIN_FRAMES, max_size=12), st.booleans())
def test_every_frame_lies_inside_however_much_they_differ(levels: list[int], grey: bool) -> None:
    shape = (40, 60) if grey else (40, 60, 3)
    texture = np.random.default_rng(0).integers(0, 9, shape)
    frames = [np.clip(texture + level, 0, 255).astype(np.uint8) for level in levels]
    watch = LightWatch(Baseline.learn(frames))
    assert all(watch.glance(frame).excess <= 1.0 for frame in frames)


def test_frames_of_mixed_sizes_and_colours_can_be_learned() -> None:
    frames = [*noise(5, 240, 320, 3), *noise(5, 120, 160, 3), *noise(5, 150, 100)]
    baseline = Baseline.learn(frames)
    assert (baseline.height, baseline.width, baseline.frames) == (240, 320, 15)
    watch = LightWatch(baseline)
    assert all(watch.update(frame).excess <= 1.0 for frame in frames)
    assert all("several sizes" in baseline.monitors[kind] for kind in ("dirt", "gradient"))


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 8), (8, 500, 3), (48, 48)])
def test_small_frames_can_be_learned(shape: tuple[int, ...]) -> None:
    frames = noise(10, *shape)
    watch = LightWatch(Baseline.learn(frames))
    assert watch.update(frames[0]).level is LightLevel.NORMAL
    assert watch.update(frames[0] // 4).level is LightLevel.INVALID


def test_too_few_or_too_small_frames_are_refused() -> None:
    with pytest.raises(UsageError, match=f"at least {MIN_FRAMES} good frames and got 4: take"):
        Baseline.learn(noise(4, 60, 80, 3))
    with pytest.raises(UsageError, match=r"at least 5 good frames and got 0"):
        Baseline.learn([])
    with pytest.raises(UsageError, match="at least 8 x 8 pixels"):
        Baseline.learn([*noise(9, 60, 80, 3), *noise(1, 7, 80, 3)])
    assert MIN_FRAMES < GOOD_FRAMES


def test_the_same_frames_give_the_same_baseline() -> None:
    assert Baseline.learn(noise(8, 60, 80, 3)) == Baseline.learn(noise(8, 60, 80, 3))
    other = Baseline.learn(noise(8, 60, 80, 3, seed=1))
    assert other.digest != Baseline.learn(noise(8, 60, 80, 3)).digest


def test_frames_are_left_as_they_were(scenery: Scenery) -> None:
    frames = scenery.frames(20)
    before = [frame.copy() for frame in frames]
    Baseline.learn(frames)
    for frame, copy in zip(frames, before, strict=True):
        np.testing.assert_array_equal(frame, copy)


def test_without_a_scene_sharpness_is_measured_where_there_is_texture() -> None:
    frames = [np.full((480, 640, 3), 90 + level, np.uint8) for level in (0, 9, 0, 9, 0)]
    for frame in frames:
        frame[192:240, 480:528] = noise(1, 48, 48, 3)[0]
    spots = Baseline.learn(frames).spots
    assert len(set(spots)) == len(spots) >= 1
    assert any(abs(x - 0.75) < 0.1 and abs(y - 0.4) < 0.1 for x, y in spots)


def test_a_limit_says_how_far_outside_a_value_is() -> None:
    limit = Limit(centre=10.0, reach=2.0)
    assert [limit.excess(value) for value in (10.0, 12.0, 8.0, 14.0)] == [0.0, 1.0, 1.0, 2.0]
    lopsided = Limit(centre=10.0, reach=2.0, below=5.0)
    assert [lopsided.excess(value) for value in (10.0, 12.0, 5.0, 0.0)] == [0.0, 1.0, 1.0, 2.0]


def test_a_model_that_bears_darkness_widens_the_level_below_and_not_above(
    scenes: list[Image], scenery: Scenery
) -> None:
    learned = Baseline.learn(scenes, light=(0.5, 1.0))
    level = learned.limits["level"]
    assert level.below == pytest.approx(50.0, rel=0.01)
    assert level.reach < 10.0, "what was seen, and little more"
    assert Baseline.decode(learned.encode(), "x") == learned
    watch = LightWatch(learned)
    assert watch.update(scenery.frame(90, View(level=0.55))).level is not LightLevel.INVALID
    assert watch.update(scenery.frame(91, View(level=1.2))).level is LightLevel.INVALID


# --- what it says of itself ----------------------------------------------------------------------


def test_every_kind_of_cause_is_watched_or_said_not_to_be(baseline: Baseline) -> None:
    assert set(baseline.monitors) == set(KINDS)
    assert not any(baseline.monitors.values()), "the simulated line shows them all"
    assert baseline.notes == ()


def test_what_cannot_be_watched_is_said() -> None:
    plate = Baseline.learn(Scenery(texture=0.0, part=False).frames(60)).monitors
    assert "too little texture" in plate["camera_moved"]
    assert "too little texture" in plate["defocus"]
    assert plate["product"], "nothing changes from part to part"
    assert (plate["brightness"], plate["gradient"], plate["color"]) == ("", "", "")
    random = np.random.default_rng(4)
    random_frames = [random.integers(40, 200, (120, 160)).astype(np.uint8) for _ in range(60)]
    web = [np.asarray(cv2.GaussianBlur(frame, (0, 0), 2), np.uint8) for frame in random_frames]
    said = Baseline.learn(web).monitors
    for kind in ("brightness", "ambient", "dirt", "camera_moved", "gradient"):
        assert "nothing in view stays put" in said[kind], kind
    assert "grey" in said["color"]
    assert said["frozen"] == ""


def test_too_few_frames_are_said(scenery: Scenery) -> None:
    (few,) = Baseline.learn(scenery.frames(20)).notes
    assert few.startswith("20 frames")
    assert str(GOOD_FRAMES) in few


def test_light_that_was_not_steady_while_learning_is_said(scenery: Scenery) -> None:
    warming = [scenery.frame(number, View(level=0.9 + 0.1 * number / 60)) for number in range(60)]
    notes = Baseline.learn(warming).notes
    assert any("the light moved by +" in note and "learn again" in note for note in notes)
    random = np.random.default_rng(0)
    shaky = [
        scenery.frame(number, View(level=float(random.normal(1.0, 0.05)))) for number in range(60)
    ]
    assert any("not steady" in note for note in Baseline.learn(shaky).notes)


def test_blur_is_read_off_what_the_meter_says_of_known_blur(baseline: Baseline) -> None:
    sigmas = [sigma for sigma, _ in baseline.blur]
    assert sigmas == sorted(sigmas)
    for sigma, figure in baseline.blur[1:4]:
        assert blur_sigma(baseline.blur, figure) == pytest.approx(sigma, abs=0.05)
    most = max(figure for _, figure in baseline.blur)
    assert blur_sigma(baseline.blur, 10 * most + 1.0) <= max(sigmas)
    assert blur_sigma((), 0.49) == pytest.approx(0.7)


# --- files ---------------------------------------------------------------------------------------


def test_decode_returns_what_encode_wrote(baseline: Baseline, tmp_path: Path) -> None:
    assert Baseline.decode(baseline.encode(), "x") == baseline
    path = tmp_path / "baseline.json"
    path.write_bytes(baseline.encode())
    assert Baseline.read(path) == baseline
    assert Baseline.read(path).encode() == baseline.encode()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schema": "edge/baseline/1"}, "schema"),
        ({"frames": 1}, "frames"),
        ({"width": 0}, "width"),
        ({"spots": [[0.5]]}, "spots"),
        ({"memories": {}}, "baseline lacks level"),
        ({"bands": {}}, "baseline lacks level"),
        ({"fields": ""}, "lacks places"),
        ({"limits": {"level": {"centre": 1, "reach": 0}}}, "reach"),
        ({"more": 1}, "unknown field"),
    ],
)  # fmt: skip
def test_what_is_no_baseline_is_refused(
    baseline: Baseline, changes: dict[str, Any], expected: str
) -> None:
    data = json.dumps(json.loads(baseline.encode()) | changes).encode()
    with pytest.raises(UsageError, match=expected) as caught:
        Baseline.decode(data, "here.json")
    assert str(caught.value).startswith("baseline here.json: ")
    assert str(caught.value).endswith(": learn it again")


def test_a_scene_cut_short_is_refused(baseline: Baseline) -> None:
    whole = json.loads(baseline.encode())
    whole["scene"]["kinds"] = whole["scene"]["kinds"][:-8]
    with pytest.raises(UsageError, match=r"do not fit together.*: learn it again"):
        Baseline.decode(json.dumps(whole).encode(), "x")


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"schema": "\xff"}', b"{"])
def test_bytes_that_are_no_baseline_are_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"baseline x: .*: learn it again"):
        Baseline.decode(data, "x")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json: cannot be read: No such file"):
        Baseline.read(tmp_path / "gone.json")


def test_every_statistic_has_its_memory_and_its_band(baseline: Baseline) -> None:
    assert set(baseline.memories) == set(baseline.bands) == set(NAMES)
    assert all(band > 0 for band in baseline.bands.values())
    assert set(baseline.limits) <= set(NAMES)
    assert {"level", "shift_x", "shift_y", "blur"} <= set(baseline.limits)
    assert all((limit > 0).all() for limit in baseline.field_limits().values())
