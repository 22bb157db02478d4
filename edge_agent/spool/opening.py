"""Open a spool's database, and take over what a crash left in journals and sync log."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from edge_agent.spool import batch as layout
from edge_agent.spool import journal, kept, mending, recovery, salvage
from edge_agent.spool.database import Database, Holding
from edge_agent.spool.lanes import Lane
from edge_agent.spool.rows import BatchRow, LaneRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_agent.spool.recovery import Logged
    from edge_agent.spool.settings import SpoolSettings


class Found(msgspec.Struct, frozen=True):
    """A lane as it was found or made on the disk; `lane` may be one that is not configured."""

    lane: Lane
    row: LaneRow
    holding: Holding


class Opening:
    """One opening of a database that is whole.

    Args:
        path: The database; the journals are beside it.
        settings: Of the spool.
        logged: What the sync log has.
        report: Called with the text of each damage that was found.

    Attributes:
        database: The database.
        sequence: The highest number of a journal.
        torn_bytes: Bytes of unfinished writes that were dropped.
    """

    def __init__(
        self, path: Path, settings: SpoolSettings, logged: Logged, report: Callable[[str], None]
    ) -> None:
        """Open the database.

        Raises:
            Damaged: It is not whole.
            sqlite3.Error: The disk fails.
        """
        self.torn_bytes = 0
        self.sequence = 0
        self._path = path
        self._settings = settings
        self._logged = logged
        self._report = report
        for leftover in path.parent.glob("spool.db.new*"):
            leftover.unlink()
        self.database = Database(path)

    def take_over(self, lanes: Sequence[Lane]) -> list[Found]:
        """Bring everything into the lanes, and find out what waits.

        Raises:
            Damaged: The database is not whole.
            OSError: The disk fails.
            sqlite3.Error: The disk fails.
        """
        self._add_lanes(lanes)
        self._adopt()
        return self._find(lanes)

    def _add_lanes(self, lanes: Sequence[Lane]) -> None:
        """Make a row for each lane that has none."""
        database = self.database
        known = {row.name for row in database.lanes()}
        fresh = [lane for lane in lanes if lane.name not in known]
        for lane in fresh:
            database.add_lane(lane.name, lane.kind, stream=secrets.token_hex(8))
        if fresh:
            database.checkpoint()  # a log that is damaged must not take the streams' names along

    def _adopt(self) -> None:
        """Bring into the database the batches that the sync log has and it has not."""
        database, logged = self.database, self._logged
        self._add_strangers()
        for row in database.lanes():
            fresh = [
                each for each in logged.batches.get(row.stream, []) if each.batch > row.batches
            ]
            waits: list[BatchRow] = []
            for each in fresh:
                if each.first > row.sealed + 1:
                    database.settle([(row, waits)])
                    waits = []
                    database.write_off(row, each.first - 1, "damaged")
                row.sealed, row.batches = each.last, each.batch
                waits += [] if logged.is_gone(each) else [each]
            if fresh:
                database.settle([(row, waits)])

    def _add_strangers(self) -> None:
        """Make lanes for streams of the sync log of which the database knows nothing any more."""
        database, logged = self.database, self._logged
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

    def _find(self, lanes: Sequence[Lane]) -> list[Found]:
        """Bring the journals into the lanes, and find out what waits."""
        database = self.database
        rows = {row.name: row for row in database.lanes()}
        segments: dict[str, list[Path]] = {name: [] for name in rows}
        for path in sorted(self._path.parent.glob("*.journal")):
            name, number, _ = path.name.rsplit(".", 2)
            self.sequence = max(self.sequence, int(number))
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
                self._keep_former(row, found)
        return found

    def _keep_former(self, row: LaneRow, found: list[Found]) -> None:
        """Add a lane that takes no records before those of its kind, if anything waits in it."""
        database = self.database
        holding = database.holding(row)
        if holding.batches == 0:
            database.remove_lane(row)
            return
        at = next((i for i, each in enumerate(found) if each.lane.kind == row.kind), len(found))
        found.insert(at, Found(Lane(row.name, row.kind), row, holding))

    def _recover(self, row: LaneRow, paths: Sequence[Path]) -> LaneRow:
        """Seal what a crash left of a lane, and return the lane as it goes on.

        What the sync log has fills up what the power left of the journals.
        """
        read = [(journal.parse(path.read_bytes()), path) for path in paths]
        read.sort(key=lambda each: each[0].base)
        contents = [content for content, _ in read]
        logged = self._logged.records.get(row.name, {})
        known = recovery.union(logged, contents, row, self._mark)
        if recovery.ahead(contents, logged, row):
            row = self._restart(row)
        ended = recovery.ended(contents, known, row)
        for stream, top in ended.items():
            self._note_missing(
                row, stream, recovery.missing(known.get(stream), top, self._mark(stream))
            )
        for content, path in read:
            self.torn_bytes += content.torn_bytes
            whole = recovery.fill(content, known, row)
            self._seal_left(row, whole)
            forget(path, whole, self._report)
        for stream in list(known):
            self._seal_left(row, journal.Content(stream, recovery.runs(known.pop(stream))))
        for stream, top in ended.items():
            self._end(row, stream, top)
        return row

    def _seal_left(self, row: LaneRow, content: journal.Content) -> None:
        """Seal what was open of a lane; of a stream that ended, it goes on in the lane's own."""
        is_nobodys = not content.stream and row.sealed == 0
        if is_nobodys or content.stream not in {row.stream, ""}:
            runs = _renumbered(content, row.sealed + 1)
        else:
            runs = content.runs
        last = runs[-1].last if runs else row.sealed
        end = last + content.damaged_tail
        for _ in kept.seal(self.database, row, runs, last=end, settings=self._settings):
            pass

    def _note_missing(self, row: LaneRow, stream: str, spans: Sequence[tuple[int, int]]) -> None:
        """Tell what neither database nor journals have of a stream that ended."""
        if not spans:
            return
        losses = [layout.Loss(first, last, "damaged", stream) for first, last in spans]
        self.database.note_losses([(row.stream, loss) for loss in losses])
        gone = ", ".join(f"{row.name} {first} to {last}" for first, last in spans)
        self._report(
            f"{self._path.name} knows less of a stream than the journals of lane {row.name}: it is "
            f"new, older than they are, or its log was damaged; gone: at most records {gone}; what "
            "comes after goes on in another stream"
        )

    def _end(self, row: LaneRow, stream: str, top: int) -> None:
        """Note how far a stream had come of which all is told; its lane goes when nothing waits."""
        lane = next((each for each in self.database.lanes() if each.stream == stream), None)
        if lane is None:
            name = mending.former_name(msgspec.structs.replace(row, stream=stream))
            lane = self.database.add_lane(name, row.kind, stream=stream)
            lane.floor = top
        lane.sealed = max(lane.sealed, top)
        self.database.keep_lane(lane)

    def _mark(self, stream: str) -> int:
        """Return up to which number a stream's records are in batches, as far as that is known."""
        return max((row.sealed for row in self.database.lanes() if row.stream == stream), default=0)

    def _restart(self, row: LaneRow) -> LaneRow:
        """Begin a new stream, for the database is older than the journals."""
        former = msgspec.structs.replace(row, name=mending.former_name(row))
        self.database.keep_lane(former)
        return self.database.add_lane(row.name, row.kind, stream=secrets.token_hex(8))


def forget(path: Path, content: journal.Content, report: Callable[[str], None]) -> None:
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
    report(
        f"journal {path.name} was damaged; kept as {name}; gone: "
        + (f"records {', '.join(gone)}" if gone else "none")
    )


def _renumbered(content: journal.Content, first: int) -> list[journal.Run]:
    """Return all records of a segment as one run that begins at `first`."""
    records = [record for run in content.runs for record in run.records]
    return [journal.Run(first, records)] if records else []
