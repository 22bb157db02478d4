"""Sealed batches, wherever they are: in the sync log and on the shelf, or in the database.

Invariants, each held by a test of its name in tests/unit/spool/test_shelf.py:

1. *on the shelf is on the disk*: a batch is put there only after the sync log has it.
2. *the database learns marks and batches together*: while a lane has anything on the shelf, its row
   is written to the database only with its batches. Whatever else changes the database comes after.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

import msgspec

from edge_agent.spool import batch as layout
from edge_agent.spool import journal, synclog
from edge_agent.spool.database import Database, Holding
from edge_agent.spool.rows import BatchRow, Damaged, LaneRow
from edge_agent.spool.shelf import Shelf
from edge_agent.spool.synclog import SyncLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edge_agent.spool.database import SealedBatch
    from edge_agent.spool.settings import SpoolSettings

_FORGOTTEN_MOST = 1000
"""Acknowledgements that wait for the next entry: what is not told is sent again after a crash."""


class Kept:
    """The batches of a spool. `open` comes first.

    Attributes:
        lock: Held by who calls this, but for `write` and `shelve`, which take it.
        shelf: Batches that the database does not have.
        log_error: Why the sync log took nothing the last time; empty if it did.
    """

    def __init__(self, settings: SpoolSettings) -> None:
        self.lock = threading.Lock()
        self.shelf = Shelf()
        self.log_error = ""
        self._settings = settings
        self._database: Database | None = None
        self._log: SyncLog | None = None
        self._forgotten: list[synclog.Gone] = []

    @property
    def is_open(self) -> bool:
        """Whether the disk could be read and written."""
        return self._database is not None and self._log is not None

    @property
    def database(self) -> Database:
        """The database."""
        assert self._database is not None
        return self._database

    def open(self, database: Database, log: SyncLog | None = None) -> None:
        """Take a database, and a log unless there is one."""
        self._database = database
        self._log = log or self._log

    def close(self) -> None:
        """Bring all into the database, and close both files."""
        try:
            if self._database is not None:
                self.settle()
        except (sqlite3.Error, Damaged) as error:  # the sync log has it too
            self.log_error = str(error)
        if self._log is not None:
            self._log.close()
            self._log = None
        self.close_database()

    def close_database(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def write(self, records: list[synclog.Open], carry: Callable[[], list[synclog.Open]]) -> bool:
        """Bring open records to the disk by the sync log; False, and they are not, if it cannot.

        Args:
            records: What is due.
            carry: Returns all records that are open and in the log, with those that are due.
        """
        return self._write(synclog.Entry(records), carry)

    def shelve(
        self,
        fresh: Sequence[tuple[LaneRow, BatchRow]],
        records: list[synclog.Open],
        carry: Callable[[], list[synclog.Open]],
    ) -> bool:
        """Bring sealed batches to the disk without the database, and what else is due.

        The rows of their lanes then have their marks. See `write`.
        """
        batches = [synclog.Fresh(*msgspec.structs.astuple(batch)) for _, batch in fresh]
        if not self._write(synclog.Entry(records, batches), carry):
            return False
        with self.lock:
            for row, batch in fresh:
                if not self.shelf.all(row.stream) and self.database.oldest(row) is None:
                    row.floor = batch.first - 1
                row.sealed, row.batches = batch.last, batch.batch
                self.shelf.put(row, batch)
        return True

    def fresh_batch(self, row: LaneRow, records: Sequence[bytes]) -> BatchRow:
        """Seal records into the next batch of a lane, which is not in the lane yet."""
        first, last, number = row.sealed + 1, row.sealed + len(records), row.batches + 1
        header = layout.Header(
            schema=layout.SCHEMA,
            stream=row.stream,
            batch=number,
            kind=row.kind,
            first=first,
            last=last,
            count=len(records),
        )
        data = layout.encode(header, records, level=self._settings.zstd_level)
        return BatchRow(row.stream, number, first, last, data)

    def can_shelve(self, row: LaneRow) -> bool:
        """Tell whether a lane's next batch may do without the database."""
        return not self.shelf.is_full and not self.database.has_untold(row.stream)

    def settle(self) -> None:
        """Bring into the database what only the sync log has: it must know it before anything else.

        Raises:
            sqlite3.Error: The disk fails; nothing was changed.
        """
        rows = self.shelf.rows
        if rows:
            self.database.settle([(row, self.shelf.all(stream)) for stream, row in rows.items()])
            self.shelf.clear()

    def pending(self, row: LaneRow, *, after: int, limit: int) -> list[SealedBatch]:
        """Return the oldest batches of a lane whose number is above `after`.

        Raises:
            Damaged: One of them is not what was sealed.
        """
        found: list[SealedBatch] = []
        if after < self.shelf.base(row):
            found = self.database.pending(row, after=after, limit=limit)
        return found + self.shelf.pending(row, after=after, limit=limit - len(found))

    def acknowledge(self, row: LaneRow, ranges: Sequence[tuple[int, int]]) -> Holding:
        """Forget batches (first and last number of each range); return what that freed."""
        base = self.shelf.base(row)
        freed = self.shelf.acknowledge(row.stream, ranges)
        gone = [synclog.Gone(row.stream, low, high) for low, high in ranges]
        self._forgotten = [*self._forgotten, *gone][-_FORGOTTEN_MOST:]
        if any(low <= base for low, _ in ranges):
            self.settle()
            more = self.database.acknowledge(row, ranges)
            freed.batches += more.batches
            freed.records += more.records
            freed.bytes += more.bytes
        elif freed.batches and self.database.oldest(row) is None:
            waiting = self.shelf.all(row.stream)
            row.floor = waiting[0].first - 1 if waiting else row.sealed
        return freed

    def evict_oldest(self, row: LaneRow) -> Holding:
        """Drop a lane's oldest batch and note the loss; return what that freed."""
        self.settle()
        return self.database.evict_oldest(row)

    def write_off(self, row: LaneRow, last: int, reason: layout.Reason) -> None:
        """Note that the records up to `last` which are not sealed are lost."""
        self.settle()
        self.database.write_off(row, last, reason)

    def _write(self, entry: synclog.Entry, carry: Callable[[], list[synclog.Open]]) -> bool:
        assert self._log is not None
        gone, self._forgotten = self._forgotten, []
        try:
            try:
                self._log.write(msgspec.structs.replace(entry, gone=gone))
            except synclog.Full:
                with self.lock:
                    self.settle()
                self._log.turn(msgspec.structs.replace(entry, records=carry()))
        except synclog.Full:
            return False  # the half before stands, and the journals can be synced by themselves
        except (OSError, sqlite3.Error, Damaged) as error:
            self.log_error = f"sync.log: {getattr(error, 'strerror', None) or error}"
            return False
        self.log_error = ""
        return True

    def seal(
        self, row: LaneRow, runs: Sequence[journal.Run], *, last: int
    ) -> Iterator[SealedBatch]:
        """Seal what a segment holds whose last record had number `last`, batch by batch.

        Raises:
            sqlite3.Error: The disk fails.
        """
        self.settle()
        yield from seal(self.database, row, runs, last=last, settings=self._settings)


def seal(
    database: Database,
    row: LaneRow,
    runs: Sequence[journal.Run],
    *,
    last: int,
    settings: SpoolSettings,
) -> Iterator[SealedBatch]:
    """Seal into a database; see `Kept.seal`."""
    for run in runs:
        fresh = max(run.first, row.sealed + 1)
        for first, records in _cut(fresh, run.records[fresh - run.first :], settings):
            yield database.seal(row, first, records, level=settings.zstd_level)
    if last > row.sealed:
        database.write_off(row, last, "damaged")


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
