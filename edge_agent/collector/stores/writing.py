"""What a group becomes in the tables, whatever the database: claims, losses, devices, quarantine.

Several collectors may do all this at the same time in one database. So whoever is first is decided
by primary keys, rows that two may want are taken in one order, and those that many want (of
devices and streams) are taken last, shortly before the commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import case, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from edge_agent.collector.messages import Rejected
from edge_agent.collector.store import Group, Outcome
from edge_agent.collector.tables import BATCHES, DEVICES, FOLDED, LOSSES, QUARANTINE, STREAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table

    from edge_agent.collector.messages import BirthSeen, Delivery

PAYLOAD_LIMIT_BYTES = 2**20
KEPT_BYTES = 256 * 2**20
KEPT_ROWS = 10_000
_KEYS = 1000  # in one question
_Key = tuple[str, str, int]


def insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Begin an INSERT that may say what becomes of conflicts, in the words of the database."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def claim(connection: Connection, deliveries: Sequence[Delivery]) -> list[Outcome]:
    """Take the batches' numbers that nobody has: this is what makes twice sent once stored."""
    first: dict[_Key, Delivery] = {}
    for delivery in deliveries:
        first.setdefault(_key(delivery), delivery)
    folded = _folded(connection, sorted(first))
    wanted = [_batch(first[key]) for key in sorted(first) if key not in folded]
    fresh: set[_Key] = set()
    if wanted:
        columns = BATCHES.c
        adding = insert(connection, BATCHES).on_conflict_do_nothing()
        claimed = connection.execute(
            adding.returning(columns.device, columns.stream, columns.batch), wanted
        )
        fresh = {(row.device, row.stream, row.batch) for row in claimed}
    digests = _digests(connection, [key for key in first if key not in folded | fresh])
    digests |= {key: first[key].digest for key in fresh}
    outcomes = []
    for delivery in deliveries:
        key = _key(delivery)
        if key in fresh and delivery is first[key]:
            outcomes.append(Outcome.STORED)
        elif key in folded or digests.get(key) == delivery.digest:
            outcomes.append(Outcome.REPEATED)
        else:
            outcomes.append(Outcome.CONTRADICTED)
    return outcomes


def _key(delivery: Delivery) -> _Key:
    return delivery.device, delivery.header.stream, delivery.header.batch


def _batch(delivery: Delivery) -> dict[str, Any]:
    header, arrival = delivery.header, delivery.arrival
    return {
        "device": delivery.device,
        "stream": header.stream,
        "batch": header.batch,
        "kind": header.kind,
        "first": header.first,
        "last": header.last,
        "bytes": len(arrival.payload),
        "digest": delivery.digest,
        "received_ns": arrival.received_ns,
    }


def _folded(connection: Connection, keys: Sequence[_Key]) -> set[_Key]:
    """Return those that are stored and so old that only their numbers are kept."""
    found: set[_Key] = set()
    for begin in range(0, len(keys), _KEYS):
        some = keys[begin : begin + _KEYS]
        streams = sorted({key[:2] for key in some})
        lowest = min(key[2] for key in some)
        columns = FOLDED.c
        rows = connection.execute(
            select(columns.device, columns.stream, columns.first_batch, columns.last_batch).where(
                tuple_(columns.device, columns.stream).in_(streams), columns.last_batch >= lowest
            )
        ).all()
        found |= {
            key
            for key in some
            for row in rows
            if key[:2] == (row.device, row.stream) and row.first_batch <= key[2] <= row.last_batch
        }
    return found


def _digests(connection: Connection, keys: Sequence[_Key]) -> dict[_Key, str]:
    columns = BATCHES.c
    found: dict[_Key, str] = {}
    for begin in range(0, len(keys), _KEYS):
        rows = connection.execute(
            select(columns.device, columns.stream, columns.batch, columns.digest).where(
                tuple_(columns.device, columns.stream, columns.batch).in_(
                    keys[begin : begin + _KEYS]
                )
            )
        )
        found |= {(row.device, row.stream, row.batch): row.digest for row in rows}
    return found


def finish(connection: Connection, group: Group, outcomes: Sequence[Outcome]) -> None:
    """Write what goes with the records: losses, quarantine, devices, streams."""
    stored, rejects = [], list(group.rejects)
    for delivery, outcome in zip(group.deliveries, outcomes, strict=True):
        if outcome is Outcome.STORED:
            stored.append(delivery)
        elif outcome is Outcome.CONTRADICTED:
            reason = f"batch: number {delivery.header.batch} was stored with other content"
            rejects.append(Rejected(delivery.device, reason, delivery.digest, delivery.arrival))
    losses = [loss for delivery in stored for loss in _losses(delivery)]
    if losses:
        connection.execute(insert(connection, LOSSES), losses)
    _quarantine(connection, rejects)
    _devices(connection, group)
    _streams(connection, stored)


