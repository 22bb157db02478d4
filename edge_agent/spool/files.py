"""What a spool has on the disk: one database, the journals of its lanes, and the sync log.

Everything here does IO and may fail; the spool's thread tries again. Nothing here is on the path
of a part.

Invariants, each held by a test in tests/unit/spool/test_files.py:

1. *a damaged file is kept*: before its place is taken it stands under a name with the time.
2. *what can be read is saved*: sealed batches travel as they are, under the stream and the numbers
   that they had; open records go into the new stream.
3. *a stream that ended takes no more records*: after damage, and where the database is older than
   the journals say, the lane begins a new one. So no number is ever given twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import sqlite3
import threading
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import SpoolError
from edge_agent.spool import batch as layout
from edge_agent.spool import journal, mending, recovery, salvage, synclog
from edge_agent.spool.database import Database, Holding
from edge_agent.spool.lanes import Lane
from edge_agent.spool.rows import BatchRow, Damaged, LaneRow
from edge_agent.spool.segment import Segment
from edge_agent.spool.shelf import Shelf
from edge_agent.spool.synclog import SyncLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edge_agent.spool.database import SealedBatch
    from edge_agent.spool.recovery import Logged
    from edge_agent.spool.settings import SpoolSettings

log = logging.getLogger(__name__)

_ATTEMPTS = 3
_FORGOTTEN_MOST = (
    1000  # acknowledgements that wait for the next entry; one that is not told costs a
)
# batch that is sent again after a crash


class Found(msgspec.Struct, frozen=True):
    """A lane as it was found or made on the disk; `lane` may be one that is not configured."""

    lane: Lane
    row: LaneRow
    holding: Holding


class Files:
    """The files of a spool.

    Args:
        directory: Where they are.
        settings: Of the spool.
        report: Called with the text of each damage that was found.

    Attributes:
        torn_bytes: Bytes of unfinished writes that were dropped at opening.
        lock: Held by who asks or changes the database and the shelf; `write` and `shelve` take it.
        log_error: Why the sync log took nothing the last time; empty if it did.
    """

    def __init__(
        self, directory: Path, settings: SpoolSettings, report: Callable[[str], None]
    ) -> None:
        self.directory = directory
        self.torn_bytes = 0
        self.lock = threading.Lock()
        self.log_error = ""
        self._settings = settings
        self._report = report
        self._path = directory / "spool.db"
        self._log_path = directory / "sync.log"
        self._log: SyncLog | None = None
        self._shelf = Shelf()
        self._forgotten: list[synclog.Gone] = []
        self._database: Database | None = None
        self._sequence = 0
        self._guard = -1

    @property
    def is_open(self) -> bool:
        """Whether the disk could be read and written."""
        return self._database is not None and self._log is not None

    @property
    def database(self) -> Database:
        """The database."""
        assert self._database is not None
        return self._database

    def open(self, lanes: Sequence[Lane]) -> list[Found]:
        """Open or make the files, mend what is damaged, and take over what a crash left.

        Raises:
            SpoolError: Another process holds them.
            OSError: The disk fails.
            sqlite3.Error: The disk fails.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._guard < 0:
            self._guard = _lock(self.directory)
        found = synclog.read(self._log_path)
        logged = recovery.gather(found.entries)
        if found.missing:
            name = salvage.set_aside(self._log_path, suffixes=("",))
            self._report(f"{self._log_path.name} was damaged; kept as {name}")
        ready = self._open_all(lanes, logged)
        try:
            self._log = _begin_log(self._log_path, after=found.generation)
        except OSError:
            self._close_database()
            raise
        return ready

    def _open_all(self, lanes: Sequence[Lane], logged: Logged) -> list[Found]:
        for _ in range(_ATTEMPTS):
            self.torn_bytes = 0
            try:
                database = self._open_database(lanes)
                self._adopt(database, logged)
                return self._take_over(database, lanes, logged)
            except Damaged as damage:
                self._close_database()
                self._report(mending.begin_new_streams(self._path, str(damage), lanes, logged))
            except BaseException:
                self._close_database()
                raise
        raise OSError(errno.EIO, "what was written does not stay as it was written")

    def rebuild(self, damage: str, known: Sequence[LaneRow]) -> None:
        """Make a damaged database anew while the lanes are known: their streams go on.

        Raises:
            OSError: The disk fails.
            sqlite3.Error: The disk fails.
        """
        self._close_database()
        fresh = [each for row in known for each in self._shelf.all(row.stream)]
        self._report(mending.go_on(self._path, damage, known, fresh))
        self._shelf.clear()
        self._database = Database(self._path)

    def close(self) -> None:
        """Close everything."""
        with contextlib.suppress(sqlite3.Error, Damaged):  # the sync log has it too
            self.settle()
        if self._log is not None:
            self._log.close()
            self._log = None
        self._close_database()
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1

    def _close_database(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    # --- journals ----------------------------------------------------------------------------

    def new_segment(self, lane: Lane, row: LaneRow) -> Segment:
        """Make a segment for a lane.

        Raises:
            OSError: The disk fails.
        """
        self._sequence += 1
        path = self.directory / f"{lane.name}.{self._sequence:012d}.journal"
        return Segment(path, stream=row.stream, length=self._settings.batch_bytes)

    # --- the sync log, and the batches that only it has --------------------------------------

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
                if not self._shelf.all(row.stream) and self.database.oldest(row) is None:
                    row.floor = batch.first - 1
                row.sealed, row.batches = batch.last, batch.batch
                self._shelf.put(row, batch)
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
        return not self._shelf.is_full and not self.database.has_untold(row.stream)

    def settle(self) -> None:
        """Bring into the database what only the sync log has: it must know it before anything else.

        Raises:
            sqlite3.Error: The disk fails; nothing was changed.
        """
        rows = self._shelf.rows
        if rows:
            self.database.settle([(row, self._shelf.all(stream)) for stream, row in rows.items()])
            self._shelf.clear()

    def pending(self, row: LaneRow, *, after: int, limit: int) -> list[SealedBatch]:
        """Return the oldest batches of a lane whose number is above `after`.

        Raises:
            Damaged: One of them is not what was sealed.
        """
        found: list[SealedBatch] = []
        if after < self._shelf.base(row):
            found = self.database.pending(row, after=after, limit=limit)
        return found + self._shelf.pending(row, after=after, limit=limit - len(found))

    def acknowledge(self, row: LaneRow, ranges: Sequence[tuple[int, int]]) -> Holding:
        """Forget batches (first and last number of each range); return what that freed."""
        base = self._shelf.base(row)
        freed = self._shelf.acknowledge(row.stream, ranges)
        gone = [synclog.Gone(row.stream, low, high) for low, high in ranges]
        self._forgotten = [*self._forgotten, *gone][-_FORGOTTEN_MOST:]
        if any(low <= base for low, _ in ranges):
            self.settle()
            more = self.database.acknowledge(row, ranges)
            freed.batches += more.batches
            freed.records += more.records
            freed.bytes += more.bytes
        elif freed.batches and self.database.oldest(row) is None:
            waiting = self._shelf.all(row.stream)
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
            self.log_error = f"{self._log_path}: {getattr(error, 'strerror', None) or error}"
            return False
        self.log_error = ""
        return True

    # --- sealing into the database -----------------------------------------------------------

    def seal(
        self, row: LaneRow, runs: Sequence[journal.Run], *, last: int
    ) -> Iterator[SealedBatch]:
        """Seal what a segment holds whose last record had number `last`, batch by batch.

        Raises:
            sqlite3.Error: The disk fails.
        """
        self.settle()
        for run in runs:
            fresh = max(run.first, row.sealed + 1)
            for first, records in _cut(fresh, run.records[fresh - run.first :], self._settings):
                yield self.database.seal(row, first, records, level=self._settings.zstd_level)
        if last > row.sealed:
            self.database.write_off(row, last, "damaged")

    def forget(self, path: Path, content: journal.Content) -> None:
        """Delete a segment that is sealed; keep it aside if it is damaged."""
        if not content.is_damaged:
            path.unlink(missing_ok=True)
            return
        name = salvage.set_aside(path, suffixes=("",))
        gone = [
            f"{before.last + 1} to {after.first - 1}"
            for before, after in zip(content.runs, content.runs[1:], strict=False)
        ]
        if content.damaged_tail:
            gone.append(f"{content.damaged_tail} at its end")
        if not content.runs:
            gone = [f"of which {content.torn_bytes} bytes cannot be read: how many cannot be said"]
        self._report(
            f"journal {path.name} was damaged; kept as {name}; gone: "
            + (f"records {', '.join(gone)}" if gone else "none")
        )

    # --- opening -----------------------------------------------------------------------------

    def _open_database(self, lanes: Sequence[Lane]) -> Database:
        """Open the database, with a row for each lane."""
        for leftover in self.directory.glob("spool.db.new*"):
            leftover.unlink()
        database = self._database = Database(self._path)
        known = {row.name for row in database.lanes()}
        fresh = [lane for lane in lanes if lane.name not in known]
        for lane in fresh:
            database.add_lane(lane.name, lane.kind, stream=secrets.token_hex(8))
        if fresh:
            database.checkpoint()  # a log that is damaged must not take the streams' names along
        return database

    def _adopt(self, database: Database, logged: Logged) -> None:
        """Bring into the database the batches that the sync log has and it has not."""
        self._add_strangers(database, logged)
        for row in database.lanes():
            waits: list[BatchRow] = []
            for each in logged.batches.get(row.stream, []):
                if each.batch <= row.batches:
                    continue
                if each.first > row.sealed + 1:
                    database.settle([(row, waits)])
                    waits = []
                    database.write_off(row, each.first - 1, "damaged")
                row.sealed, row.batches = each.last, each.batch
                waits += [] if logged.is_gone(each) else [each]
            database.settle([(row, waits)])

    def _add_strangers(self, database: Database, logged: Logged) -> None:
        """Make lanes for streams of the sync log of which the database knows nothing any more."""
        lanes = database.lanes()
        known = {row.stream for row in lanes}
        for stream in logged.batches.keys() - known:
            first = logged.batches[stream][0]
            kind = layout.decode(first.data)[0].kind
            row = database.add_lane(f"{kind}~{stream[:8]}", kind, stream=stream)
            row.sealed = row.floor = first.first - 1
            row.batches = first.batch - 1
            database.keep_lane(row)
            carrier = next((each for each in lanes if each.kind == kind), lanes[0])
            if row.sealed:
                loss = layout.Loss(1, row.sealed, "damaged", stream)
                database.note_losses([(carrier.stream, loss)])
            gone = f"at most records {kind} 1 to {row.sealed}" if row.sealed else "none"
            self._report(
                f"{self._path.name} knows nothing of stream {stream} that is in the sync log: it "
                f"is new, or its log was damaged; gone: {gone}"
            )

    def _take_over(self, database: Database, lanes: Sequence[Lane], logged: Logged) -> list[Found]:
        """Bring the journals into the lanes, and find out what waits."""
        rows = {row.name: row for row in database.lanes()}
        segments: dict[str, list[Path]] = {name: [] for name in rows}
        for path in sorted(self.directory.glob("*.journal")):
            name, number, _ = path.name.rsplit(".", 2)
            self._sequence = max(self._sequence, int(number))
            if name in segments:
                segments[name].append(path)
        found: list[Found] = []
        for lane in lanes:
            row = self._recover(rows.pop(lane.name), segments[lane.name], logged)
            found.append(Found(lane, row, database.holding(row)))
        for name, row in rows.items():  # of another version or configuration
            self._recover(row, segments[name], logged)
        streams = {each.row.stream for each in found}
        for row in database.lanes():
            if row.stream not in streams:
                self._keep_former(database, row, found)
        return found

    def _keep_former(self, database: Database, row: LaneRow, found: list[Found]) -> None:
        """Add a lane that takes no records before those of its kind, if anything waits in it."""
        holding = database.holding(row)
        if holding.batches == 0:
            database.remove_lane(row)
            return
        at = next((i for i, each in enumerate(found) if each.lane.kind == row.kind), len(found))
        found.insert(at, Found(Lane(row.name, row.kind), row, holding))

    def _recover(self, row: LaneRow, paths: Sequence[Path], logged: Logged) -> LaneRow:
        """Seal what a crash left of a lane, and return the lane as it goes on.

        What the sync log has fills up what the power left of the journals.
        """
        read = [(journal.parse(path.read_bytes()), path) for path in paths]
        read.sort(key=lambda each: each[0].base)
        contents = [content for content, _ in read]
        known = recovery.union(logged.records.get(row.name, {}), contents, row, self._mark)
        base = recovery.ahead(contents, logged.records.get(row.name, {}), row)
        for content, path in read:
            self.torn_bytes += content.torn_bytes
            whole = recovery.fill(content, known, base, row)
            row = self._seal_left(row, whole)
            self.forget(path, whole)
        for stream in list(known):
            row = self._seal_left(row, journal.Content(stream, recovery.runs(known.pop(stream))))
        return row

    def _seal_left(self, row: LaneRow, content: journal.Content) -> LaneRow:
        """Seal what was open of a lane; return the lane as it goes on."""
        is_nobodys = not content.stream and row.sealed == 0
        if is_nobodys or content.stream not in {row.stream, ""}:
            self._note_stranger(row, content)
            runs = _renumbered(content, self._mark(content.stream), row.sealed + 1)
        elif content.base > row.sealed:
            row = self._restart(row, content.base)
            runs = _renumbered(content, 0, 1)
        else:
            runs = content.runs
        last = runs[-1].last if runs else row.sealed
        for _ in self.seal(row, runs, last=last + content.damaged_tail):
            pass
        return row

    def _note_stranger(self, row: LaneRow, content: journal.Content) -> None:
        """Tell what came before a journal of a stream of which the database knows nothing."""
        known = {each.stream for each in self.database.lanes()}
        if not content.stream or content.stream in known or content.base == 0:
            return
        loss = layout.Loss(1, content.base, "damaged", content.stream)
        self.database.note_losses([(row.stream, loss)])
        former = msgspec.structs.replace(row, stream=content.stream)
        added = self.database.add_lane(
            mending.former_name(former), row.kind, stream=content.stream
        )  # now it is known; it goes once nothing waits in it
        self.database.keep_lane(
            msgspec.structs.replace(added, sealed=content.base, floor=content.base)
        )
        self._report(
            f"{self._path.name} knows nothing of a stream that a journal of lane {row.name} is of: "
            f"it is new, or its log was damaged; gone: at most records {row.name} 1 to "
            f"{content.base}; they go on in another stream"
        )

    def _mark(self, stream: str) -> int:
        """Return up to which number a stream's records are in batches, as far as that is known."""
        return max((row.sealed for row in self.database.lanes() if row.stream == stream), default=0)

    def _restart(self, row: LaneRow, base: int) -> LaneRow:
        """Begin a new stream, for the database is older than the journal."""
        former = msgspec.structs.replace(row, name=mending.former_name(row))
        self.database.keep_lane(former)
        fresh = self.database.add_lane(row.name, row.kind, stream=secrets.token_hex(8))
        loss = layout.Loss(row.sealed + 1, base, "damaged", row.stream)
        self.database.note_losses([(fresh.stream, loss)])
        self._report(
            f"{self._path.name} is older than the journals of lane {row.name}: its log was damaged;"
            f" gone: at most records {row.name} {row.sealed + 1} to {base}; a new stream begins"
        )
        return fresh


def _renumbered(content: journal.Content, mark: int, first: int) -> list[journal.Run]:
    """Return the records of a segment above a mark as one run that begins at `first`."""
    records = [
        record
        for run in content.runs
        for number, record in enumerate(run.records, run.first)
        if number > mark
    ]
    return [journal.Run(first, records)] if records else []


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


def _begin_log(path: Path, *, after: int) -> SyncLog:
    """Open the sync log, what it told being in the database by now."""
    log = SyncLog(path, after=after)
    try:
        log.turn(synclog.Entry())
    except OSError:
        log.close()
        raise
    return log


def _lock(directory: Path) -> int:
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
