"""The invariants of the video camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_agent.camera.drivers.video import Driver, Settings
from edge_agent.camera.frame import EndOfFrames, Frame
from edge_agent.camera.playback import Playback
from edge_agent.camera.triggers import Trigger
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 30


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of 30 frames at 50 a second; each is a little brighter."""
    path = tmp_path / "line.avi"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 50, (160, 120)
    )
    rng = np.random.default_rng(3)
    for number in range(FRAMES):
        noise = rng.integers(0, 30, (120, 160, 3))
        writer.write((noise + 5 * number).astype(np.uint8))
    writer.release()
    return path


def play(settings: Settings, *, limit: int = 200) -> list[Frame]:
    camera = Driver(settings, station="s1", trigger=Trigger.FREE_RUN)
    camera.open()
    frames: list[Frame] = []
    try:
        while len(frames) < limit:
            frame = camera.read(5.0)
            assert frame is not None
            frames.append(frame)
    except EndOfFrames:
        pass
    finally:
        camera.close()
    return frames


def test_a_video_is_played_once(video: Path) -> None:
    frames = play(Settings(path=str(video), takt_ms=1))
    assert len(frames) == FRAMES
    assert [frame.part for frame in frames[:2]] == ["line-000001", "line-000002"]
    assert {frame.fault for frame in frames} == {""}
    assert frames[0].source == str(video)


def test_it_has_its_own_rate_or_a_takt(video: Path) -> None:
    own = play(Settings(path=str(video)), limit=5)
    assert (own[4].captured.mono_ns - own[0].captured.mono_ns) / 4e6 == pytest.approx(20, rel=0.3)
    takt = play(Settings(path=str(video), takt_ms=5), limit=5)
    assert (takt[4].captured.mono_ns - takt[0].captured.mono_ns) / 4e6 == pytest.approx(5, rel=0.5)


def test_a_looped_video_has_other_part_ids_each_round(video: Path) -> None:
    frames = play(Settings(path=str(video), takt_ms=1, loop=Playback.LOOPED), limit=FRAMES + 2)
    assert [frame.part for frame in frames[-2:]] == ["line-000001#2", "line-000002#2"]
    assert frames[-1].sequence == FRAMES + 2
    assert len({frame.part for frame in frames}) == len(frames)


def test_invariant_3_a_truncated_video_says_so_once(
    video: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = video.read_bytes()
    video.write_bytes(data[: len(data) * 6 // 10])
    frames = play(Settings(path=str(video), takt_ms=1))
    assert 5 < len(frames) < FRAMES
    assert [frame.fault for frame in frames[:-1]] == [""] * (len(frames) - 1)
    assert "the file is cut short" in frames[-1].fault
    assert "line.avi" in frames[-1].fault
    assert frames[-1].image.size == 0
    assert capfd.readouterr() == ("", "")


def test_invariant_4_frames_lie_in_a_ring(video: Path) -> None:
    camera = Driver(
        Settings(path=str(video), takt_ms=1, buffers=3), station="s", trigger=Trigger.FREE_RUN
    )
    camera.open()
    frames = [camera.read(5.0) for _ in range(7)]
    for first, later in ((0, 3), (1, 4), (3, 6)):
        a, b = frames[first], frames[later]
        assert a is not None
        assert b is not None
        assert np.shares_memory(a.image, b.image)
    camera.close()


def test_a_missing_or_unreadable_file_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.avi").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    for name, text in (
        ("gone.avi", "gone.avi does not exist; expected a video file"),
        ("text.avi", "text.avi holds no frame that can be decoded"),
        ("empty.mp4", "empty.mp4 holds no frame"),
        ("", "is not a file"),
    ):
        camera = Driver(Settings(path=str(tmp_path / name)), station="s1", trigger=Trigger.FREE_RUN)
        with pytest.raises(CameraError, match=text):
            camera.open()
        camera.close()
    assert capfd.readouterr().err == ""
