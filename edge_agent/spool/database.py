"""Sealed batches in SQLite: what is committed here is on the disk (WAL, synchronous FULL).

Invariants:

1. A batch, its number, and the lane's `sealed` mark are written in one transaction: a record is
   either in the journal only (`number > sealed`) or in a batch (`number <= sealed`).
2. A batch number is given once per stream, in order, without holes; its bytes never change.
3. A loss notice is kept until a batch that carries it is acknowledged.
4. Every row has a checksum, for SQLite has none of its own: what the disk gives back otherwise is
   told (`Damaged`) and never sent.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from edge_agent.spool import batch as layout
from edge_agent.spool import rows
from edge_agent.spool.rows import BatchRow, Damaged, LaneRow, LossRow, guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

_LOSSES_PER_BATCH = 64


class SealedBatch(msgspec.Struct, frozen=True):
    """A batch that will never change.

    Attributes:
        kind: What its records are.
        stream: The lane's stream id, 16 hexadecimal digits.
        batch: 1, 2, 3, ... in the stream.
        first: Number of its first record.
        last: Number of its last record.
        data: The encoded batch, as it goes over the wire.
    """

    kind: str
    stream: str
    batch: int
    first: int
    last: int
    data: bytes

    @property
    def count(self) -> int:
        """Records in the batch."""
        return self.last - self.first + 1

    @property
    def content_type(self) -> str:
        """What `data` is."""
        return layout.content_type(self.data)

    @property
    def encoding(self) -> str:
        """How `data` is compressed."""
        return layout.ENCODING


class Holding(msgspec.Struct):
    """What is waiting in one stream."""

    batches: int = 0
    records: int = 0
    bytes: int = 0


class Database:
    """The SQLite file of a spool. One thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            Damaged: It is no such database, or not whole.
            sqlite3.Error: It cannot be opened.
        """
        was_left_open = path.with_name(path.name + "-wal").exists()
        self._sql = sqlite3.connect(
            path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            with guarded():
                self._prepare(check=was_left_open)
        except BaseException:
            self._sql.close()
            raise

    def _prepare(self, *, check: bool) -> None:
        self._sql.text_factory = rows.text
        self._sql.execute(
            "PRAGMA page_size = 1024"
        )  # a small batch costs as many pages as it needs
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = FULL")
        self._sql.execute("PRAGMA wal_autocheckpoint = 1000")
        self._sql.execute("PRAGMA journal_size_limit = 1048576")
        self._sql.execute("PRAGMA cell_size_check = ON")
        tables = self._sql.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables == 0:
            with self._transaction():
                for table in rows.TABLES:
                    self._sql.execute(table)
                self._sql.execute(f"PRAGMA user_version = {rows.LAYOUT}")
        elif self._sql.execute("PRAGMA user_version").fetchone()[0] != rows.LAYOUT:
            raise Damaged("its layout is not known")
        elif check:
            (said,) = self._sql.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                raise Damaged(" ".join(str(said).split()))

    def checkpoint(self) -> None:
        """Bring what is in the log into the file itself."""
        with guarded():
            self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        self._sql.close()

    # --- lanes -------------------------------------------------------------------------------

    def lanes(self) -> list[LaneRow]:
        """Return all lanes.

        Raises:
            Damaged: One of them does not hold.
        """
        with guarded():
            found = self._sql.execute(f"SELECT {rows.LANE_COLUMNS} FROM lanes ORDER BY slot")  # noqa: S608 - constant
            return [rows.lane(values) for values in found]

    def add_lane(self, name: str, kind: str, *, stream: str) -> LaneRow:
        """Make a lane."""
        with guarded(), self._transaction():
            (slot,) = self._sql.execute("SELECT coalesce(max(slot), 0) + 1 FROM lanes").fetchone()
            row = LaneRow(slot, name, kind, stream)
            self._keep(row)
        return row

    def keep_lane(self, row: LaneRow) -> None:
        """Write a lane as it is given."""
        with guarded(), self._transaction():
            self._keep(row)

    def remove_lane(self, row: LaneRow) -> None:
        """Forget a lane that holds nothing."""
        with guarded(), self._transaction():
            self._sql.execute("DELETE FROM lanes WHERE slot = ?", (row.slot,))

    def holding(self, row: LaneRow) -> Holding:
        """Count what is waiting in a lane."""
        query = (
            "SELECT count(*), coalesce(sum(last - first + 1), 0), coalesce(sum(length(data)), 0)"
            " FROM batches WHERE id BETWEEN ? AND ?"
        )
        with guarded():
            return Holding(*self._sql.execute(query, rows.ids(row)).fetchone())

    # --- records in --------------------------------------------------------------------------

    def seal(
        self, lane: LaneRow, first: int, records: Sequence[bytes], *, level: int
    ) -> SealedBatch:
        """Seal records into the lane's next batch; a gap before them becomes a loss notice.

        Raises:
            sqlite3.Error: Nothing was committed; `lane` is unchanged.
        """
        last = first + len(records) - 1
        gap = first - lane.sealed - 1
        number = lane.batches + 1
        after = msgspec.structs.replace(
            lane, sealed=last, batches=number, damaged=lane.damaged + gap
        )
        with guarded(), self._transaction():
            if gap:
                self._note_loss(lane.stream, lane.sealed + 1, first - 1, "damaged")
            header = layout.Header(
                schema=layout.SCHEMA,
                stream=lane.stream,
                batch=number,
                kind=lane.kind,
                first=first,
                last=last,
                count=len(records),
                lost=self._carry_losses(lane.stream, number),
            )
            data = layout.encode(header, records, level=level)
            if lane.floor == lane.sealed:  # nothing waits: what is gone before this is told
                after.floor = first - 1
            self._put(rows.id_of(lane, number), BatchRow(lane.stream, number, first, last, data))
            self._keep(after)
        rows.assign(lane, after)
        return SealedBatch(lane.kind, lane.stream, number, first, last, data)

    def write_off(self, lane: LaneRow, last: int, reason: layout.Reason) -> None:
        """Note that the records up to `last` which are not sealed are lost."""
        gap = last - lane.sealed
        after = msgspec.structs.replace(lane, sealed=last)
        if lane.floor == lane.sealed:
            after.floor = last
        if reason == "dropped":
            after.dropped += gap
        else:
            after.damaged += gap
        with guarded(), self._transaction():
            self._note_loss(lane.stream, lane.sealed + 1, last, reason)
            self._keep(after)
        rows.assign(lane, after)

    def note_losses(self, losses: Iterable[tuple[str, layout.Loss]]) -> None:
        """Keep notices for the batches of the streams that are to carry them."""
        with guarded(), self._transaction():
            for carrier, loss in losses:
                self._insert_loss(LossRow(carrier, loss.stream, loss.first, loss.last, loss.reason))

    def take_over(self, lane: LaneRow, batches: Iterable[BatchRow]) -> None:
        """Take over batches of the lane's stream from another file, as they are."""
        with guarded(), self._transaction():
            for row in batches:
                self._put(rows.id_of(lane, row.batch), row)

    def settle(self, lanes: Iterable[tuple[LaneRow, Sequence[BatchRow]]]) -> None:
        """Take batches of several lanes, and the marks of their rows, in one transaction."""
        afters: list[tuple[LaneRow, LaneRow]] = []
        with guarded(), self._transaction():
            for lane, batches in lanes:
                for row in batches:
                    self._put(rows.id_of(lane, row.batch), row)
                after = msgspec.structs.replace(lane)
                after.floor = self._floor(lane)
                self._keep(after)
                afters.append((lane, after))
        for lane, after in afters:
            rows.assign(lane, after)

    def has_untold(self, stream: str) -> bool:
        """Tell whether a stream has loss notices that no batch carries yet."""
        query = "SELECT 1 FROM losses WHERE carrier = ? AND carried IS NULL LIMIT 1"
        with guarded():
            return self._sql.execute(query, (stream,)).fetchone() is not None

    def oldest(self, lane: LaneRow) -> int | None:
        """Return the number of the first record that waits in a lane; None if none does."""
        query = "SELECT first FROM batches WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1"
        with guarded():
            found = self._sql.execute(query, rows.ids(lane)).fetchone()
        return int(found[0]) if found else None

    # --- batches out -------------------------------------------------------------------------

    def pending(self, lane: LaneRow, *, after: int, limit: int) -> list[SealedBatch]:
        """Return the oldest batches of a lane whose number is above `after`.

        Raises:
            Damaged: One of them is not what was sealed.
        """
        low, high = rows.ids(lane)
        with guarded():
            found = self._sql.execute(
                f"SELECT {rows.BATCH_COLUMNS} FROM batches WHERE id BETWEEN ? AND ?"  # noqa: S608 - constant
                " ORDER BY id LIMIT ?",
                (low + after, high, limit),
            )
            good = [rows.batch(values) for values in found]
        return [SealedBatch(lane.kind, r.stream, r.batch, r.first, r.last, r.data) for r in good]

    def acknowledge(self, lane: LaneRow, ranges: Sequence[tuple[int, int]]) -> Holding:
        """Forget batches (first and last number of each range); return what that freed.

        This is not synced: a power cut brings a batch back at most, and it is sent again.
        """
        freed = Holding()
        after = msgspec.structs.replace(lane)
        with guarded():
            self._sql.execute("PRAGMA synchronous = NORMAL")
            try:
                with self._transaction():
                    for low, high in ranges:
                        found = self._sql.execute(
                            "DELETE FROM batches WHERE id BETWEEN ? AND ?"
                            " RETURNING last - first + 1, length(data)",
                            (rows.id_of(lane, low), rows.id_of(lane, high)),
                        ).fetchall()
                        freed.batches += len(found)
                        freed.records += sum(row[0] for row in found)
                        freed.bytes += sum(row[1] for row in found)
                        self._sql.execute(
                            "DELETE FROM losses WHERE carrier = ? AND carried BETWEEN ? AND ?",
                            (lane.stream, low, high),
                        )
                    after.floor = self._floor(lane)
                    if after.floor != lane.floor:
                        self._keep(after)
            finally:
                self._sql.execute("PRAGMA synchronous = FULL")
        rows.assign(lane, after)
        return freed

    def evict_oldest(self, lane: LaneRow) -> Holding:
        """Drop the lane's oldest batch and note the loss; return what that freed."""
        with guarded(), self._transaction():
            row = self._sql.execute(
                "DELETE FROM batches WHERE id IN (SELECT id FROM batches"
                " WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1)"
                " RETURNING batch, first, last, length(data)",
                rows.ids(lane),
            ).fetchone()
            if row is None:
                return Holding()
            batch, first, last, size = row
            self._sql.execute(  # what it would have told must be told by another
                "UPDATE losses SET carried = NULL WHERE carrier = ? AND carried = ?",
                (lane.stream, batch),
            )
            self._note_loss(lane.stream, first, last, "evicted")
            count = last - first + 1
            after = msgspec.structs.replace(lane, evicted=lane.evicted + count)
            after.floor = self._floor(lane)
            self._keep(after)
        rows.assign(lane, after)
        return Holding(1, count, size)

    # --- inside ------------------------------------------------------------------------------

    def _keep(self, row: LaneRow) -> None:
        marks = ", ".join("?" * (len(LaneRow.__struct_fields__) + 1))
        self._sql.execute(
            f"REPLACE INTO lanes ({rows.LANE_COLUMNS}) VALUES ({marks})",  # noqa: S608 - constant
            rows.checked(msgspec.structs.astuple(row)),
        )

    def _put(self, row_id: int, row: BatchRow) -> None:
        self._sql.execute(
            f"INSERT INTO batches (id, {rows.BATCH_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
            (row_id, *rows.checked(msgspec.structs.astuple(row))),
        )

    def _floor(self, lane: LaneRow) -> int:
        """Return the number below which nothing waits."""
        first = self.oldest(lane)
        return lane.sealed if first is None else first - 1

    def _note_loss(self, stream: str, first: int, last: int, reason: layout.Reason) -> None:
        """Keep a loss notice; one that adjoins the newest grows it."""
        found = self._sql.execute(
            "SELECT id, first FROM losses WHERE carrier = ? AND last = ? AND reason = ?"
            " AND of = '' AND carried IS NULL",
            (stream, first - 1, reason),
        ).fetchone()
        if found is not None:
            self._sql.execute("DELETE FROM losses WHERE id = ?", (found[0],))
            first = found[1]
        self._insert_loss(LossRow(stream, "", first, last, reason))

    def _insert_loss(self, row: LossRow) -> None:
        self._sql.execute(
            f"INSERT INTO losses ({rows.LOSS_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
            rows.checked(msgspec.structs.astuple(row)),
        )

    def _carry_losses(self, stream: str, batch: int) -> tuple[layout.Loss, ...]:
        """Take the notices that no batch carries yet into this one."""
        found = self._sql.execute(
            f"SELECT id, {rows.LOSS_COLUMNS} FROM losses WHERE carrier = ? AND carried IS NULL"  # noqa: S608 - constant
            " ORDER BY first, id LIMIT ?",
            (stream, _LOSSES_PER_BATCH),
        ).fetchall()
        losses = [rows.loss(values[1:]) for values in found]
        self._sql.executemany(
            "UPDATE losses SET carried = ? WHERE id = ?", [(batch, values[0]) for values in found]
        )
        return tuple(layout.Loss(row.first, row.last, row.reason, row.of) for row in losses)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._sql.execute)


class _Transaction:
    """Commit at the end of the block, roll back on an error."""

    def __init__(self, execute: Callable[[str], object]) -> None:
        self._execute = execute

    def __enter__(self) -> None:
        self._execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # some failures have rolled back already
            self._execute("ROLLBACK")
