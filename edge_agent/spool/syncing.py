"""Bring what was appended to the disk: by the sync log, or where that is too much, by itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from edge_agent.spool import synclog
from edge_agent.spool.ends import End
from edge_agent.spool.rows import BatchRow
from edge_agent.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.spool.files import Files

LOG_BYTES = 128 * 2**10
"""A segment that holds more is synced by itself: so many records wear no more for that."""


class Fresh(msgspec.Struct, frozen=True):
    """A batch of all that a retired segment holds."""

    end: End
    segment: Segment
    batch: BatchRow


class _Due(msgspec.Struct, frozen=True):
    """What is to be synced of a segment, up to a size."""

    end: End
    segment: Segment
    size: int
    open: synclog.Open


class Syncing:
    """Any thread may call it.

    Args:
        files: Of the spool.
        ends: Returns the open ends of all lanes.
        distrust: Called with a lane of which the disk did not take what was to be synced.

    Attributes:
        lock: Held during a sync: no segment is closed meanwhile. Taken before that of the files.
    """

    def __init__(
        self,
        files: Files,
        ends: Callable[[], Sequence[End]],
        distrust: Callable[[End, OSError], None],
    ) -> None:
        self.lock = threading.Lock()
        self._files = files
        self._ends = ends
        self._distrust = distrust

    def sync(self, ends: Sequence[End]) -> None:
        """Bring what was appended to lanes to the disk. Any thread may call it.

        Raises:
            OSError: The disk did not take it; what it has of these lanes is not known.
        """
        with self.lock:
            due = [part for end in ends for part in self._due(end)]
            if not due:
                return
            try:
                if not self._files.kept.write([part.open for part in due], self._carry):
                    for part in due:
                        part.segment.sync()
            except OSError as error:
                for part in due:
                    self._distrust(part.end, error)
                raise
            for part in due:
                part.segment.synced = part.size

    def _due(self, end: End) -> list[_Due]:
        """Return what the sync log is to have of a lane; sync by itself what is too large for it.

        In order: a later record is never on the disk without the earlier.
        """
        segments = [(each, each.size) for each in end.segments()]
        try:
            if any(_goes_apart(each, size) for each, size in segments):
                for segment, _ in segments:
                    segment.sync()
                return []
        except OSError as error:
            self._distrust(end, error)
            raise
        return [
            _Due(end, each, size, _open_of(end, each, each.synced, size))
            for each, size in segments
            if each.records and size != each.synced
        ]

    def _carry(self) -> list[synclog.Open]:
        """Return all records that are open and not synced by themselves."""
        return [
            _open_of(end, each, 0, each.size)
            for end in self._ends()
            for each in end.segments()
            if each.records and not each.is_apart and each.size <= LOG_BYTES
        ]

    def shelve(self, fresh: Sequence[Fresh]) -> bool:
        """Bring batches to the disk, with what else is due, in one write; False if that cannot be.

        Raises:
            OSError: The disk fails.
        """
        sealed = {id(each.segment) for each in fresh}
        with self.lock:
            due = [part for end in self._ends() for part in self._due(end)]
            due = [part for part in due if id(part.segment) not in sealed]
            batches = [(each.end.row, each.batch) for each in fresh]
            if not self._files.kept.shelve(batches, [part.open for part in due], self._carry):
                return False
            for part in due:
                part.segment.synced = part.size
        return True


def _goes_apart(segment: Segment, size: int) -> bool:
    return segment.is_apart or segment.is_doubtful or size > LOG_BYTES


def _open_of(end: End, segment: Segment, start: int, size: int) -> synclog.Open:
    """Return what a segment holds between two ends."""
    first, records = segment.frames(start, size)
    return synclog.Open(end.lane.name, end.row.stream, first, records)
