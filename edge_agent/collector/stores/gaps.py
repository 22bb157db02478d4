"""What is missing, kept in the tables `streams` and `gaps`: SQL for every database.

The rules are in `edge_agent.collector.gaps`. Each function works in the transaction of the
connection that it is given, takes bounded time whatever devices send, and may run in several
collectors at once. A stream's `complete_to` is the batch up to which every hole is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import and_, bindparam, func, select, true, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from edge_agent.collector.gaps import (
    BEGINNING,
    Gap,
    GapState,
    Hole,
    Stored,
    is_due,
    look_again,
    scan,
    without,
)
from edge_agent.collector.tables import BATCHES, GAPS, LOSSES, STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Select

    from edge_agent.collector.gaps import Span

_SECOND_NS = 1_000_000_000
_GONE_NS = 3600 * _SECOND_NS  # how long a gap that is gone is still looked at: all may come late
_FILLED_NS = 7 * 86_400 * _SECOND_NS  # how long a filled gap is shown
_SCAN_BATCHES = 20_000
_STREAM_BATCHES = 2000
_GAPS = 500
_KEYS = 500  # in one question
_Key = tuple[str, str, int]  # device, stream, batch
_LOCK = 0x65646765  # one sweep at a time: the key of PostgreSQL's advisory lock


def sweep(connection: Connection, now_ns: int, *, grace_s: float) -> list[Gap]:
    """Look for gaps; return those that are to be asked for now, and note them as asked.

    Args:
        connection: In a transaction.
        now_ns: Wall time of the collector.
        grace_s: How long a hole may be there before it counts.
    """
    if connection.dialect.name == "postgresql":
        lock = select(func.pg_try_advisory_xact_lock(_LOCK))
        if not connection.execute(lock).scalar_one():
            return []
    _find(connection, now_ns, until_ns=now_ns - int(grace_s * _SECOND_NS))
    due: list[Gap] = []
    for gap in _to_look_at(connection, now_ns):
        due += [left for left in _look(connection, gap) if is_due(left, now_ns=now_ns)]
    old = and_(GAPS.c.state == GapState.FILLED, GAPS.c.asked_ns < now_ns - _FILLED_NS)
    connection.execute(GAPS.delete().where(old))
    asked = [msgspec.structs.replace(g, asked=g.asked + 1, asked_ns=now_ns) for g in due]
    _put(connection, asked)
    return asked


def gone(
    connection: Connection, device: str, stream: str, batches: Sequence[Span], _now_ns: int
) -> None:
    """Note that a device does not have batches any more that it was asked for."""
    query = select(GAPS).where(
        GAPS.c.device == device, GAPS.c.stream == stream, GAPS.c.state == GapState.OPEN
    )
    for row in connection.execute(query.limit(_GAPS)).all():
        gap = gap_of(row)
        pieces = without(gap, batches)
        if pieces != [gap]:
            _replace(connection, gap, pieces)


def gap_of(row: Row[Any]) -> Gap:
    """Read a row of the table `gaps`."""
    return Gap(
        device=row.device,
        stream=row.stream,
        hole=Hole(row.first_batch, row.last_batch, row.first, row.last),
        found_ns=row.found_ns,
        asked_ns=row.asked_ns or 0,
        asked=row.asked,
        state=GapState(row.state),
    )


# --- new gaps ------------------------------------------------------------------------------------


def _find(connection: Connection, now_ns: int, *, until_ns: int) -> None:
    """Look at the batches that came since the last sweep."""
    fresh: dict[_Key, list[Stored]] = {}
    for row in connection.execute(_fresh(connection)):
        # A clock that was set back must not make a batch young for years.
        received_ns = row.received_ns if row.received_ns <= now_ns else 0
        stored = Stored(row.batch, row.first, row.last, received_ns)
        fresh.setdefault((row.device, row.stream, row.complete_to), []).append(stored)
    found: list[Gap] = []
    moved: list[dict[str, Any]] = []
    rows = _seen_last(connection, list(fresh))
    for key, batches in fresh.items():
        device, stream, seen_to = key
        # Without the row of the last batch that was seen, no record before the next one is missed.
        before = rows.get(key) or Stored(seen_to, 0, batches[0].first - 1)
        seen = scan(before, batches, [], until_ns=until_ns)
        if seen.holes or seen.seen_to < batches[-1].batch:
            lost = _lost(connection, device, stream, after=before.last)
            seen = scan(before, batches, lost, until_ns=until_ns)
        found += [Gap(device=device, stream=stream, hole=h, found_ns=now_ns) for h in seen.holes]
        if seen.seen_to > seen_to:
            moved.append({"of_device": device, "of_stream": stream, "seen_to": seen.seen_to})
    if moved:
        connection.execute(
            STREAMS.update()
            .where(STREAMS.c.device == bindparam("of_device"))
            .where(STREAMS.c.stream == bindparam("of_stream"))
            .where(STREAMS.c.complete_to < bindparam("seen_to"))
            .values(complete_to=bindparam("seen_to")),
            moved,
        )
    _put(connection, found)


def _fresh(connection: Connection) -> Select[Any]:
    """Return the query for the batches above what was seen of each stream."""
    columns: list[ColumnElement[Any]] = [
        BATCHES.c.batch, BATCHES.c.first, BATCHES.c.last, BATCHES.c.received_ns
    ]  # fmt: skip
    stream: list[ColumnElement[Any]] = [STREAMS.c.device, STREAMS.c.stream, STREAMS.c.complete_to]
    above = and_(
        BATCHES.c.device == STREAMS.c.device,
        BATCHES.c.stream == STREAMS.c.stream,
        BATCHES.c.batch > STREAMS.c.complete_to,
    )
    if connection.dialect.name == "postgresql":  # else it may read all batches there are
        of_one = select(*columns).where(above).order_by(BATCHES.c.batch).limit(_STREAM_BATCHES)
        some = of_one.correlate(STREAMS).lateral("fresh")
        query = select(*stream, *some.c).select_from(STREAMS.join(some, true()))
        query = query.order_by(STREAMS.c.device, STREAMS.c.stream, some.c.batch)
    else:
        query = select(*stream, *columns).select_from(STREAMS.join(BATCHES, above))
        query = query.order_by(STREAMS.c.device, STREAMS.c.stream, BATCHES.c.batch)
    return query.limit(_SCAN_BATCHES)


def _seen_last(connection: Connection, keys: Sequence[_Key]) -> dict[_Key, Stored]:
    """Return the last batch that was seen of each stream, where its row is still there."""
    found = {key: BEGINNING for key in keys if not key[2]}
    columns = BATCHES.c
    named = tuple_(columns.device, columns.stream, columns.batch)
    for begin in range(0, len(keys), _KEYS):
        query = select(columns.device, columns.stream, columns.batch, columns.first, columns.last)
        for row in connection.execute(query.where(named.in_(keys[begin : begin + _KEYS]))):
            stored = Stored(row.batch, row.first, row.last)
            found[row.device, row.stream, row.batch] = stored
    return found


# --- known gaps ----------------------------------------------------------------------------------


def _to_look_at(connection: Connection, now_ns: int) -> list[Gap]:
    """Return the gaps that may have changed, those first that were not asked for in a long time."""
    asked_ns = func.coalesce(GAPS.c.asked_ns, 0)
    late = and_(GAPS.c.state == GapState.GONE, asked_ns > now_ns - _GONE_NS)
    query = (
        select(GAPS)
        .where((GAPS.c.state == GapState.OPEN) | late)
        .order_by(asked_ns, GAPS.c.device, GAPS.c.stream, GAPS.c.first_batch)
        .limit(_GAPS)
    )
    return [gap_of(row) for row in connection.execute(query).all()]


def _look(connection: Connection, gap: Gap) -> list[Gap]:
    """See what of a gap is still missing, and note it."""
    hole = gap.hole
    below = BATCHES.c.batch < hole.first_batch
    before = _stored(connection, gap.device, gap.stream, below, 1, newest=True)
    if not before or before[0].batch != hole.first_batch - 1:
        before = [Stored(hole.first_batch - 1, 0, hole.first - 1)]
    from_here = BATCHES.c.batch >= hole.first_batch
    around = before + _stored(connection, gap.device, gap.stream, from_here, _STREAM_BATCHES)
    inside = [each for each in around if each.batch <= hole.last_batch]
    inside = inside or before
    after = [each for each in around if each.batch > max(hole.last_batch, before[0].batch)][:1]
    lost = _lost(connection, gap.device, gap.stream, after=before[0].last)
    holes = look_again(gap, inside + after, lost)
    if not after and inside[-1].batch < hole.last_batch:  # more are there than were read
        last = inside[-1]
        holes.append(Hole(last.batch + 1, hole.last_batch, last.last + 1, hole.last))
    if holes == [hole]:
        return [gap]
    left = [msgspec.structs.replace(gap, hole=each) for each in holes]
    came = len(inside) > 1
    if not left and came and gap.asked:
        _put(connection, [msgspec.structs.replace(gap, state=GapState.FILLED)])
    else:
        _replace(connection, gap, left)
    return left


def _stored(
    connection: Connection,
    device: str,
    stream: str,
    where: ColumnElement[bool],
    most: int,
    *,
    newest: bool = False,
) -> list[Stored]:
    query = (
        select(BATCHES.c.batch, BATCHES.c.first, BATCHES.c.last)
        .where(BATCHES.c.device == device, BATCHES.c.stream == stream, where)
        .order_by(BATCHES.c.batch.desc() if newest else BATCHES.c.batch)
        .limit(most)
    )
    return [Stored(row.batch, row.first, row.last) for row in connection.execute(query)]


def _lost(connection: Connection, device: str, stream: str, *, after: int) -> list[Span]:
    query = select(LOSSES.c.first, LOSSES.c.last).where(
        LOSSES.c.device == device, LOSSES.c.stream == stream, LOSSES.c.last > after
    )
    return [(row.first, row.last) for row in connection.execute(query)]


def _replace(connection: Connection, gap: Gap, pieces: Sequence[Gap]) -> None:
    key = and_(
        GAPS.c.device == gap.device,
        GAPS.c.stream == gap.stream,
        GAPS.c.first_batch == gap.hole.first_batch,
    )
    connection.execute(GAPS.delete().where(key))
    _put(connection, pieces)


def _put(connection: Connection, gaps: Iterable[Gap]) -> None:
    """Write gaps, over those that begin with the same batch."""
    rows = [
        {
            "device": gap.device,
            "stream": gap.stream,
            "first_batch": gap.hole.first_batch,
            "last_batch": gap.hole.last_batch,
            "first": gap.hole.first,
            "last": gap.hole.last,
            "found_ns": gap.found_ns,
            "asked_ns": gap.asked_ns or None,
            "asked": gap.asked,
            "state": gap.state.value,
        }
        for gap in gaps
    ]
    if not rows:
        return
    key = ["device", "stream", "first_batch"]
    write: postgresql.Insert | sqlite.Insert
    if connection.dialect.name == "postgresql":
        write = postgresql.insert(GAPS)
    else:
        write = sqlite.insert(GAPS)
    new = {column.name: write.excluded[column.name] for column in GAPS.c if column.name not in key}
    connection.execute(write.on_conflict_do_update(index_elements=key, set_=new), rows)
