"""The spool: journals for open batches, SQLite for sealed ones, memory while no disk works.

Journals outlive the process; the power they outlive by the sync log, where small batches wait too
for as long as their acknowledgement may come at once.

Invariants, each held by a test of its name in tests/unit/spool/test_spool.py:

1. *appended is kept*: when `append` returns a number, the record is a whole frame in the kernel's
   hands, in the segment of its lane, under that number. It outlives the process.
2. *numbers have no holes*: records and batches of a stream are numbered 1, 2, 3, ...; what waits in
   memory has no number yet; what was lost to damage, quota or a full memory has a notice.
3. *sealed once*: a record's number is at most the lane's `sealed` mark exactly if it is in a batch.
   Batch and mark are written together, and recovery skips what the mark covers.
4. *a segment goes last*: a segment is emptied or deleted only after every record in it is sealed,
   on the disk. Until then both copies stand, and 3 tells which counts.
5. *a segment holds one stream's records in order*: its successor begins where it ended. What waits
   in memory follows what is in the journal, and later records wait behind it.
6. *the path waits for nobody*: `append` shares with the sealing thread a lock that is held for
   assignments and the append's own write only, never during a sync, a commit or a file's making.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from typing import TYPE_CHECKING, TypeVar

from edge_agent.errors import SpoolError
from edge_agent.spool import journal
from edge_agent.spool.lanes import Backlog, Lane, LaneStats, Stats
from edge_agent.spool.rows import Damaged
from edge_agent.spool.sealing import Sealing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_agent.spool.database import SealedBatch
    from edge_agent.spool.ends import End
    from edge_agent.spool.settings import SpoolSettings

__all__ = ["Backlog", "Lane", "LaneStats", "Spool", "Stats"]

_Answer = TypeVar("_Answer")
_OURS = {errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP}
"""What is wrong with the configuration and not with the disk."""


class Spool:
    """Keeps records of several lanes until they are acknowledged. Any thread may call it."""

    def __init__(
        self,
        directory: Path,
        lanes: Sequence[Lane],
        settings: SpoolSettings,
        *,
        on_sealed: Callable[[], None] = lambda: None,
    ) -> None:
        """Open or make a spool, and take over what a crash left in the journals.

        A disk that is full, read-only or gone keeps nobody from starting: records wait in memory,
        and the disk is tried again until it works. What is damaged is set aside and reported.

        Args:
            directory: Where its files are; made if it is missing. One process at a time.
            lanes: The most important first: eviction begins with the last.
            settings: Its settings.
            on_sealed: Called by the sealing thread after new batches were committed.

        Raises:
            SpoolError: The directory cannot be used.
        """
        self._directory = directory
        self._settings = settings
        self._sync_each = settings.sync_ms == 0
        self._sealing = Sealing(directory, lanes, settings, on_sealed)
        self._closed = False
        try:
            self._sealing.open()
        except (OSError, sqlite3.Error) as error:
            code = error.errno if isinstance(error, OSError) else None
            if code in _OURS or settings.memory_bytes == 0:
                self._sealing.files.close()
                raise SpoolError(f"spool {directory}: cannot be opened: {error}") from error
            self._sealing.note_fault(error)
        except BaseException:
            self._sealing.files.close()
            raise
        self._thread = threading.Thread(target=self._sealing.run, name="spool-seal", daemon=True)
        self._thread.start()

    @property
    def on_sealed(self) -> Callable[[], None]:
        """Called by the sealing thread after new batches were committed."""
        return self._sealing.on_sealed

    @on_sealed.setter
    def on_sealed(self, call: Callable[[], None]) -> None:
        self._sealing.on_sealed = call

    # --- on the path of a part ---------------------------------------------------------------

    def append(self, lane: str, record: bytes) -> int:
        """Keep a record and return its number; 0 if it waits in memory, for the disk took it not.

        Raises:
            SpoolError: It could not be kept (memory and disk are full, or it is too large).
        """
        if len(record) > journal.RECORD_LIMIT_BYTES or b"\n" in record:
            raise SpoolError(
                f"spool lane {lane}: a record is one line of at most "
                f"{journal.RECORD_LIMIT_BYTES} bytes; this one has {len(record)}"
            )
        sealing = self._sealing
        end = sealing.ends[lane]
        with end.lock:
            number = self._write(end, record)
            if not number:
                if self._settings.memory_bytes == 0:
                    raise SpoolError(
                        f"spool {self._directory}: record not kept: {sealing.error}; free the disk "
                        "or make it writable"
                    )
                sealing.ring.put(lane, record)
        return self._synced(end, number) if number and self._sync_each else number

    def _write(self, end: End, record: bytes) -> int:
        """Write a record to its lane's journal and return its number; 0 if the disk took it not."""
        segment, number = end.segment, end.next_number
        if segment is None or end.waits:
            return 0
        try:
            segment.write(number, record)
        except OSError as error:
            self._fail(end, error)
            return 0
        end.next_number = number + 1
        if segment.records >= end.seal_at_records or segment.size >= end.seal_at_bytes:
            self._sealing.wake.set()
        return number

    def _fail(self, end: End, error: OSError) -> None:
        """Let this record and those after it wait for the disk; the thread tries it again."""
        self._sealing.error = self._sealing.error or f"{error.strerror}"
        if self._settings.memory_bytes:
            end.waits = True
            self._sealing.wake.set()

    def _synced(self, end: End, number: int) -> int:
        """Sync the record just written; without that its number is not vouched for."""
        try:
            self._sealing.syncing.sync([end])
        except (OSError, sqlite3.Error):
            return 0
        return number

    # --- for those who wait for the disk -----------------------------------------------------

    def sync(self, lane: str) -> None:
        """Bring what was appended to a lane to the disk, on the caller's thread.

        Raises:
            SpoolError: The disk did not take it: it waits in memory, or only the kernel has it.
        """
        end = self._sealing.ends[lane]
        waits = end.waits
        try:
            self._sealing.syncing.sync([end])
        except (OSError, sqlite3.Error):
            waits = True
        if waits:
            raise SpoolError(
                f"spool {self._directory}: lane {lane} is not synced: {self._sealing.error}"
            )

    def flush(self, timeout_s: float = 10.0) -> None:
        """Seal what is open now, and wait until it is committed.

        Raises:
            SpoolError: It could not be committed in time.
        """
        if not self._sealing.flush(timeout_s):
            reason = self._sealing.error or f"not done within {timeout_s} s"
            raise SpoolError(f"spool {self._directory}: open batches not sealed: {reason}")

    # --- for the uplink ----------------------------------------------------------------------

    @property
    def lanes(self) -> list[Lane]:
        """The lanes, the most important first; those of a former life of the spool included."""
        return [end.lane for end in self._sealing.ends.values()]

    @property
    def is_readable(self) -> bool:
        """Whether `pending` tells of all that is there; not while there is no sound database."""
        return self._sealing.files.kept.is_open and not self._sealing.damage

    def pending(self, lane: str, *, after: int = 0, limit: int = 16) -> list[SealedBatch]:
        """Return the oldest sealed batches of a lane whose number is above `after`."""
        return self._ask(
            lambda: self._sealing.files.kept.pending(
                self._sealing.ends[lane].row, after=after, limit=limit
            ),
            [],
        )

    def acknowledge(self, stream: str, ranges: Sequence[tuple[int, int]]) -> int:
        """Forget batches that the collector has committed; return how many were still here.

        Args:
            stream: The stream they belong to; one that is not ours is ignored.
            ranges: First and last batch number of each range.
        """
        ends = [end for end in self._sealing.ends.values() if end.row.stream == stream]
        if not ends:
            return 0
        return self._ask(lambda: self._sealing.acknowledge(ends[0], ranges), 0)

    def _ask(self, question: Callable[[], _Answer], nothing: _Answer) -> _Answer:
        """Ask the database; while there is none, or a damaged one, the answer is `nothing`."""
        with self._sealing.files.kept.lock:
            if not self._sealing.files.kept.is_open or self._sealing.damage:
                return nothing
            try:
                return question()
            except Damaged as damage:
                self._sealing.damage = str(damage)
                self._sealing.wake.set()
                return nothing
            except sqlite3.Error as error:
                raise SpoolError(f"spool {self._directory}: {error}") from error

    # --- for people --------------------------------------------------------------------------

    def backlog(self) -> Backlog:
        """Count what waits, without waiting for the database."""
        return self._sealing.backlog()

    def stats(self) -> Stats:
        """Tell how the spool stands, without waiting for the database."""
        return self._sealing.stats()

    def close(self) -> None:
        """Seal what is open and close; what cannot be sealed stays in the journals."""
        if self._closed:
            return
        self._closed = True
        self._sealing.stop()
        self._thread.join()
        self._sealing.close()
