"""One station at work: the invariants of `edge_agent.agent.station`, each by its name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from edge_agent import clock
from edge_agent.agent.path import PartPath
from edge_agent.agent.station import Station
from edge_agent.alarms.catalogue import AlarmKind
from edge_agent.camera.frame import Camera, EndOfFrames, Frame, Image
from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import CameraError
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.seen import Inspection
from edge_agent.rollout.live import LiveModel
from tests.tiny import tiny_stage


class Kept:
    """Takes records in memory."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def append(self, lane: str, record: bytes) -> int:
        assert lane in {"ok", "ng"}
        self.records.append(record)
        return len(self.records)


class Model:
    """A model that waits, and remembers what the image held before and after."""

    engine = "model"

    def __init__(self, wait_s: float = 0.0, *, fail_on: frozenset[int] = frozenset()) -> None:
        self.wait_s = wait_s
        self.fail_on = fail_on
        self.seen: list[tuple[int, int]] = []

    def inspect(self, image: Image) -> Inspection:
        before = int(image[0, 0])
        if before in self.fail_on:
            raise RuntimeError("nobody foresaw this")
        time.sleep(self.wait_s)
        self.seen.append((before, int(image[0, 0])))
        return Inspection(0.5, np.zeros((4, 4), np.float32), 0, 0)

    def close(self) -> None:
        pass


class Strip:
    """A camera over a ring of buffers whose pixels hold the frame's number."""

    buffers = 4

    def __init__(self, sequences: list[int], *, fails: list[str] | None = None) -> None:
        self._sequences = list(sequences)
        self._fails = fails if fails is not None else []
        self._ring = [np.zeros((8, 8), np.uint8) for _ in range(self.buffers)]
        self._turn = 0
        self.opened = 0

    def open(self) -> None:
        self.opened += 1
        if self._fails:
            raise CameraError(self._fails.pop(0))

    def read(self, timeout_s: float) -> Frame | None:
        if not self._sequences:
            raise EndOfFrames
        number = self._sequences.pop(0)
        self._turn += 1
        image = self._ring[self._turn % self.buffers]
        image[:] = number % 256
        return Frame(image, clock.now(), number, "s", f"p-{number}")

    def trigger(self) -> None:
        pass

    def close(self) -> None:
        pass


class Line:
    """A station with what it reports."""

    def __init__(self, make_camera: Callable[[], Camera], model: Model, *, queue: int = 2) -> None:
        self.kept = Kept()
        self.conditions: list[tuple[str, str]] = []
        path = PartPath("s", self.kept, outputs=(), observe=self.observe, deadline_ms=60_000)
        limits = Thresholds(0.8, 1.0)
        pipeline = Pipeline([(tiny_stage(thresholds=limits), model)])
        path.model = LiveModel(pipeline, {"anomaly": limits}, "m 1", "0" * 12, None)
        self.station = Station("s", make_camera, path, queue_frames=queue, observe=self.observe)

    def observe(self, kind: AlarmKind, text: str) -> None:
        if text:
            self.conditions.append((kind.name, text))

    def run(self, timeout_s: float = 20.0) -> None:
        self.station.start()
        assert self.station.finished.wait(timeout_s)
        self.station.stop()


def test_every_part_is_judged_once() -> None:
    line = Line(lambda: Strip(list(range(1, 101))), Model())
    line.run()
    counts = line.station.counts()
    assert (counts.parts, counts.verdicts, counts.faults) == (100, {"ok": 100}, 0)
    assert len(counts.latencies_ns) == 100


def test_a_hole_in_the_sequence_becomes_records() -> None:
    line = Line(lambda: Strip([1, 2, 6, 7]), Model())
    line.run()
    assert line.station.counts().verdicts == {"ok": 4, "invalid": 3}
    assert any(kind == "late" for kind, _ in line.conditions)


def test_a_hole_before_the_first_frame_becomes_records_too() -> None:
    line = Line(lambda: Strip([3]), Model())
    line.run()
    assert line.station.counts().verdicts == {"ok": 1, "invalid": 2}


@pytest.mark.parametrize("queue", [1, 2, 8])
def test_a_frame_is_whole_while_it_is_judged(queue: int) -> None:
    model = Model(0.005)
    line = Line(lambda: Strip(list(range(1, 60))), model, queue=queue)
    line.run()
    assert [after for _, after in model.seen] == list(range(1, 60))
    assert all(before == after for before, after in model.seen)


def test_a_camera_that_fails_is_opened_again() -> None:
    fails = ["camera s: no such device: plug it in"]
    cameras: list[Strip] = []

    def make() -> Strip:
        cameras.append(Strip([1, 2, 3], fails=fails))
        return cameras[-1]

    line = Line(make, Model())
    line.run()
    assert len(cameras) == 2
    assert ("camera", "camera s: no such device: plug it in") in line.conditions
    assert line.station.counts().verdicts == {"ok": 3}


def test_a_fault_in_judging_is_counted_alarmed_and_the_part_recorded() -> None:
    line = Line(lambda: Strip([1, 2, 3]), Model(fail_on=frozenset({2})))
    line.run()
    counts = line.station.counts()
    assert counts.faults == 1
    assert counts.verdicts == {"ok": 2, "invalid": 1}
    assert any(kind == "stage" and "nobody foresaw this" in text for kind, text in line.conditions)
    assert b"nobody foresaw this" in line.kept.records[1]


def test_a_fault_in_capturing_is_counted_and_capturing_goes_on() -> None:
    class Broken(Strip):
        def read(self, timeout_s: float) -> Frame | None:
            raise ZeroDivisionError("a driver's mistake")

    cameras = [Broken([1]), Strip([1, 2])]
    line = Line(lambda: cameras.pop(0), Model())
    line.run()
    counts = line.station.counts()
    assert (counts.faults, counts.verdicts) == (1, {"ok": 2})
    assert any("a driver's mistake" in text for _, text in line.conditions)


def test_stop_judges_what_waits_and_ends() -> None:
    release = threading.Event()

    class Endless(Strip):
        def read(self, timeout_s: float) -> Frame | None:
            if release.is_set():
                self._sequences = [99]
                return None
            self._sequences = [self._turn + 1]
            return super().read(timeout_s)

    line = Line(lambda: Endless([]), Model(0.01))
    line.station.start()
    time.sleep(0.3)
    release.set()
    line.station.stop()
    assert line.station.finished.is_set()
    counts = line.station.counts()
    assert counts.parts == len(line.kept.records) > 5
    assert line.station.heartbeat_age_s() == 0.0


def test_the_heartbeat_is_fresh_while_judging_lives_and_old_when_it_hangs() -> None:
    line = Line(lambda: Strip([1]), Model(1.0))
    line.station.start()
    time.sleep(0.7)
    assert line.station.heartbeat_age_s() > 0.4
    assert line.station.finished.wait(5)
    line.station.stop()
