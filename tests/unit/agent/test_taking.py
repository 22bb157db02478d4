"""Pictures of good parts are taken with the shipped cameras, and kept as they came."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration import anomaly, frames
from edge_agent.agent import taking
from edge_agent.agent.control import ControlServer
from edge_agent.camera.drivers import folder as folder_driver
from edge_agent.camera.drivers import simulated
from edge_agent.camera.images import read_image
from edge_agent.camera.playback import Playback
from edge_agent.camera.triggers import Trigger
from edge_agent.errors import CameraError, UsageError

STATION = (
    'device = "d"\nruntime_dir = "{run}"\n[station.press-4.camera]\ndriver = "simulated"\n'
    '[station.saw.camera]\ndriver = "simulated"\n'
)


def _settings(defect_rate: float = 0.0) -> simulated.Settings:
    return simulated.Settings(width=160, height=120, takt_ms=0.0, defect_rate=defect_rate)


def _line(trigger: Trigger = Trigger.FREE_RUN, *, defect_rate: float = 0.0) -> simulated.Driver:
    return simulated.Driver(_settings(defect_rate), station="line1", trigger=trigger)


def _folder(
    path: Path, takt_ms: float = 0.0, *, loop: Playback = Playback.ONCE
) -> folder_driver.Driver:
    settings = folder_driver.Settings(path=str(path), takt_ms=takt_ms, loop=loop)
    return folder_driver.Driver(settings, station="line1", trigger=Trigger.FREE_RUN)


def _pictures(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_frames_are_kept_without_loss_under_their_number_and_part(tmp_path: Path) -> None:
    advanced: list[int] = []
    taken = taking.take(
        _line(), tmp_path, parts=6, stopped=threading.Event(), advance=lambda: advanced.append(1)
    )
    assert taken == taking.Taken(tmp_path, 6, taking.Ended.ENOUGH)
    assert taken.notes() == []
    assert len(advanced) == 6
    assert _pictures(tmp_path) == [f"{n:04d}_1-{n:06d}.png" for n in range(1, 7)]
    settings = _settings()
    for number, name in enumerate(_pictures(tmp_path), 1):
        np.testing.assert_array_equal(
            read_image(tmp_path / name), simulated.render(settings, number)
        )


def test_grey_stays_grey_and_a_fault_is_left_out_and_told(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    (parts / "good").mkdir(parents=True)
    rng = np.random.default_rng(1)
    grey = [rng.integers(0, 255, (40, 50), np.uint8) for _ in range(3)]
    for number, image in enumerate(grey):
        cv2.imwrite(str(parts / "good" / f"a {number}.png"), image)
    (parts / "good" / "a 1b.png").write_bytes(b"\x89PNG\r\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    taken = taking.take(_folder(parts), kept, parts=50, stopped=threading.Event())
    assert (taken.kept, taken.ended, taken.faulty) == (3, taking.Ended.CAMERA, 1)
    assert _pictures(kept) == [f"{n + 1:04d}_good-a-{n}.png.png" for n in range(3)]
    for name, image in zip(_pictures(kept), grey, strict=True):
        np.testing.assert_array_equal(read_image(kept / name), image)
    fault, ended = taken.notes()
    assert fault.startswith("1 frame with a fault left out; the first: ")
    assert "a 1b.png" in fault
    assert ended == "the camera gave its last frame after 3 good parts"


def test_parts_known_to_be_defective_are_left_out_and_counted(tmp_path: Path) -> None:
    taken = taking.take(_line(defect_rate=0.5), tmp_path, parts=10, stopped=threading.Event())
    settings = _settings(0.5)
    numbers = [int(name[-10:-4]) for name in _pictures(tmp_path)]
    assert len(numbers) == 10
    assert not any(simulated.truth_of(settings, number).defect for number in numbers)
    assert taken.defective == numbers[-1] - 10 > 0
    assert f"{taken.defective} parts known to be defective" in taken.notes()[0]


def test_stopping_keeps_what_there_is(tmp_path: Path) -> None:
    stopped = threading.Event()
    taken = taking.take(_line(), tmp_path, parts=50, stopped=stopped, advance=stopped.set)
    assert (taken.kept, taken.ended) == (1, taking.Ended.PERSON)
    assert taken.notes() == ["stopped after 1 good parts"]
    assert len(_pictures(tmp_path)) == 1


def test_a_camera_that_gives_nothing_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), np.zeros((20, 20), np.uint8))
    camera = _folder(tmp_path / "in", takt_ms=3_600_000.0)
    with pytest.raises(CameraError, match=r"gave no frame for 0\.1 s: is it connected"):
        taking.take(camera, tmp_path, parts=5, stopped=threading.Event(), patience_s=0.1)


def test_a_camera_that_gives_only_faults_or_defects_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"no image")
    camera = _folder(tmp_path / "in", takt_ms=20.0, loop=Playback.LOOPED)
    with pytest.raises(CameraError, match=r"no good frame for 0\.1 s; .* had a fault, .*a\.png"):
        taking.take(camera, tmp_path, parts=5, stopped=threading.Event(), patience_s=0.1)
    with pytest.raises(CameraError, match=r"no good part for 0\.1 s, but .*: show it good ones"):
        taking.take(
            _line(defect_rate=1.0), tmp_path, parts=5, stopped=threading.Event(), patience_s=0.1
        )


def test_a_camera_that_goes_away_leaves_what_was_kept(tmp_path: Path) -> None:
    camera = _line()
    with pytest.raises(CameraError, match=r"not open.*; 1 pictures are kept: .*--good takes them"):
        taking.take(camera, tmp_path, parts=5, stopped=threading.Event(), advance=camera.close)
    assert len(_pictures(tmp_path)) == 1
    with pytest.raises(CameraError, match="does not exist; expected a folder"):
        taking.take(_folder(tmp_path / "none"), tmp_path, parts=5, stopped=threading.Event())


def test_each_line_orders_one_picture_and_the_end_of_lines_ends_it(tmp_path: Path) -> None:
    orders = taking.Orders(io.StringIO("\n" * 4))
    camera = _line(Trigger.SOFTWARE)
    taken = taking.take(
        camera, tmp_path, parts=50, stopped=threading.Event(), orders=orders, patience_s=5.0
    )
    assert (taken.kept, taken.ended) == (4, taking.Ended.PERSON)


def test_nobody_who_thinks_before_an_order_is_taken_for_a_dead_camera(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    late = threading.Timer(0.6, os.write, (writing, b"\n"))
    late.start()
    with os.fdopen(reading, encoding="utf-8") as text:
        taken = taking.take(
            _line(Trigger.SOFTWARE),
            tmp_path,
            parts=1,
            stopped=threading.Event(),
            orders=taking.Orders(text),
            patience_s=0.3,
        )
        late.join()
        os.close(writing)
    assert (taken.kept, taken.ended) == (1, taking.Ended.ENOUGH)


def test_an_unknown_station_names_the_nearest(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(STATION.format(run=tmp_path / "run"))
    assert taking.find(config, "saw").camera.driver == "simulated"
    with pytest.raises(UsageError, match=r"--live pres-4: .* did you mean press-4"):
        taking.find(config, "pres-4")
    with pytest.raises(UsageError, match=r"--live x: .* there are press-4, saw"):
        taking.find(config, "x")


def test_a_station_of_a_running_agent_is_refused_and_another_is_not(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(STATION.format(run=tmp_path))
    server = ControlServer(
        tmp_path / "control.sock", {"status": lambda _request: {"stations": {"saw": {}}}}
    )
    server.start()
    try:
        with pytest.raises(UsageError, match=r"an agent runs this station .*: stop it first"):
            taking.find(config, "saw")
        assert taking.find(config, "press-4")
    finally:
        server.close()
    assert taking.find(config, "saw")


def test_the_folder_is_named_after_station_and_time_and_must_hold_no_images(tmp_path: Path) -> None:
    name = taking.default_folder(tmp_path / "x.bundle", "saw")
    assert name.parent == tmp_path
    assert len(name.name) == len("saw-20260101T000000Z")
    taking._prepare(name)
    (name / "notes.txt").touch()
    taking._prepare(name)
    cv2.imwrite(str(name / "a.png"), np.zeros((20, 20), np.uint8))
    with pytest.raises(UsageError, match=r"holds images already: give --keep a new folder"):
        taking._prepare(name)
    with pytest.raises(UsageError, match=r"cannot be made: .*; give --keep"):
        taking._prepare(name / "a.png" / "b")


def test_as_many_are_taken_as_a_fit_needs_and_can_use() -> None:
    assert taking.MAX_PARTS == frames.MAX_GOOD
    assert anomaly.MIN_PARTS == taking.MIN_PARTS
