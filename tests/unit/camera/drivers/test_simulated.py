"""The invariants of the simulated line, by their numbers, and how its light is ordered."""

from __future__ import annotations

import itertools
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from edge_agent.camera.drivers.simulated import Driver, Settings, part_id, render, truth_of
from edge_agent.camera.frame import EndOfFrames, Frame, Truth
from edge_agent.camera.simulation.light import Light, LightChange
from edge_agent.camera.triggers import Trigger
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = Settings(width=160, height=120, takt_ms=0, defect_rate=0.3)


@pytest.fixture
def cameras() -> Iterator[list[Driver]]:
    opened: list[Driver] = []
    yield opened
    for camera in opened:
        camera.close()


def start(cameras: list[Driver], settings: Settings) -> Driver:
    camera = Driver(settings, station="s1", trigger=Trigger.FREE_RUN)
    camera.open()
    cameras.append(camera)
    return camera


def read(camera: Driver) -> Frame:
    frame = camera.read(5.0)
    assert frame is not None
    return frame


def brightness(frame: Frame) -> float:
    return float(frame.image.mean())


def test_invariant_1_the_same_seed_gives_the_same_pixels(cameras: list[Driver]) -> None:
    one, same = start(cameras, SMALL), start(cameras, SMALL)
    other = start(cameras, msgspec.structs.replace(SMALL, seed=2))
    for _ in range(3):
        a, b, c = read(one), read(same), read(other)
        assert np.array_equal(a.image, b.image)
        assert (a.part, a.truth) == (b.part, b.truth)
        assert not np.array_equal(a.image, c.image)
        assert a.part != c.part


def test_invariant_1_a_part_can_be_drawn_and_judged_alone(cameras: list[Driver]) -> None:
    camera = start(cameras, SMALL)
    for number in range(1, 13):
        frame = read(camera)
        assert frame.part == part_id(SMALL, number) == f"1-{number:06d}"
        assert frame.truth == truth_of(SMALL, number)
    assert np.array_equal(frame.image, render(SMALL, 12))


def test_invariant_2_a_late_reader_loses_parts_and_the_hole_shows_it(
    cameras: list[Driver],
) -> None:
    camera = start(cameras, msgspec.structs.replace(SMALL, takt_ms=10))
    first = read(camera)
    assert first.sequence == 1
    time.sleep(0.15)
    late = read(camera)
    assert late.sequence >= 10
    assert late.part == part_id(SMALL, late.sequence)
    assert late.truth == truth_of(SMALL, late.sequence)
    assert np.array_equal(late.image, render(SMALL, late.sequence))


def test_invariant_2_the_line_ends_though_nobody_reads(cameras: list[Driver]) -> None:
    camera = start(cameras, msgspec.structs.replace(SMALL, takt_ms=5, parts=3))
    time.sleep(0.1)
    with pytest.raises(EndOfFrames):
        camera.read(1.0)


def test_invariant_3_frames_lie_in_a_ring(cameras: list[Driver]) -> None:
    camera = start(cameras, msgspec.structs.replace(SMALL, buffers=3))
    frames = [read(camera) for _ in range(7)]
    for a, b in itertools.combinations(range(7), 2):
        shared = np.shares_memory(frames[a].image, frames[b].image)
        assert shared == ((b - a) % 3 == 0)


def test_invariant_3_nothing_of_a_frame_s_size_is_made(cameras: list[Driver]) -> None:
    camera = start(cameras, Settings(takt_ms=0, defect_rate=0.5))
    for _ in range(3):
        read(camera)
    tracemalloc.start()
    for _ in range(10):
        read(camera)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 640 * 480 / 4


def test_invariant_4_part_numbers_go_on_when_opened_again(cameras: list[Driver]) -> None:
    camera = start(cameras, SMALL)
    assert [read(camera).part for _ in range(2)] == ["1-000001", "1-000002"]
    camera.close()
    camera.open()
    frame = read(camera)
    assert (frame.part, frame.sequence) == ("1-000003", 1)
    assert np.array_equal(frame.image, render(SMALL, 3))


def test_the_light_can_be_ordered_and_given_back(cameras: list[Driver]) -> None:
    camera = start(cameras, msgspec.structs.replace(SMALL, defect_rate=0.0))
    nominal = brightness(read(camera))
    camera.set_light(Light(level=0.5))
    dim = read(camera)
    assert brightness(dim) < 0.8 * nominal
    assert np.array_equal(
        dim.image,
        render(msgspec.structs.replace(SMALL, defect_rate=0.0), 2, Light(level=0.5)),
    )
    camera.set_light(None)
    assert brightness(read(camera)) == pytest.approx(nominal, rel=0.05)


def test_an_order_from_another_thread_counts_for_the_part_that_is_awaited(
    cameras: list[Driver],
) -> None:
    camera = start(cameras, msgspec.structs.replace(SMALL, takt_ms=150))
    timer = threading.Timer(0.03, lambda: camera.set_light(Light(level=0.0)))
    timer.start()
    assert brightness(read(camera)) < 20
    timer.join()


def test_the_schedule_changes_the_light_by_part(cameras: list[Driver]) -> None:
    schedule = (LightChange(from_part=3, ramp_parts=2, level=0.2), LightChange(from_part=7))
    camera = start(cameras, msgspec.structs.replace(SMALL, schedule=schedule))
    seen = [brightness(read(camera)) for _ in range(8)]
    bright, dark = seen[0], seen[5]
    assert seen[1] == pytest.approx(bright, rel=0.05)
    assert seen[2] == pytest.approx(bright, rel=0.05)
    assert dark < seen[3] < 0.95 * bright
    assert seen[4] == pytest.approx(dark, rel=0.05)
    assert seen[6] == pytest.approx(bright, rel=0.05)


def test_the_truth_is_where_a_moved_camera_sees_it(cameras: list[Driver]) -> None:
    moved = Light(shift_x_px=20, shift_y_px=8)
    settings = msgspec.structs.replace(SMALL, defect_rate=1.0)
    camera = start(cameras, settings)
    camera.set_light(moved)
    frame, still = read(camera), truth_of(settings, 1)
    assert frame.truth == truth_of(settings, 1, light=moved)
    assert frame.truth is not None
    assert (frame.truth.x - still.x, frame.truth.y - still.y) == pytest.approx((5.0, 2.0))


def test_a_good_part_has_a_truth_too() -> None:
    settings = msgspec.structs.replace(SMALL, defect_rate=0.0)
    assert truth_of(settings, 1) == Truth("")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"defect_size_px_min": 50.0, "defect_size_px_max": 10.0},
            "defect_size_px_min 50 is above",
        ),
        (
            {"schedule": (LightChange(from_part=9), LightChange(from_part=4))},
            r"from_part must ascend, but goes \[9, 4\]",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    changes: dict[str, object], text: str
) -> None:
    settings = msgspec.structs.replace(SMALL, **changes)
    with pytest.raises(ConfigError, match=text):
        Driver(settings, station="s1", trigger=Trigger.FREE_RUN)
