"""One station at work: a thread that captures, a thread that judges, a short queue between.

Invariants:
    - A part that the camera counted gets a record: a hole in the camera's sequence becomes
      records with the verdict `invalid` (late), so that what was missed is visible.
    - A frame waits or is judged only while its buffer is the camera's to keep for us: the queue
      is never longer than the camera's buffers allow.
    - A camera that fails is opened again, with growing pauses, until the station is stopped.
    - A fault in either thread is counted, logged and alarmed, and the thread goes on.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import msgspec

from edge_agent import clock
from edge_agent.agent.path import Judgement, PartPath
from edge_agent.alarms.catalogue import CAMERA, STAGE, AlarmKind
from edge_agent.camera.frame import NO_IMAGE, Camera, EndOfFrames, Frame
from edge_agent.errors import CameraError

log = logging.getLogger(__name__)

_WAIT_S = 0.25
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_HOLE_RECORDS = 1000
_LATENCIES = 2048


class StationCounts(msgspec.Struct, frozen=True):
    """What a station has done since it started.

    Attributes:
        parts: Parts judged, or recorded as missed.
        verdicts: Parts by verdict.
        faults: Faults that were caught in its threads.
        latencies_ns: From capture to verdict out, the newest last, at most 2048.
        last: The newest record's part, verdict and score, if there is one.
    """

    parts: int
    verdicts: dict[str, int]
    faults: int
    latencies_ns: list[int]
    last: Judgement | None


class _Waiting(msgspec.Struct, frozen=True):
    """A frame on its way to be judged; a missed one holds no buffer and is not looked at."""

    frame: Frame
    missed: bool


class Station:
    """Run one station.

    Args:
        name: Of the station.
        make_camera: Makes its camera anew (a camera that failed is thrown away).
        path: The path of its parts.
        queue_frames: Frames that may wait.
        observe: Takes the conditions of alarms.
    """

    def __init__(
        self,
        name: str,
        make_camera: Callable[[], Camera],
        path: PartPath,
        *,
        queue_frames: int,
        observe: Callable[[AlarmKind, str], None],
    ) -> None:
        self.name = name
        self.path = path
        self.camera: Camera | None = None
        self.finished = threading.Event()
        self._make_camera = make_camera
        self._observe = observe
        self._queue_frames = queue_frames
        self._queue: queue.Queue[_Waiting | None] = queue.Queue()
        self._room = threading.Semaphore(queue_frames)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._verdicts: Counter[str] = Counter()
        self._latencies: deque[int] = deque(maxlen=_LATENCIES)
        self._last: Judgement | None = None
        self._faults = 0
        self._heartbeat_ns = time.monotonic_ns()
        self._capturing = threading.Thread(target=self._capture, name=f"{name}-capture")
        self._judging = threading.Thread(target=self._judge, name=f"{name}-judge")

    def start(self) -> None:
        """Start capturing and judging."""
        self._judging.start()
        self._capturing.start()

    def stop(self) -> None:
        """Stop capturing, judge what is waiting, and return when that is done."""
        self._stop.set()
        camera = self.camera
        if camera is not None:
            camera.close()
        for thread in (self._capturing, self._judging):
            if thread.ident is not None:
                thread.join()

    def heartbeat_age_s(self) -> float:
        """Return how long ago the judging thread was last seen alive; 0 after it ended."""
        if self.finished.is_set():
            return 0.0
        return (time.monotonic_ns() - self._heartbeat_ns) / 1e9

    def counts(self) -> StationCounts:
        """Return what was done so far."""
        with self._lock:
            return StationCounts(
                sum(self._verdicts.values()),
                dict(self._verdicts),
                self._faults,
                list(self._latencies),
                self._last,
            )

    # --- the capturing thread --------------------------------------------------------------------

    def _capture(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                camera = self.camera = self._make_camera()
                camera.open()
                self._observe(CAMERA, "")
                pause_s = _FIRST_PAUSE_S
                self._read_all(camera)
            except EndOfFrames:
                log.info("station %s: the camera gave its last frame", self.name)
                break
            except CameraError as error:
                if self._stop.is_set():
                    break
                log.error("station %s: %s", self.name, error)  # noqa: TRY400 - one line says it
                self._observe(CAMERA, str(error))
            except Exception as error:  # noqa: BLE001 - the stage is supervised: see _fault
                self._fault("capture", error)
            finally:
                if self.camera is not None:
                    self.camera.close()
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._queue.put(None)

    def _read_all(self, camera: Camera) -> None:
        """Read frames into the queue until the station stops; waits while the queue is full."""
        spare = max(0, self._queue_frames - max(1, camera.buffers - 2))
        taken = sum(self._room.acquire(blocking=False) for _ in range(spare))
        expected = 1
        try:
            while not self._stop.is_set():
                if not self._room.acquire(timeout=_WAIT_S):
                    continue
                frame = None
                try:
                    frame = camera.read(_WAIT_S)
                finally:
                    if frame is None:
                        self._room.release()
                if frame is not None:
                    self._report_hole(expected, frame)
                    expected = frame.sequence + 1
                    self._queue.put(_Waiting(frame, missed=False))
        finally:
            for _ in range(taken):
                self._room.release()

    def _report_hole(self, expected: int, frame: Frame) -> None:
        """Queue a record for each frame that the camera counted and we never got."""
        missed = frame.sequence - expected
        if missed <= 0:
            return
        log.warning("station %s: %d frames lost before part %s", self.name, missed, frame.part)
        for sequence in range(frame.sequence - min(missed, _HOLE_RECORDS), frame.sequence):
            lost = Frame(
                NO_IMAGE,
                frame.captured,
                sequence,
                self.name,
                f"missed-{sequence}",
                fault=f"frame {sequence} lost: the station was busy when the part passed",
            )
            self._queue.put(_Waiting(lost, missed=True))

    # --- the judging thread ----------------------------------------------------------------------

    def _judge(self) -> None:
        while True:
            self._heartbeat_ns = time.monotonic_ns()
            try:
                waiting = self._queue.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            if waiting is None:
                break
            try:
                judgement = self._judge_one(waiting)
            finally:
                if not waiting.missed:
                    self._room.release()
            if judgement is not None:
                self._count(judgement)
        self.finished.set()

    def _judge_one(self, waiting: _Waiting) -> Judgement | None:
        try:
            judgement = self.path.process(waiting.frame, overrun=waiting.missed)
        except Exception as error:  # noqa: BLE001 - the stage is supervised: see _fault
            self._fault("judge", error)
            return self._judge_fault(waiting.frame, error)
        self._observe(STAGE, "")
        return judgement

    def _judge_fault(self, frame: Frame, error: Exception) -> Judgement | None:
        """Give a part its record after a fault, without its image."""
        fault = f"fault while judging: {type(error).__name__}: {error}"
        try:
            return self.path.process(msgspec.structs.replace(frame, image=NO_IMAGE, fault=fault))
        except Exception as again:  # noqa: BLE001 - the stage is supervised: see _fault
            self._fault("judge", again)
            return None

    def _count(self, judgement: Judgement) -> None:
        with self._lock:
            self._verdicts[judgement.record.verdict.value] += 1
            self._latencies.append(judgement.done_ns - judgement.record.mono_ns)
            self._last = judgement

    def _fault(self, stage: str, error: Exception) -> None:
        """Count, log and alarm a fault that nobody foresaw."""
        with self._lock:
            self._faults += 1
        log.error("station %s: fault in %s", self.name, stage, exc_info=error)
        self._observe(
            STAGE, f"{stage}: {type(error).__name__}: {error} ({clock.iso(time.time_ns())})"
        )
