"""Copies of frames: the invariants of `edge_agent.agent.tap`, each by its name."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent import clock
from edge_agent.agent.tap import MAX_FRAMES, FrameTap, Tapped
from edge_agent.camera.frame import NO_IMAGE, Frame, Truth
from edge_agent.camera.images import list_images, read_image
from edge_agent.errors import UsageError


def frame_of(number: int, **fields: Any) -> Frame:
    image = np.full((24, 32, 3), number % 256, np.uint8)
    return Frame(image, clock.now(), number, "s", f"p-{number}", **fields)


def until_kept(tap: FrameTap, count: int) -> None:
    end = time.monotonic() + 10
    while tap.state().kept < count:
        assert time.monotonic() < end, tap.state()
        time.sleep(0.005)


def test_as_many_are_kept_as_were_wanted(tmp_path: Path) -> None:
    tap = FrameTap(tmp_path / "frames", 3)
    for number in range(1, 9):
        tap.offer(frame_of(number))
        until_kept(tap, min(number, 3))
    tap.stop()
    assert tap.state() == Tapped(str(tmp_path / "frames"), 3, 3)
    files = list_images(tmp_path / "frames")
    assert [int(read_image(file)[0, 0, 0]) for file in files] == [1, 2, 3]
    assert files[0].name == "0001_p-1.png"


def test_a_part_never_waits(tmp_path: Path) -> None:
    tap = FrameTap(tmp_path, MAX_FRAMES)
    big = Frame(
        np.random.default_rng(0).integers(0, 255, (1200, 1600, 3), np.uint8),
        clock.now(), 1, "s", "p",
    )  # fmt: skip
    begin = time.monotonic()
    for _ in range(200):
        tap.offer(big)
    assert time.monotonic() - begin < 5.0  # writing them all would take much longer
    tap.stop()
    assert 0 < tap.state().kept == len(list_images(tmp_path)) < 200


def test_the_copy_is_the_taps_own(tmp_path: Path) -> None:
    tap = FrameTap(tmp_path, 1)
    frame = frame_of(7)
    tap.offer(frame)
    frame.image[:] = 99  # the camera fills its buffer anew
    tap.stop()
    assert int(read_image(list_images(tmp_path)[0])[0, 0, 0]) == 7


def test_what_says_that_it_is_wrong_is_left_out(tmp_path: Path) -> None:
    tap = FrameTap(tmp_path, 5)
    tap.offer(Frame(NO_IMAGE, clock.now(), 1, "s", "p", fault="torn"))
    tap.offer(frame_of(2, truth=Truth("scratch")))
    tap.offer(frame_of(3, truth=Truth("")))
    tap.stop()
    assert [file.name for file in list_images(tmp_path)] == ["0001_p-3.png"]


def test_after_it_was_stopped_it_takes_nothing(tmp_path: Path) -> None:
    tap = FrameTap(tmp_path, 5)
    tap.stop()
    tap.stop()
    tap.offer(frame_of(1))
    assert tap.state().kept == 0


def test_a_disk_that_refuses_ends_it_and_is_said(tmp_path: Path) -> None:
    tap = FrameTap(tmp_path / "frames", 5)
    (tmp_path / "frames").rmdir()
    tap.offer(frame_of(1))
    tap._thread.join(10)
    assert "cannot be written" in tap.state().error
    tap.offer(frame_of(2))
    tap.stop()


@pytest.mark.parametrize("wanted", [0, -1, MAX_FRAMES + 1])
def test_a_number_out_of_range_is_refused(tmp_path: Path, wanted: int) -> None:
    with pytest.raises(UsageError, match="is not from 1 to"):
        FrameTap(tmp_path, wanted)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        FrameTap(tmp_path / "file" / "x", 5)
