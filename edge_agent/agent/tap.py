"""Copies of frames from a station at work, for whoever learns how they look when all is well.

Invariants:
    - A part never waits: its frame is copied after its verdict is out, and left out while the one
      before is still being written.
    - A frame that says what is wrong with it is never kept: a fault, or a defect that is known.
    - What was taken is in the folder whole or not at all; `stop` and a new tap remove nothing.
"""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path

import msgspec

from edge_agent.agent.taking import file_name, write_picture
from edge_agent.camera.frame import Frame, Image
from edge_agent.errors import UsageError

log = logging.getLogger(__name__)

MAX_FRAMES = 2000


class Tapped(msgspec.Struct, frozen=True):
    """How far a tap is: its folder, what is kept and wanted, and why it ended early, if it did."""

    folder: str
    kept: int
    wanted: int
    error: str = ""


class FrameTap:
    """Keep copies of a station's next frames in a folder. One thread calls `offer`.

    Args:
        folder: Where they go; made if missing.
        wanted: How many.

    Raises:
        UsageError: The folder cannot be made, or the number is out of range.
    """

    def __init__(self, folder: Path, wanted: int) -> None:
        if not 0 < wanted <= MAX_FRAMES:
            raise UsageError(f"frames: {wanted} is not from 1 to {MAX_FRAMES}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made: {error.strerror}") from error
        self._folder = folder
        self._wanted = wanted
        self._kept = self._taken = 0
        self._error = ""
        self._over = threading.Event()
        self._queue: queue.Queue[tuple[Path, Image] | None] = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._run, name="frame-tap", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame) -> None:
        """Take a copy of a frame, if one is wanted and the one before is written."""
        if self._over.is_set() or self._taken >= self._wanted or self._queue.full():
            return
        if frame.fault or (frame.truth is not None and frame.truth.defect):
            return
        self._taken += 1
        name = self._folder / file_name(self._taken, frame.part)
        self._queue.put((name, frame.image.copy()))

    def state(self) -> Tapped:
        """Tell how far it is."""
        return Tapped(str(self._folder), self._kept, self._wanted, self._error)

    def stop(self) -> None:
        """Take no more; what was taken is written when this returns."""
        if not self._over.is_set():
            self._over.set()
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None:
            try:
                write_picture(*taken)
            except UsageError as error:
                self._error = str(error)
                log.error("frames are not taken: %s", error)  # noqa: TRY400 - one line says it
                self._over.set()
                return
            self._kept += 1
            if self._kept >= self._wanted:
                self._over.set()
                return
