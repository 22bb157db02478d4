"""Sealed batches in SQLite: what is committed here is on the disk (WAL, synchronous FULL).

Invariants:

1. A batch, its number, and the lane's `sealed` mark are written in one transaction: a record is
   either in the journal only (`number > sealed`) or in a batch (`number <= sealed`).
2. A batch number is given once per stream, in order, without holes; its bytes never change.
3. A loss notice is kept until a batch that carries it is acknowledged.
"""

from __future__ import annotations

import secrets
import sqlite3
from typing import TYPE_CHECKING, Literal

import msgspec

from edge_agent.spool import batch as layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_LOSSES_PER_BATCH = 64
_TABLES = """
CREATE TABLE IF NOT EXISTS lanes (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, stream TEXT NOT NULL UNIQUE,
    sealed INTEGER NOT NULL, batches INTEGER NOT NULL,
    evicted INTEGER NOT NULL, damaged INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
    stream TEXT NOT NULL, batch INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (stream, batch)
) STRICT;
CREATE TABLE IF NOT EXISTS losses (
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    reason TEXT NOT NULL, carried INTEGER
) STRICT;
"""


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
        return layout.CONTENT_TYPE

    @property
    def encoding(self) -> str:
        """How `data` is compressed."""
        return layout.ENCODING


