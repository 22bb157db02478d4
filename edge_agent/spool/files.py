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

import errno
import fcntl
import os
from typing import TYPE_CHECKING

from edge_agent.errors import SpoolError
from edge_agent.spool import mending, opening, recovery, salvage, synclog
from edge_agent.spool.database import Database
from edge_agent.spool.kept import Kept
from edge_agent.spool.opening import Found, Opening
from edge_agent.spool.rows import Damaged, LaneRow
from edge_agent.spool.segment import Segment
from edge_agent.spool.synclog import SyncLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_agent.spool import journal
    from edge_agent.spool.lanes import Lane
    from edge_agent.spool.recovery import Logged
    from edge_agent.spool.settings import SpoolSettings

_ATTEMPTS = 3


class Files:
    """The files of a spool.

    Args:
        directory: Where they are.
        settings: Of the spool.
        report: Called with the text of each damage that was found.

    Attributes:
        kept: The sealed batches.
        torn_bytes: Bytes of unfinished writes that were dropped at opening.
    """

    def __init__(
        self, directory: Path, settings: SpoolSettings, report: Callable[[str], None]
    ) -> None:
        self.directory = directory
        self.kept = Kept(settings)
        self.torn_bytes = 0
        self._settings = settings
        self._report = report
        self._path = directory / "spool.db"
        self._log_path = directory / "sync.log"
        self._sequence = 0
        self._guard = -1

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
        read = synclog.read(self._log_path)
        logged = recovery.gather(read.entries)
        if read.missing:
            name = salvage.set_aside(self._log_path, suffixes=("",))
            self._report(f"{self._log_path.name} was damaged; kept as {name}")
        database, found = self._take_over(lanes, logged)
        try:
            log = _begin_log(self._log_path, after=read.generation)
        except OSError:
            database.close()
            raise
        self.kept.open(database, log)
        return found

    def _take_over(self, lanes: Sequence[Lane], logged: Logged) -> tuple[Database, list[Found]]:
        for _ in range(_ATTEMPTS):
            begun: Opening | None = None
            try:
                begun = Opening(self._path, self._settings, logged, self._report)
                found = begun.take_over(lanes)
            except Damaged as damage:
                if begun is not None:
                    begun.database.close()
                self._report(mending.begin_new_streams(self._path, str(damage), lanes, logged))
            except BaseException:
                if begun is not None:
                    begun.database.close()
                raise
            else:
                self.torn_bytes = begun.torn_bytes
                self._sequence = max(self._sequence, begun.sequence)
                return begun.database, found
        raise OSError(errno.EIO, "what was written does not stay as it was written")

    def rebuild(self, damage: str, known: Sequence[LaneRow]) -> None:
        """Make a damaged database anew while the lanes are known: their streams go on.

        Raises:
            OSError: The disk fails.
            sqlite3.Error: The disk fails.
        """
        kept = self.kept
        kept.close_database()
        fresh = [each for row in known for each in kept.shelf.all(row.stream)]
        self._report(mending.go_on(self._path, damage, known, fresh))
        kept.shelf.clear()
        kept.open(Database(self._path))

    def close(self) -> None:
        """Close everything."""
        self.kept.close()
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1

    def new_segment(self, lane: Lane, row: LaneRow) -> Segment:
        """Make a segment for a lane.

        Raises:
            OSError: The disk fails.
        """
        self._sequence += 1
        path = self.directory / f"{lane.name}.{self._sequence:012d}.journal"
        return Segment(path, stream=row.stream, length=self._settings.batch_bytes)

    def forget(self, path: Path, content: journal.Content) -> None:
        """Delete a segment that is sealed; keep it aside if it is damaged."""
        opening.forget(path, content, self._report)


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