def _losses(delivery: Delivery) -> list[dict[str, Any]]:
    header = delivery.header
    return [
        {
            "device": delivery.device,
            "stream": loss.stream or header.stream,
            "first": loss.first,
            "last": loss.last,
            "reason": loss.reason,
            "batch": header.batch,
            "received_ns": delivery.arrival.received_ns,
        }
        for loss in header.lost
    ]


# --- devices and streams --------------------------------------------------------------------------


def _devices(connection: Connection, group: Group) -> None:
    seen: dict[str, int] = {}
    came: list[Delivery | BirthSeen] = [*group.deliveries, *group.births]
    for item in came:
        seen[item.device] = max(item.arrival.received_ns, seen.get(item.device, 0))
    births = {birth.device: birth for birth in group.births}
    bare = [
        {"device": device, "last_seen_ns": seen[device]}
        for device in sorted(seen)
        if device not in births
    ]
    full = [_device(births[device], seen[device]) for device in sorted(births)]
    for rows in (bare, full):
        if not rows:
            continue
        adding = insert(connection, DEVICES)
        new = adding.excluded
        changed = {name: new[name] for name in rows[0] if name != "device"}
        changed["last_seen_ns"] = _later(new.last_seen_ns, DEVICES.c.last_seen_ns)
        connection.execute(
            adding.on_conflict_do_update(index_elements=["device"], set_=changed), rows
        )


def _device(seen: BirthSeen, last_seen_ns: int) -> dict[str, Any]:
    return {
        "device": seen.device,
        "online": seen.birth.online,
        "last_seen_ns": last_seen_ns,
        "birth_ns": seen.arrival.received_ns,
        "version": without_nul(seen.birth.version),
        "birth": without_nul(seen.arrival.payload.decode("utf-8", "replace")),
    }


def _streams(connection: Connection, stored: Sequence[Delivery]) -> None:
    """Note that streams go on; what of them is complete is decided when gaps are looked for."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for delivery in stored:
        key, at_ns = (delivery.device, delivery.header.stream), delivery.arrival.received_ns
        row = rows.setdefault(
            key,
            {
                "device": key[0],
                "stream": key[1],
                "kind": delivery.header.kind,
                "complete_to": 0,
                "first_ns": at_ns,
                "last_ns": at_ns,
            },
        )
        row["last_ns"] = max(row["last_ns"], at_ns)
    if rows:
        adding = insert(connection, STREAMS)
        later = _later(adding.excluded.last_ns, STREAMS.c.last_ns)
        connection.execute(
            adding.on_conflict_do_update(
                index_elements=["device", "stream"], set_={"last_ns": later}
            ),
            [rows[key] for key in sorted(rows)],
        )


def _later(new: Any, old: Any) -> Any:
    return case((new > old, new), else_=old)


def without_nul(text: str) -> str:
    """Replace what PostgreSQL cannot hold in a text."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


# --- quarantine -----------------------------------------------------------------------------------


def _quarantine(connection: Connection, rejects: Sequence[Rejected]) -> None:
    """Keep messages that cannot be stored."""
    for reject in sorted(rejects, key=lambda each: (each.arrival.topic, each.digest)):
        _keep_reject(connection, reject)
    if rejects:
        _bound_quarantine(connection)


def _keep_reject(connection: Connection, reject: Rejected) -> None:
    """Keep a message that cannot be stored; one that comes again is counted."""
    arrival = reject.arrival
    keep = 0 < len(arrival.payload) <= PAYLOAD_LIMIT_BYTES
    connection.execute(
        insert(connection, QUARANTINE)
        .values(
            topic=without_nul(arrival.topic),
            digest=reject.digest,
            device=reject.device,
            reason=without_nul(reject.reason),
            bytes=len(arrival.payload) + arrival.left_out,
            payload=arrival.payload if keep else None,
            first_ns=arrival.received_ns,
            last_ns=arrival.received_ns,
            seen=1,
        )
        .on_conflict_do_update(
            index_elements=["topic", "digest"],
            set_={"last_ns": arrival.received_ns, "seen": QUARANTINE.c.seen + 1},
        )
    )


def _bound_quarantine(connection: Connection) -> None:
    """Forget the oldest messages in quarantine: strangers must not fill the disk.

    The sizes stand in the rows: no payload is read to count them.
    """
    columns = QUARANTINE.c
    kept = case((columns.payload.is_(None), 0), else_=columns.bytes)
    newest_first = (columns.last_ns.desc(), columns.digest)
    ranked = select(
        columns.topic,
        columns.digest,
        func.row_number().over(order_by=newest_first).label("place"),
        func.sum(kept).over(order_by=newest_first).label("bytes"),
    ).subquery()
    over = (ranked.c.place > KEPT_ROWS) | (ranked.c.bytes > KEPT_BYTES)
    gone = select(ranked.c.topic, ranked.c.digest).where(over)
    key = sqlalchemy.tuple_(columns.topic, columns.digest)
    connection.execute(QUARANTINE.delete().where(key.in_(gone)))
