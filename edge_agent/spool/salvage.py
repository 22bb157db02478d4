"""Read what can still be read of a damaged database, and set damaged files aside.

Nothing is ever written to them.

What a row says counts only if its checksum holds, so no order of reading can make things up.
"""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from edge_agent.spool import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

_KEPT_ASIDE = 3
_STEP = 64
_FAR = 20_000  # row ids to try one by one between pages that cannot be read
_SLOTS = 12  # to look through where no lane can be read
_ALL = (0, 2**62)
_SIDES = ("", "-wal", "-shm")
_Row = TypeVar("_Row")
_ERRORS = (sqlite3.Error, ValueError, OverflowError, TypeError, rows.Damaged)


class Salvage:
    """A damaged database that is read as far as it goes. Use it in a `with` statement.

    Attributes:
        lanes: The lanes that hold, by name.
    """

    def __init__(self, path: Path) -> None:
        self._sql: sqlite3.Connection | None = None
        self.lanes: dict[str, rows.LaneRow] = {}
        try:
            self._sql = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            self._sql.text_factory = rows.text
        except _ERRORS:
            return
        for lane in _reachable(self._sql, "lanes", rows.LANE_COLUMNS, rows.lane, [_ALL]):
            self.lanes[lane.name] = lane

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file."""
        if self._sql is not None:
            self._sql.close()

    def batches(self) -> Iterator[rows.BatchRow]:
        """Return every batch that can be reached and holds, by lane and number."""
        spans = [
            (rows.id_of(lane, 1), rows.id_of(lane, lane.batches)) for lane in self.lanes.values()
        ]
        known = {lane.slot for lane in self.lanes.values()}
        spans += [  # of lanes that cannot be read
            rows.ids(rows.LaneRow(slot, "", "", ""))
            for slot in range(1, max(known, default=_SLOTS) + 2)
            if slot not in known
        ]
        if self._sql is None:
            return iter(())
        return _reachable(self._sql, "batches", rows.BATCH_COLUMNS, rows.batch, spans)

    def losses(self) -> Iterator[rows.LossRow]:
        """Return every notice that can be reached and holds."""
        if self._sql is None:
            return iter(())
        return _reachable(self._sql, "losses", rows.LOSS_COLUMNS, rows.loss, [_ALL])


def holes(floor: int, sealed: int, batches: Iterable[rows.BatchRow]) -> list[tuple[int, int]]:
    """Return the ranges above `floor` and up to `sealed` that no batch covers.

    >>> holes(10, 30, [rows.BatchRow("s", 3, 15, 20, b"")])
    [(11, 14), (21, 30)]
    """
    gone: list[tuple[int, int]] = []
    expected = floor + 1
    for batch in sorted(batches, key=lambda batch: batch.first):
        if batch.first > expected:
            gone.append((expected, batch.first - 1))
        expected = max(expected, batch.last + 1)
    if expected <= sealed:
        gone.append((expected, sealed))
    return gone


def set_aside(path: Path, *, suffixes: Iterable[str] = _SIDES) -> str:
    """Keep a damaged file for inspection under a name with the time; return that name.

    Only the newest few of a kind are kept: disk is bounded.

    Raises:
        OSError: It cannot be renamed.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name, count = f"{path.name}.damaged-{stamp}", 1
    while path.with_name(name).exists():
        count += 1
        name = f"{path.name}.damaged-{stamp}.{count}"
    for suffix in suffixes:
        side = path.with_name(path.name + suffix)
        if side.exists():
            side.rename(path.with_name(name + suffix))
    kind = path.name.rpartition(".")[2]
    pattern = f"*.{kind}.damaged-*"
    aside = [p for p in path.parent.glob(pattern) if not p.name.endswith(("-wal", "-shm"))]
    for old in sorted(aside, key=lambda p: p.stat().st_mtime)[:-_KEPT_ASIDE]:
        for suffix in suffixes:
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    return name


def sync_directory(directory: Path) -> None:
    """Bring names in a directory to the disk.

    Raises:
        OSError: The disk did not take them.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reachable(
    sql: sqlite3.Connection,
    table: str,
    columns: str,
    make: Callable[[Sequence[Any]], _Row],
    spans: Iterable[tuple[int, int]],
) -> Iterator[_Row]:
    """Walk spans of a table by row id: from below, from above, and point by point between."""
    query = f"SELECT rowid, {columns} FROM {table} WHERE rowid BETWEEN ? AND ? ORDER BY rowid"  # noqa: S608 - constants
    if _try(sql, f"SELECT rowid FROM {table} LIMIT 0", ()) is None:  # noqa: S608 - constant
        return
    for low, high in spans:
        at, end = low, high
        for order in ("ASC", "DESC"):
            step = _STEP
            while at <= end and step:
                found = _try(sql, f"{query} {order} LIMIT {step}", (at, end))
                if found is None:
                    step //= 4
                    continue
                yield from _made(make, found)
                keys = [row[0] for row in found if at <= row[0] <= end]
                if len(found) < step or not keys:
                    at, end = 1, 0
                elif order == "ASC":
                    at = max(keys) + 1
                else:
                    end = min(keys) - 1
        for key in range(at, min(end + 1, at + _FAR)):
            yield from _made(make, _try(sql, query, (key, key)) or [])


def _made(
    make: Callable[[Sequence[Any]], _Row], found: Iterable[tuple[Any, ...]]
) -> Iterator[_Row]:
    for _, *values in found:
        try:
            row = make(values)
        except _ERRORS:
            continue
        yield row


def _try(
    sql: sqlite3.Connection, query: str, values: Sequence[int]
) -> list[tuple[Any, ...]] | None:
    """Return what a query finds; None if it cannot be read."""
    try:
        return sql.execute(query, values).fetchall()
    except _ERRORS:
        return None
