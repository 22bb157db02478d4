"""The rows of the spool's database, each with its checksum. Rules only, no IO.

A batch's row id is `slot * 2**40 + batch`: one tree finds it by lane and number.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from edge_agent.spool.batch import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LAYOUT = 2
_SCHEMA = """
CREATE TABLE lanes (
    slot INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, stream TEXT NOT NULL,
    sealed INTEGER NOT NULL, batches INTEGER NOT NULL, floor INTEGER NOT NULL,
    evicted INTEGER NOT NULL, damaged INTEGER NOT NULL, dropped INTEGER NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL, batch INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE TABLE losses (
    id INTEGER PRIMARY KEY, carrier TEXT NOT NULL, of TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, reason TEXT NOT NULL, crc INTEGER NOT NULL, carried INTEGER
) STRICT
"""
TABLES = tuple(_SCHEMA.split(";"))
LANE_COLUMNS = "slot, name, kind, stream, sealed, batches, floor, evicted, damaged, dropped, crc"
BATCH_COLUMNS = "stream, batch, first, last, data, crc"
LOSS_COLUMNS = "carrier, of, first, last, reason, crc"

_SLOT = 2**40
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Damaged(Exception):  # noqa: N818 - a state of a file, and no fault of who met it
    """The database is not what was written; the text says how that shows."""


class LaneRow(msgspec.Struct):
    """A lane as the database knows it.

    Attributes:
        slot: Its place in the row ids of batches.
        name: The lane's name.
        kind: What its records are.
        stream: Its stream id.
        sealed: Number of the last record that is in a batch (or known to be lost).
        batches: Number of the last batch.
        floor: No record up to this number waits.
        evicted: Records evicted since the stream began.
        damaged: Records lost to damage since the stream began.
        dropped: Records that no disk took, since the stream began.
    """

    slot: int
    name: str
    kind: str
    stream: str
    sealed: int = 0
    batches: int = 0
    floor: int = 0
    evicted: int = 0
    damaged: int = 0
    dropped: int = 0


class BatchRow(msgspec.Struct, frozen=True):
    """A sealed batch as it is kept."""

    stream: str
    batch: int
    first: int
    last: int
    data: bytes


class LossRow(msgspec.Struct, frozen=True):
    """A loss notice as it is kept: of the stream `of` (empty: the carrier's own)."""

    carrier: str
    of: str
    first: int
    last: int
    reason: Reason


def text(data: bytes) -> str:
    """Read a text that damage may have made any bytes; its checksum tells."""
    return data.decode("utf-8", "replace")


def checked(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return values with their checksum behind them."""
    return (*values, _checksum(values))


def lane(values: Sequence[Any]) -> LaneRow:
    """Read a lane.

    Raises:
        Damaged: It fails its checksum.
    """
    return LaneRow(*_verified("lane", values))


def batch(values: Sequence[Any]) -> BatchRow:
    """Read a batch.

    Raises:
        Damaged: It fails its checksum.
    """
    return BatchRow(*_verified("batch", values))


def loss(values: Sequence[Any]) -> LossRow:
    """Read a loss notice.

    Raises:
        Damaged: It fails its checksum.
    """
    return LossRow(*_verified("loss notice", values))


def assign(row: LaneRow, other: LaneRow) -> None:
    """Make a lane's row equal to another one."""
    for name in LaneRow.__struct_fields__:
        setattr(row, name, getattr(other, name))


def id_of(row: LaneRow, number: int) -> int:
    """Return the row id of a batch."""
    return row.slot * _SLOT + min(max(number, 0), _SLOT - 1)


def ids(row: LaneRow) -> tuple[int, int]:
    """Return the lowest and the highest row id that batches of a lane may have."""
    return row.slot * _SLOT + 1, row.slot * _SLOT + _SLOT - 1


@contextmanager
def guarded() -> Iterator[None]:
    """Tell damage to the file from other failures of SQLite."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGE:
            raise Damaged(str(error)) from error
        raise
    except UnicodeDecodeError as error:  # SQLite's own words hold a name that damage has changed
        raise Damaged("its layout cannot be read") from error


def _verified(what: str, values: Sequence[Any]) -> Sequence[Any]:
    *fields, checksum = values
    if _checksum(fields) != checksum:
        raise Damaged(f"a {what} fails its checksum")
    return fields


def _checksum(values: Sequence[Any]) -> int:
    total = 0
    for value in values:
        data = value if isinstance(value, bytes) else repr(value).encode()
        total = crc32(b"|", crc32(data, total))
    return total
