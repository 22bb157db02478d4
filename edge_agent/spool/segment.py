"""A segment of the journal while it is written. The layout is in `journal`."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from edge_agent.spool import journal
from edge_agent.spool.salvage import sync_directory

if TYPE_CHECKING:
    from pathlib import Path

_PAGE = 4096


class Segment:
    """A segment that is being written. One writer at a time; the file is made at once.

    It is made as long as it may become, without taking room on the disk, and used again and again:
    a file that neither grows nor comes and goes costs the file system's log next to nothing. What
    it holds outlives the process at once; the power it outlives by the sync log, or where it is too
    large for that by a sync of its own.

    Attributes:
        path: Where it is.
        stream: Whose records it holds.
        records: Frames written.
        last: Number of the last record; 0 before the first.
        size: Bytes written, the head included: where the next frame goes.
        synced: Bytes of them that are on the disk.
        is_doubtful: A sync failed: what the disk holds is not known, and no sync mends that.
        is_apart: It is synced by itself, not through the sync log.
        started_ns: Monotonic time when the sealing thread first saw a frame; 0 before that.
    """

    def __init__(self, path: Path, *, stream: str, length: int = 0) -> None:
        """Make the file.

        Raises:
            OSError: It cannot be made.
        """
        self.path = path
        self.stream = stream
        self.records = 0
        self.last = 0
        self.size = journal.HEAD_BYTES
        self.synced = 0
        self.is_doubtful = False
        self.is_apart = False
        self.started_ns = 0
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            os.ftruncate(self._fd, length)
            self.begin(0)
        except OSError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def begin(self, base: int) -> None:
        """Note the number of the last record before this segment.

        Raises:
            OSError: The disk is full or gone.
        """
        self._write(journal.head(self.stream, base), 0)

    def write(self, number: int, record: bytes) -> None:
        """Write one frame at the end; on failure the end stays where it was.

        Raises:
            OSError: The disk is full or gone; nothing was added.
        """
        data = journal.frame(number, record)
        try:
            self._write(data, self.size)
        except OSError:
            self._cut()
            raise
        self.size += len(data)
        self.records += 1
        self.last = number

    def sync(self) -> None:
        """Bring what was written to the disk, if anything was.

        Raises:
            OSError: The disk did not take it; what it holds of this file is not known.
        """
        end = self.size
        if self.is_doubtful:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if not self.is_apart:
            sync_directory(self.path.parent)  # what is synced is of no use without a name
            self.is_apart = True
        if self.records and end != self.synced:
            os.fdatasync(self._fd)
            self.synced = end

    def read(self) -> bytes:
        """Return the whole segment as it is now."""
        return os.pread(self._fd, self.size, 0)

    def frames(self, start: int, end: int) -> tuple[int, list[bytes]]:
        """Return the records written between two ends, and the first one's number.

        Raises:
            OSError: The disk fails, or gave back something else.
        """
        start = max(start, journal.HEAD_BYTES)
        try:
            return journal.frames(os.pread(self._fd, end - start, start))
        except ValueError as error:
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error

    def renew(self) -> None:
        """Empty it for other records of its stream.

        From the back: at every moment it holds the first of the records that it held, which are
        sealed.

        Raises:
            OSError: The disk fails.
        """
        at = self.size
        while at > journal.HEAD_BYTES:
            start = max(journal.HEAD_BYTES, (at - 1) // _PAGE * _PAGE)
            self._write(bytes(at - start), start)
            at = start
        self.records = self.last = self.synced = self.started_ns = 0
        self.size = journal.HEAD_BYTES
        self.is_apart = False

    def close(self) -> None:
        """Close the file and leave it there."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes, at: int) -> None:
        if os.pwrite(self._fd, data, at) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _cut(self) -> None:
        """Take off what a short write left behind the end: it is no frame."""
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            return  # the next write goes to the same place, and a reader drops what is torn
