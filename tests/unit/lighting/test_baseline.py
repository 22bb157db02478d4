"""The baseline: frozen, wide enough for what it was learned from, and read as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st

from edge_agent.camera.frame import Image
from edge_agent.errors import UsageError
from edge_agent.lighting import Baseline, LightLevel, LightWatch
from edge_agent.lighting.baseline import GOOD_FRAMES, MIN_FRAMES, Limit
from edge_agent.lighting.statistics import SCALARS


def noise(count: int, *shape: int, seed: int = 0) -> list[Image]:
    random = np.random.default_rng(seed)
    return [random.integers(80, 120, shape).astype(np.uint8) for _ in range(count)]


def test_every_frame_it_was_learned_from_lies_inside(
    baseline: Baseline, good_frames: list[Image]
) -> None:
    watch = LightWatch(baseline)
    assert {watch.update(frame).level for frame in good_frames} == {LightLevel.NORMAL}


@run(max_examples=25)
@given(st.lists(st.integers(0, 255), min_size=MIN_FRAMES, max_size=12), st.booleans())
def test_every_frame_lies_inside_however_much_they_differ(levels: list[int], grey: bool) -> None:
    shape = (40, 60) if grey else (40, 60, 3)
    texture = np.random.default_rng(0).integers(0, 9, shape)
    frames = [np.clip(texture + level, 0, 255).astype(np.uint8) for level in levels]
    watch = LightWatch(Baseline.learn(frames))
    assert all(watch.update(frame).excess <= 1.0 for frame in frames)


def test_frames_of_mixed_sizes_and_colours_can_be_learned() -> None:
    frames = [*noise(5, 480, 640, 3), *noise(5, 120, 160, 3), *noise(5, 300, 200)]
    baseline = Baseline.learn(frames)
    assert (baseline.height, baseline.width, baseline.frames) == (480, 640, 15)
    watch = LightWatch(baseline)
    assert all(watch.update(frame).excess <= 1.0 for frame in frames)


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


def test_sharpness_is_measured_where_there_is_texture(baseline: Baseline) -> None:
    assert 1 <= len(baseline.spots) <= 6
    assert len(set(baseline.spots)) == len(baseline.spots)
    frames = [np.full((480, 640, 3), 90, np.uint8) for _ in range(5)]
    for frame in frames:
        frame[192:240, 480:528] = noise(1, 48, 48, 3)[0]
    assert any(abs(x - 0.75) < 0.1 and abs(y - 0.4) < 0.1 for x, y in Baseline.learn(frames).spots)


def test_a_limit_says_how_far_outside_a_value_is() -> None:
    limit = Limit(centre=10.0, reach=2.0)
    assert [limit.excess(value) for value in (10.0, 12.0, 8.0, 14.0)] == [0.0, 1.0, 1.0, 2.0]
    lopsided = Limit(centre=10.0, reach=2.0, below=5.0)
    assert [lopsided.excess(value) for value in (10.0, 12.0, 5.0, 0.0)] == [0.0, 1.0, 1.0, 2.0]


def test_a_model_that_bears_darkness_widens_the_level_below_and_not_above(
    baseline: Baseline,
) -> None:
    frames = [np.full((480, 640, 3), level, np.uint8) for level in (100, 101, 99, 100, 100)]
    learned = Baseline.learn(frames, light=(0.5, 1.0))
    level = learned.limits["level"]
    assert level.below == pytest.approx(level.centre * 0.5, rel=0.01)
    assert level.reach < 0.1 * level.centre, "what was seen, and no more"
    assert Baseline.decode(learned.encode(), "x") == learned
    assert learned.digest != baseline.digest


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
        ({"schema": "edge/baseline/2"}, "schema"),
        ({"frames": 1}, "frames"),
        ({"width": 0}, "width"),
        ({"spots": [[-0.5, 0.0]]}, "spots"),
        ({"spots": [[0.5]]}, "spots"),
        ({"grid": []}, "lacks cells of the grid"),
        ({"limits": {}}, "lacks level, contrast"),
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


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"schema": "\xff"}', b"{"])
def test_bytes_that_are_no_baseline_are_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"baseline x: .*: learn it again"):
        Baseline.decode(data, "x")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json: cannot be read: No such file"):
        Baseline.read(tmp_path / "gone.json")


def test_every_statistic_has_its_limit(baseline: Baseline) -> None:
    assert set(baseline.limits) == set(SCALARS)
    assert all(limit.reach > 0 for limit in (*baseline.limits.values(), *baseline.grid))
