"""One suite for all cameras: the promises of `edge_agent.camera`."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np
import pytest

from edge_agent.camera.frame import EndOfFrames, Frame
from edge_agent.camera.registry import DRIVERS, make_camera, settings_type
from edge_agent.camera.triggers import Trigger
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_agent.camera.frame import Camera

FRAMES = 9
TAKT_MS = 15


def _pictures() -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Draw frames that differ by more than a video codec loses."""
    for number in range(FRAMES):
        picture = np.full((120, 160, 3), 20 + 25 * number, np.uint8)
        picture[20:40, 5 + 15 * number : 15 + 15 * number] = (0, 0, 255)
        yield picture


@pytest.fixture(params=sorted(DRIVERS))
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(driver: str, tmp_path: Path) -> Iterator[Callable[..., Camera]]:
    """Make cameras of `FRAMES` frames; those that are open at the end are closed."""
    if driver == "simulated":
        own: dict[str, object] = {"width": 160, "height": 120, "parts": FRAMES}
    elif driver == "folder":
        for number, picture in enumerate(_pictures()):
            (tmp_path / "good").mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / "good" / f"{number}.png"), picture)
        own = {"path": str(tmp_path)}
    else:
        path = tmp_path / "line.avi"
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 50, (160, 120)
        )
        for picture in _pictures():
            writer.write(picture)
        writer.release()
        own = {"path": str(path)}
    made: list[Camera] = []

    def construct(*, trigger: Trigger = Trigger.FREE_RUN, **changes: object) -> Camera:
        values = {"takt_ms": TAKT_MS, **own, **changes}
        settings = msgspec.convert(values, settings_type(driver))
        made.append(make_camera(driver, settings, station="s1", trigger=trigger))
        return made[-1]

    yield construct
    for camera in made:
        camera.close()


def read(camera: Camera) -> Frame:
    frame = camera.read(5.0)
    assert frame is not None
    return frame


def read_all(camera: Camera) -> list[Frame]:
    """Read to the end; the images are copied, as whoever keeps a frame must."""
    frames: list[Frame] = []
    try:
        while True:
            frame = read(camera)
            frames.append(msgspec.structs.replace(frame, image=frame.image.copy()))
    except EndOfFrames:
        return frames


def test_frames_are_what_the_contract_says(make: Callable[..., Camera]) -> None:
    camera = make()
    camera.open()
    for _ in range(3):
        frame = read(camera)
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (120, 160, 3)
        assert frame.image.flags.c_contiguous
        assert frame.station == "s1"
        assert frame.part
        assert frame.fault == ""


def test_all_frames_come_then_the_end_and_again_the_end(make: Callable[..., Camera]) -> None:
    camera = make(takt_ms=0)
    camera.open()
    frames = read_all(camera)
    assert len(frames) == FRAMES
    assert len({frame.part for frame in frames}) == FRAMES
    with pytest.raises(EndOfFrames):
        camera.read(0.0)


def test_sequence_begins_at_one_and_grows(make: Callable[..., Camera]) -> None:
    camera = make(takt_ms=0)
    camera.open()
    numbers = [frame.sequence for frame in read_all(camera)]
    assert numbers == list(range(1, FRAMES + 1))


def test_capture_times_grow_on_both_clocks_and_are_past(make: Callable[..., Camera]) -> None:
    camera = make()
    camera.open()
    before = time.monotonic_ns()
    stamps = [frame.captured for frame in read_all(camera)]
    assert all(a.mono_ns < b.mono_ns for a, b in itertools.pairwise(stamps))
    assert before <= stamps[0].mono_ns
    assert stamps[-1].mono_ns <= time.monotonic_ns()
    assert abs(stamps[-1].wall_ns - time.time_ns()) < 2_000_000_000


def test_free_run_keeps_its_takt_without_drift(make: Callable[..., Camera]) -> None:
    camera = make()
    camera.open()
    frames = read_all(camera)
    first, last = frames[0], frames[-1]
    spent_ms = (last.captured.mono_ns - first.captured.mono_ns) / 1e6
    assert spent_ms / (last.sequence - first.sequence) == pytest.approx(TAKT_MS, rel=0.25)


def test_opened_again_it_starts_over_with_new_part_ids(make: Callable[..., Camera]) -> None:
    camera = make()
    camera.open()
    first = [read(camera), read(camera)]
    camera.close()
    camera.close()
    camera.open()
    second = [read(camera), read(camera)]
    assert [frame.sequence for frame in second] == [1, 2]
    assert not {frame.part for frame in first} & {frame.part for frame in second}


def test_a_closed_camera_refuses_to_read(make: Callable[..., Camera]) -> None:
    camera = make()
    with pytest.raises(CameraError, match="not open"):
        camera.read(0.0)
    camera.open()
    camera.close()
    with pytest.raises(CameraError, match=r"s1.*not open"):
        camera.read(0.0)


def test_frames_stay_valid_for_the_reads_promised(make: Callable[..., Camera]) -> None:
    camera = make()
    assert camera.buffers >= 3
    camera.open()
    kept = [read(camera) for _ in range(camera.buffers)]
    copies = [frame.image.copy() for frame in kept]
    camera.read(0.0)  # one that may come too early: what it prepares must not harm either
    for frame, copy in list(zip(kept, copies, strict=True))[1:]:
        assert np.array_equal(frame.image, copy)
    assert len({copy.tobytes() for copy in copies}) == len(copies)


def test_a_timeout_is_honoured(make: Callable[..., Camera]) -> None:
    camera = make(takt_ms=60_000)
    camera.open()
    begin = time.monotonic()
    assert camera.read(0.0) is None
    assert camera.read(0.05) is None
    assert 0.05 <= time.monotonic() - begin < 1.0


def test_each_software_trigger_gives_one_frame(make: Callable[..., Camera]) -> None:
    camera = make(trigger=Trigger.SOFTWARE)
    camera.open()
    assert camera.read(0.01) is None
    for _ in range(3):
        camera.trigger()
    frames = [read(camera) for _ in range(3)]
    assert [frame.sequence for frame in frames] == [1, 2, 3]
    assert len({frame.part for frame in frames}) == 3
    assert camera.read(0.01) is None


def test_the_light_is_taken_when_triggered(make: Callable[..., Camera]) -> None:
    camera = make(trigger=Trigger.SOFTWARE)
    camera.open()
    before = time.monotonic_ns()
    camera.trigger()
    after = time.monotonic_ns()
    time.sleep(0.05)
    assert before <= read(camera).captured.mono_ns <= after


def test_a_trigger_from_another_thread_wakes_the_reader(make: Callable[..., Camera]) -> None:
    camera = make(trigger=Trigger.SOFTWARE)
    camera.open()
    timer = threading.Timer(0.05, camera.trigger)
    timer.start()
    assert camera.read(5.0) is not None
    timer.join()


def test_in_free_run_a_trigger_changes_nothing(make: Callable[..., Camera]) -> None:
    camera = make(takt_ms=60_000)
    camera.open()
    camera.trigger()
    assert camera.read(0.02) is None


@pytest.mark.parametrize("trigger", list(Trigger))
def test_closing_from_another_thread_ends_a_read(
    make: Callable[..., Camera], trigger: Trigger
) -> None:
    camera = make(trigger=trigger, takt_ms=60_000)
    camera.open()
    timer = threading.Timer(0.05, camera.close)
    begin = time.monotonic()
    timer.start()
    assert camera.read(30.0) is None
    assert time.monotonic() - begin < 2.0
    timer.join()