class LaneRow(msgspec.Struct):
    """A lane as the database knows it.

    Attributes:
        name: The lane's name.
        kind: What its records are.
        stream: Its stream id.
        sealed: Number of the last record that is in a batch (or known to be lost).
        batches: Number of the last batch.
        evicted: Records evicted since the spool was new.
        damaged: Records lost to damage since the spool was new.
    """

    name: str
    kind: str
    stream: str
    sealed: int
    batches: int
    evicted: int
    damaged: int


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
            sqlite3.Error: It cannot be opened, or is no such database.
        """
        self._sql = sqlite3.connect(
            path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = FULL")
        self._sql.execute("PRAGMA journal_size_limit = 1048576")
        self._sql.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self._sql.close()

    def lane(self, name: str, kind: str) -> LaneRow:
        """Return a lane; a new one gets a new stream id."""
        columns = "name, kind, stream, sealed, batches, evicted, damaged"
        self._sql.execute(
            f"INSERT INTO lanes ({columns}) VALUES (?, ?, ?, 0, 0, 0, 0)"  # noqa: S608 - constant
            " ON CONFLICT (name) DO UPDATE SET kind = excluded.kind",
            (name, kind, secrets.token_hex(8)),
        )
        query = f"SELECT {columns} FROM lanes WHERE name = ?"  # noqa: S608 - constant
        return LaneRow(*self._sql.execute(query, (name,)).fetchone())

    def holding(self, stream: str) -> Holding:
        """Count what is waiting in a stream."""
        query = (
            "SELECT count(*), coalesce(sum(last - first + 1), 0), coalesce(sum(length(data)), 0)"
            " FROM batches WHERE stream = ?"
        )
        return Holding(*self._sql.execute(query, (stream,)).fetchone())

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
        with self._transaction():
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
            self._sql.execute(
                "INSERT INTO batches (stream, batch, first, last, data) VALUES (?, ?, ?, ?, ?)",
                (lane.stream, number, first, last, data),
            )
            self._sql.execute(
                "UPDATE lanes SET sealed = ?, batches = ?, damaged = damaged + ? WHERE name = ?",
                (last, number, gap, lane.name),
            )
        lane.sealed, lane.batches, lane.damaged = last, number, lane.damaged + gap
        return SealedBatch(lane.kind, lane.stream, number, first, last, data)

    def write_off(self, lane: LaneRow, last: int) -> None:
        """Note that the records up to `last` which are not sealed are lost to damage."""
        gap = last - lane.sealed
        with self._transaction():
            self._note_loss(lane.stream, lane.sealed + 1, last, "damaged")
            self._sql.execute(
                "UPDATE lanes SET sealed = ?, damaged = damaged + ? WHERE name = ?",
                (last, gap, lane.name),
            )
        lane.sealed, lane.damaged = last, lane.damaged + gap

    def pending(self, lane: LaneRow, *, after: int, limit: int) -> list[SealedBatch]:
        """Return the oldest batches of a lane whose number is above `after`."""
        rows = self._sql.execute(
            "SELECT stream, batch, first, last, data FROM batches"
            " WHERE stream = ? AND batch > ? ORDER BY batch LIMIT ?",
            (lane.stream, after, limit),
        )
        return [SealedBatch(lane.kind, *row) for row in rows]

    def acknowledge(self, stream: str, ranges: Sequence[tuple[int, int]]) -> Holding:
        """Forget batches (first and last number of each range); return what that freed."""
        freed = Holding()
        with self._transaction():
            for low, high in ranges:
                rows = self._sql.execute(
                    "DELETE FROM batches WHERE stream = ? AND batch BETWEEN ? AND ?"
                    " RETURNING last - first + 1, length(data)",
                    (stream, low, high),
                ).fetchall()
                freed.batches += len(rows)
                freed.records += sum(row[0] for row in rows)
                freed.bytes += sum(row[1] for row in rows)
                self._sql.execute(
                    "DELETE FROM losses WHERE stream = ? AND carried BETWEEN ? AND ?",
                    (stream, low, high),
                )
        return freed

    def evict_oldest(self, lane: LaneRow) -> Holding:
        """Drop the lane's oldest batch and note the loss; return what that freed."""
        with self._transaction():
            row = self._sql.execute(
                "DELETE FROM batches WHERE (stream, batch) IN (SELECT stream, batch FROM batches"
                " WHERE stream = ? ORDER BY batch LIMIT 1) RETURNING batch, first, last,"
                " length(data)",
                (lane.stream,),
            ).fetchone()
            if row is None:
                return Holding()
            batch, first, last, size = row
            self._sql.execute(  # what it would have told must be told by another
                "UPDATE losses SET carried = NULL WHERE stream = ? AND carried = ?",
                (lane.stream, batch),
            )
            self._note_loss(lane.stream, first, last, "evicted")
            count = last - first + 1
            self._sql.execute(
                "UPDATE lanes SET evicted = evicted + ? WHERE name = ?", (count, lane.name)
            )
        lane.evicted += count
        return Holding(1, count, size)

    def _note_loss(
        self, stream: str, first: int, last: int, reason: Literal["evicted", "damaged"]
    ) -> None:
        """Keep a loss notice; one that adjoins the newest grows it."""
        grown = self._sql.execute(
            "UPDATE losses SET last = ? WHERE stream = ? AND last = ? AND reason = ?"
            " AND carried IS NULL",
            (last, stream, first - 1, reason),
        )
        if grown.rowcount == 0:
            self._sql.execute(
                "INSERT INTO losses (stream, first, last, reason) VALUES (?, ?, ?, ?)",
                (stream, first, last, reason),
            )

    def _carry_losses(self, stream: str, batch: int) -> tuple[layout.Loss, ...]:
        """Take the notices that no batch carries yet into this one."""
        rows = self._sql.execute(
            "SELECT id, first, last, reason FROM losses WHERE stream = ? AND carried IS NULL"
            " ORDER BY id LIMIT ?",
            (stream, _LOSSES_PER_BATCH),
        ).fetchall()
        self._sql.executemany(
            "UPDATE losses SET carried = ? WHERE id = ?", [(batch, row[0]) for row in rows]
        )
        return tuple(layout.Loss(*row[1:]) for row in rows)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._sql.execute)


class _Transaction:
    """Commit at the end of the block, roll back on an error."""

    def __init__(self, execute: Callable[[str], object]) -> None:
        self._execute = execute

    def __enter__(self) -> None:
        self._execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._execute("ROLLBACK" if kind else "COMMIT")
