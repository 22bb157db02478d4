"""What a spool has on the disk: one database, and the journals of its lanes.

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

import errno
import fcntl
import logging
import os
import secrets
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import SpoolError
from edge_agent.spool import batch as layout
from edge_agent.spool import journal, mending, salvage
from edge_agent.spool.database import Database, Holding
from edge_agent.spool.lanes import Lane
from edge_agent.spool.rows import Damaged, LaneRow
from edge_agent.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edge_agent.spool.database import SealedBatch
    from edge_agent.spool.settings import SpoolSettings

log = logging.getLogger(__name__)

_ATTEMPTS = 3


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
    """

    def __init__(
        self, directory: Path, settings: SpoolSettings, report: Callable[[str], None]
    ) -> None:
        self.directory = directory
        self.torn_bytes = 0
        self._settings = settings
        self._report = report
        self._path = directory / "spool.db"
        self._database: Database | None = None
        self._sequence = 0
        self._guard = -1

    @property
    def is_open(self) -> bool:
        """Whether the disk could be read and written."""
        return self._database is not None

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
        for _ in range(_ATTEMPTS):
            self.torn_bytes = 0
            try:
                return self._take_over(self._open_database(lanes), lanes)
            except Damaged as damage:
                self._close_database()
                self._report(mending.begin_new_streams(self._path, str(damage), lanes))
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
        self._report(mending.go_on(self._path, damage, known))
        self._database = Database(self._path)

    def close(self) -> None:
        """Close everything."""
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
        segment = Segment(path, stream=row.stream, length=self._settings.batch_bytes)
        try:
            salvage.sync_directory(self.directory)  # what is synced is of no use without a name
        except OSError:
            segment.close()
            path.unlink(missing_ok=True)
            raise
        return segment

    def seal(
        self, row: LaneRow, runs: Sequence[journal.Run], *, last: int
    ) -> Iterator[SealedBatch]:
        """Seal what a segment holds whose last record had number `last`, batch by batch.

        Raises:
            sqlite3.Error: The disk fails.
        """
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

    def _take_over(self, database: Database, lanes: Sequence[Lane]) -> list[Found]:
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
            row = self._recover(rows.pop(lane.name), segments[lane.name])
            found.append(Found(lane, row, database.holding(row)))
        for name, row in rows.items():  # of another version or configuration
            self._recover(row, segments[name])
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

    def _recover(self, row: LaneRow, paths: Sequence[Path]) -> LaneRow:
        """Seal what a crash left in the journals of a lane; return the lane as it goes on."""
        for path in paths:
            content = journal.parse(path.read_bytes())
            self.torn_bytes += content.torn_bytes
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
            self.forget(path, content)
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
