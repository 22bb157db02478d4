"""What is kept how long, and what is kept of batches whose records are dropped: that they came.

A device that comes back after a year may send again what was stored a year ago: the acknowledgement
was lost on the way. Its number must still be known then. So numbers are never forgotten; those of
old batches become ranges, of which a stream without holes needs one.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from sqlalchemy import and_, select

from edge_agent.collector.tables import BATCHES, FOLDED, STREAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table

TURN_S = 2.0
"""How long one call of `Store.tidy` goes on, about: whoever stops a collector waits for it."""

STEP = 2000
"""Batches in one transaction: some tens of milliseconds."""

DAY_NS = 86_400_000_000_000
_Range = tuple[int, int, int]  # first batch, last batch, records


def horizon(now_ns: int, keep_days: int) -> int:
    """Return the begin of the first day (UTC) that is kept.

    >>> horizon(10 * DAY_NS + 5, 3) == 7 * DAY_NS
    True
    """
    return (now_ns // DAY_NS - keep_days) * DAY_NS


def forget(connection: Connection, table: Table, before_ns: int, *, most: int = STEP) -> int:
    """Delete records that came before a time, a step's worth of them; return how many."""
    old = select(table.c.id).where(table.c.received_ns < before_ns)
    some = old.order_by(table.c.received_ns).limit(most)
    return connection.execute(table.delete().where(table.c.id.in_(some))).rowcount


def fold(connection: Connection, before_ns: int, *, most: int = STEP) -> int:
    """Put batches that came before a time into ranges; return how many were.

    Only below what is known to be complete: holes are looked for in `batches`. The caller sees to
    it that nobody claims batches meanwhile.
    """
    columns = BATCHES.c
    seen = and_(
        STREAMS.c.device == columns.device,
        STREAMS.c.stream == columns.stream,
        columns.batch < STREAMS.c.complete_to,
    )
    rows = connection.execute(
        select(columns.device, columns.stream, columns.batch, columns.first, columns.last)
        .join(STREAMS, seen)
        .where(columns.received_ns < before_ns)
        .order_by(columns.received_ns)
        .limit(most)
    ).all()
    by_stream: dict[tuple[str, str], list[_Range]] = {}
    for row in sorted(rows, key=itemgetter(0, 1, 2)):
        batch = (row.batch, row.batch, row.last - row.first + 1)
        by_stream.setdefault((row.device, row.stream), []).append(batch)
    for (device, stream), batches in by_stream.items():
        _fold_stream(connection, device, stream, batches)
    return len(rows)


def _fold_stream(
    connection: Connection, device: str, stream: str, batches: Sequence[_Range]
) -> None:
    lowest, highest = batches[0][0], batches[-1][1]
    folded = and_(
        FOLDED.c.device == device,
        FOLDED.c.stream == stream,
        FOLDED.c.last_batch >= lowest - 1,
        FOLDED.c.first_batch <= highest + 1,
    )
    there = connection.execute(
        select(FOLDED.c.first_batch, FOLDED.c.last_batch, FOLDED.c.records).where(folded)
    ).all()
    ranges = merged([*((r.first_batch, r.last_batch, r.records) for r in there), *batches])
    connection.execute(FOLDED.delete().where(folded))
    connection.execute(
        FOLDED.insert(),
        [
            {
                "device": device,
                "stream": stream,
                "first_batch": first,
                "last_batch": last,
                "records": records,
            }
            for first, last, records in ranges
        ],
    )
    connection.execute(
        BATCHES.delete().where(
            BATCHES.c.device == device,
            BATCHES.c.stream == stream,
            BATCHES.c.batch.in_([batch for batch, _, _ in batches]),
        )
    )


def merged(ranges: Sequence[_Range]) -> list[_Range]:
    """Join ranges that follow each other without a hole.

    >>> merged([(7, 7, 5), (1, 4, 40), (5, 5, 10)])
    [(1, 5, 50), (7, 7, 5)]
    """
    found: list[_Range] = []
    for first, last, records in sorted(ranges):
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last, found[-1][2] + records)
        else:
            found.append((first, last, records))
    return found
