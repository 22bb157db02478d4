"""The spool: journals for the open batches, SQLite for the sealed ones.

Invariants, each held by a test of its name in tests/unit/spool/test_spool.py:

1. *appended is kept*: when `append` returns, the record is a whole frame in the kernel's hands, in
   the segment of its lane, under the number that was returned. It outlives the process.
2. *numbers have no holes*: records and batches of a stream are numbered 1, 2, 3, ...; a failed
   append uses no number; what was lost to damage or quota has a notice.
3. *sealed once*: a record's number is at most the lane's `sealed` mark exactly if it is in a batch.
   Batch and mark are committed together, and recovery skips what the mark covers.
4. *a segment goes last*: a segment file is deleted only after every record in it is sealed. Between
   commit and deletion both copies stand, and 3 tells which counts.
5. *a segment holds one stream's records in order*: its successor begins where it ended.
6. *the path waits for nobody*: `append` shares with the sealing thread a lock that is held for
   assignments and the append's own write only, never during a sync, a commit or a file's making.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import SpoolError
from edge_agent.spool import journal
from edge_agent.spool.database import Database, Holding, LaneRow, SealedBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edge_agent.spool.settings import SpoolSettings

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_IDLE_MS = 200


class Lane(msgspec.Struct, frozen=True):
    """A kind of record with numbers of its own.

    Attributes:
        name: Its name, in stats and in the names of its journal files.
        kind: What its records are, as the wire calls them.
        urgent: Seal each record at once.
    """

    name: str
    kind: str
    urgent: bool = False


class Backlog(msgspec.Struct, frozen=True):
    """What the collector has not acknowledged yet.

    Attributes:
        records: Records, those of open batches included.
        batches: Sealed batches.
        bytes: Bytes of sealed batches and journals.
    """

    records: int
    batches: int
    bytes: int


class LaneStats(msgspec.Struct, frozen=True):
    """How a lane stands.

    Attributes:
        stream: Its stream id.
        appended: Number of the last record.
        sealed: Number of the last record that is in a batch.
        batches: Number of the last batch.
        evicted: Records evicted since the spool was new.
        damaged: Records lost to damage since the spool was new.
        backlog: What waits.
    """

    stream: str
    appended: int
    sealed: int
    batches: int
    evicted: int
    damaged: int
    backlog: Backlog


class Stats(msgspec.Struct, frozen=True):
    """How the spool stands.

    Attributes:
        lanes: By name.
        faults: Times that sealing or syncing failed and was tried again.
        error: The last failure, until sealing works again; else empty.
        torn_bytes: Bytes of unfinished writes that were dropped when the spool was opened.
    """

    lanes: dict[str, LaneStats]
    faults: int
    error: str
    torn_bytes: int


class _Open:
    """The open end of a lane: what `append` needs, and no more."""

    def __init__(self, lane: Lane, row: LaneRow, holding: Holding, settings: SpoolSettings) -> None:
        self.lane = lane
        self.row = row
        self.holding = holding
        self.lock = threading.Lock()
        self.next_number = row.sealed + 1
        self.seal_at_records = 1 if lane.urgent else settings.batch_records
        self.seal_at_bytes = settings.batch_bytes
        self.segment: journal.Segment  # being written
        self.spare: journal.Segment  # made ahead, so that changing over is an assignment
        self.retired: list[journal.Segment] = []  # full, waiting to be sealed in this order


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
        self.on_sealed = on_sealed
        self._sync_each = settings.sync_ms == 0
        self._faults = 0
        self._error = ""
        self._torn_bytes = 0
        self._synced_ns = 0
        self._sequence = 0
        self._stopping = False
        self._flush_asked = 0
        self._flush_done = threading.Condition()
        self._flushed = 0
        self._wake = threading.Event()
        self._database_lock = threading.Lock()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._guard = _lock_directory(directory)
        except OSError as error:
            raise SpoolError(f"spool {directory}: cannot be opened: {error}") from error
        try:
            self._database = Database(directory / "spool.db")
            self._lanes = {lane.name: self._open_lane(lane) for lane in lanes}
        except (OSError, sqlite3.Error) as error:
            os.close(self._guard)
            raise SpoolError(f"spool {directory}: cannot be opened: {error}") from error
        self._thread = threading.Thread(target=self._run, name="spool-seal", daemon=True)
        self._thread.start()

    # --- on the path of a part ---------------------------------------------------------------

    def append(self, lane: str, record: bytes) -> int:
        """Keep a record and return its number.

        Raises:
            SpoolError: It could not be kept (disk full, read-only, too large); no number was used.
        """
        if len(record) > journal.RECORD_LIMIT_BYTES or b"\n" in record:
            raise SpoolError(
                f"spool lane {lane}: a record is one line of at most "
                f"{journal.RECORD_LIMIT_BYTES} bytes; this one has {len(record)}"
            )
        end = self._lanes[lane]
        with end.lock:
            number, segment = end.next_number, end.segment
            try:
                segment.write(number, record)
                if self._sync_each:
                    segment.sync()
            except OSError as error:
                raise SpoolError(
                    f"spool {self._directory}: record not kept: {error.strerror}; free the disk "
                    "or make it writable"
                ) from error
            end.next_number = number + 1
            if segment.records >= end.seal_at_records or segment.size >= end.seal_at_bytes:
                self._wake.set()
        return number

    # --- for the uplink ----------------------------------------------------------------------

    @property
    def lanes(self) -> list[Lane]:
        """The lanes, the most important first."""
        return [end.lane for end in self._lanes.values()]

    def pending(self, lane: str, *, after: int = 0, limit: int = 16) -> list[SealedBatch]:
        """Return the oldest sealed batches of a lane whose number is above `after`."""
        with self._database_lock, _translated(self._directory):
            return self._database.pending(self._lanes[lane].row, after=after, limit=limit)

    def acknowledge(self, stream: str, ranges: Sequence[tuple[int, int]]) -> int:
        """Forget batches that the collector has committed; return how many were still here.

        Args:
            stream: The stream they belong to; one that is not ours is ignored.
            ranges: First and last batch number of each range.
        """
        ends = [end for end in self._lanes.values() if end.row.stream == stream]
        if not ends:
            return 0
        with self._database_lock, _translated(self._directory):
            freed = self._database.acknowledge(stream, ranges)
            _subtract(ends[0].holding, freed)
        return freed.batches

    # --- for people --------------------------------------------------------------------------

    def backlog(self) -> Backlog:
        """Count what waits, without waiting for the database."""
        parts = [self._lane_stats(end).backlog for end in self._lanes.values()]
        return Backlog(
            sum(part.records for part in parts),
            sum(part.batches for part in parts),
            sum(part.bytes for part in parts),
        )

    def stats(self) -> Stats:
        """Tell how the spool stands, without waiting for the database."""
        lanes = {name: self._lane_stats(end) for name, end in self._lanes.items()}
        return Stats(lanes, self._faults, self._error, self._torn_bytes)

    def _lane_stats(self, end: _Open) -> LaneStats:
        row, holding = end.row, end.holding
        with end.lock:
            appended = end.next_number - 1
            segments = [*end.retired, end.segment]
            journal_bytes = sum(s.size - journal.HEAD_BYTES for s in segments)
        backlog = Backlog(
            holding.records + max(0, appended - row.sealed),
            holding.batches,
            holding.bytes + journal_bytes,
        )
        return LaneStats(
            row.stream, appended, row.sealed, row.batches, row.evicted, row.damaged, backlog
        )

    def flush(self, timeout_s: float = 10.0) -> None:
        """Seal what is open now, and wait until it is committed.

        Raises:
            SpoolError: It could not be committed in time.
        """
        with self._flush_done:
            self._flush_asked += 1
            ticket = self._flush_asked
            self._wake.set()
            done = self._flush_done.wait_for(lambda: self._flushed >= ticket, timeout_s)
        if not done:
            reason = self._error or f"not done within {timeout_s} s"
            raise SpoolError(f"spool {self._directory}: open batches not sealed: {reason}")

    def close(self) -> None:
        """Seal what is open and close; what cannot be sealed stays in the journals."""
        if self._stopping:
            return
        self._stopping = True
        self._wake.set()
        self._thread.join()
        for end in self._lanes.values():
            for segment in (*end.retired, end.segment, end.spare):
                segment.close()
        self._database.close()
        os.close(self._guard)

    # --- the sealing thread ------------------------------------------------------------------

    def _run(self) -> None:
        """Sync, seal and evict until the spool is closed."""
        pause = min(self._settings.sync_ms or _IDLE_MS, self._settings.batch_age_ms) / 1000
        wait = pause
        while True:
            self._wake.wait(wait)
            self._wake.clear()
            stopping, ticket = self._stopping, self._flush_asked
            try:
                self._round(force=stopping or ticket > self._flushed)
            except Exception as error:  # noqa: BLE001 - supervised: counted, told, tried again
                self._faults += 1
                self._error = f"{type(error).__name__}: {error}"
                log.warning("spool cannot seal, records wait in the journal: %s", self._error)
                wait = _RETRY_S
            else:
                self._error, wait = "", pause
                with self._flush_done:
                    self._flushed = ticket
                    self._flush_done.notify_all()
            if stopping:
                return

    def _round(self, *, force: bool) -> None:
        now_ns = time.monotonic_ns()
        if force or now_ns - self._synced_ns >= self._settings.sync_ms * 900_000:
            for end in self._lanes.values():
                end.segment.sync()  # retired ones are sealed below, which is as good
            self._synced_ns = now_ns
        sealed = False
        for end in self._lanes.values():
            if force or self._is_due(end):
                self._rotate(end)
            while end.retired:
                self._seal_segment(end, end.retired[0])
                sealed = True
        if sealed:
            self._evict()
            self.on_sealed()

    def _is_due(self, end: _Open) -> bool:
        segment = end.segment
        if segment.records == 0:
            return False
        if segment.records >= end.seal_at_records or segment.size >= end.seal_at_bytes:
            return True
        now_ns = time.monotonic_ns()
        segment.started_ns = segment.started_ns or now_ns
        return now_ns - segment.started_ns >= self._settings.batch_age_ms * 1_000_000

    def _rotate(self, end: _Open) -> None:
        """Give `append` a new segment and retire the one it had."""
        if end.segment.records == 0:
            return
        spare = self._new_segment(end)
        with end.lock:
            end.retired.append(end.segment)
            end.segment, end.spare = end.spare, spare

    def _new_segment(self, end: _Open) -> journal.Segment:
        self._sequence += 1
        name = f"{end.lane.name}.{self._sequence:012d}.journal"
        segment = journal.Segment(self._directory / name, stream=end.row.stream)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)  # a synced record is of no use in a file without a name
        finally:
            os.close(directory)
        return segment

    def _seal_segment(self, end: _Open, segment: journal.Segment) -> None:
        """Seal the oldest retired segment, then delete it."""
        content = journal.parse(segment.read())
        self._seal_runs(end, content.runs, last=segment.last)
        segment.path.unlink()
        with end.lock:
            end.retired.remove(segment)
        segment.close()

    def _seal_runs(self, end: _Open, runs: Sequence[journal.Run], *, last: int) -> None:
        """Seal what a segment holds whose last record had number `last`."""
        for run in runs:
            fresh = max(run.first, end.row.sealed + 1)
            for first, records in _cut(fresh, run.records[fresh - run.first :], self._settings):
                with self._database_lock:
                    batch = self._database.seal(
                        end.row, first, records, level=self._settings.zstd_level
                    )
                    end.holding.batches += 1
                    end.holding.records += batch.count
                    end.holding.bytes += len(batch.data)
        if last > end.row.sealed:
            with self._database_lock:
                self._database.write_off(end.row, last)
            log.error("%d records of lane %s are damaged", last - end.row.sealed, end.lane.name)

    def _evict(self) -> None:
        """Bring the spool under its quota: the oldest batches of the least important lane."""
        for end in reversed(self._lanes.values()):
            while self.backlog().bytes > self._settings.quota_bytes and end.holding.batches:
                with self._database_lock:
                    freed = self._database.evict_oldest(end.row)
                    _subtract(end.holding, freed)
                log.warning(
                    "spool is over its quota: %d records of lane %s evicted",
                    freed.records,
                    end.lane.name,
                )

    # --- opening -----------------------------------------------------------------------------

    def _open_lane(self, lane: Lane) -> _Open:
        row = self._database.lane(lane.name, lane.kind)
        end = _Open(lane, row, self._database.holding(row.stream), self._settings)
        for path in sorted(self._directory.glob(f"{lane.name}.*.journal")):
            self._sequence = max(self._sequence, int(path.name.split(".")[-2]))
            self._recover(end, path)
        end.segment, end.spare = self._new_segment(end), self._new_segment(end)
        return end

    def _recover(self, end: _Open, path: Path) -> None:
        """Seal what a crash left in a segment."""
        content = journal.parse(path.read_bytes())
        if content.runs and content.stream not in {end.row.stream, ""}:
            log.error("journal %s is of another stream than the database; set aside", path.name)
            path.rename(path.with_suffix(".foreign"))
            return
        self._torn_bytes += content.torn_bytes
        last = content.runs[-1].last if content.runs else end.row.sealed
        self._seal_runs(end, content.runs, last=last + content.damaged_tail)
        end.next_number = end.row.sealed + 1
        path.unlink()


def _cut(
    first: int, records: Sequence[bytes], settings: SpoolSettings
) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Cut records into batches within the limits."""
    start, size = 0, 0
    for index, record in enumerate(records):
        full = index - start >= settings.batch_records or size >= settings.batch_bytes
        if index > start and full:
            yield first + start, records[start:index]
            start, size = index, 0
        size += len(record)
    if start < len(records):
        yield first + start, records[start:]


def _subtract(holding: Holding, freed: Holding) -> None:
    holding.batches -= freed.batches
    holding.records -= freed.records
    holding.bytes -= freed.bytes


def _lock_directory(directory: Path) -> int:
    """Keep other processes out as long as the returned descriptor is open."""
    guard = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(guard)
        raise SpoolError(
            f"spool {directory}: in use by another process; stop that one first"
        ) from error
    return guard


class _translated:  # noqa: N801 - reads as a clause of a with statement
    """Turn database errors into ours."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, *_: object
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise SpoolError(f"spool {self._directory}: {error}") from error
