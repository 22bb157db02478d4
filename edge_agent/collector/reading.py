"""Look into a store: devices, inspections, the feed of alarms. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, literal, select
from sqlalchemy.exc import DBAPIError

from edge_agent.clock import iso
from edge_agent.collector.stores import sqlite
from edge_agent.collector.tables import (
    ALARMS,
    BATCHES,
    DEVICES,
    FOLDED,
    INSPECTIONS,
    LOSSES,
    QUARANTINE,
)
from edge_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Select, Table


class Entry(msgspec.Struct, frozen=True):
    """A record as it is shown.

    Attributes:
        id: Grows with every record that is stored; where a feed goes on.
        device: Who wrote it.
        stream: The stream of the device's spool.
        number: Its number in the stream.
        received: When the collector took it in, ISO 8601.
        happened: When it happened, by the collector's clock, ISO 8601; empty where only the device
            knows, whose wall clock may be wrong.
        mark: `late`, `historical` (of an earlier boot than the one that sent it), or empty.
        record: What the device wrote.
    """

    id: int
    device: str
    stream: str
    number: int
    received: str
    record: dict[str, Any]
    happened: str = ""
    mark: str = ""

    def as_json(self) -> bytes:
        """Write it as one line: the record's own keys, with where it came from before them."""
        origin = {
            "device": self.device,
            "stream": self.stream,
            "number": self.number,
            "received": self.received,
            "happened": self.happened,
            "mark": self.mark,
        }
        origin = {key: value for key, value in origin.items() if value != ""}
        return msgspec.json.encode(origin | self.record)


class Device(msgspec.Struct, frozen=True):
    """A device as the collector knows it.

    Attributes:
        device: Its name.
        online: Whether it is; None if it never said.
        last_seen: When something of it came last, ISO 8601.
        version: Version of its agent; empty if it never said.
        batches: Batches stored, with those whose records are no longer kept.
        records: Records in them.
        lost: Records that the device said are gone.
    """

    device: str
    online: bool | None
    last_seen: str
    version: str
    batches: int
    records: int
    lost: int


class Refused(msgspec.Struct, frozen=True):
    """A message in quarantine.

    Attributes:
        digest: BLAKE2b-128 of what it holds.
        device: Who sent it, by its topic; empty if that cannot be told.
        topic: Where it came in.
        reason: Why it is here.
        bytes: Its size.
        kept: Whether what it holds was kept: not if it was too large.
        seen: How often it came.
        first: When it came first, ISO 8601.
        last: When it came last.
    """

    digest: str
    device: str
    topic: str
    reason: str
    bytes: int
    kept: bool
    seen: int
    first: str
    last: str


class Reader:
    """A store that is only read."""

    def __init__(self, url: str, *, password_file: str = "") -> None:
        """Open a store.

        Args:
            url: As `store.url`.
            password_file: As `store.password_file`.

        Raises:
            StoreError: There is none.
        """
        if url.startswith("postgresql:"):
            from edge_agent.collector.stores import postgresql  # noqa: PLC0415 - an extra

            self._engine = postgresql.open_for_reading(url, password_file=password_file)
        else:
            self._engine = sqlite.open_for_reading(url)

    def close(self) -> None:
        """Close it."""
        self._engine.dispose()

    def devices(self) -> list[Device]:
        """Return all devices, by name."""
        whole = select(
            BATCHES.c.device,
            literal(1).label("batches"),
            (BATCHES.c.last - BATCHES.c.first + 1).label("records"),
        )
        folded = select(
            FOLDED.c.device, FOLDED.c.last_batch - FOLDED.c.first_batch + 1, FOLDED.c.records
        )
        both = whole.union_all(folded).subquery()
        totals = (
            select(
                both.c.device,
                func.sum(both.c.batches).label("batches"),
                func.sum(both.c.records).label("records"),
            )
            .group_by(both.c.device)
            .subquery()
        )
        lost = (
            select(LOSSES.c.device, func.sum(LOSSES.c.last - LOSSES.c.first + 1).label("lost"))
            .group_by(LOSSES.c.device)
            .subquery()
        )
        query = (
            select(DEVICES, totals.c.batches, totals.c.records, lost.c.lost)
            .outerjoin(totals, totals.c.device == DEVICES.c.device)
            .outerjoin(lost, lost.c.device == DEVICES.c.device)
            .order_by(DEVICES.c.device)
        )
        return [
            Device(
                row.device,
                row.online,
                iso(row.last_seen_ns),
                row.version or "",
                int(row.batches or 0),
                int(row.records or 0),
                int(row.lost or 0),
            )
            for row in self._rows(query)
        ]

    def inspections(self, *, last: int, verdict: str = "") -> list[Entry]:
        """Return the newest inspections, the oldest of them first."""
        query = _entries(INSPECTIONS).order_by(INSPECTIONS.c.id.desc()).limit(last)
        if verdict:
            query = query.where(INSPECTIONS.c.verdict == verdict)
        return [_entry(row) for row in reversed(self._rows(query))]

    def alarms(self, *, after_id: int = 0, since_ns: int = 0, limit: int = 1000) -> list[Entry]:
        """Return the transitions of alarms that came after another one, or since a time."""
        query = (
            _entries(ALARMS)
            .where(ALARMS.c.id > after_id, ALARMS.c.received_ns >= since_ns)
            .order_by(ALARMS.c.id)
            .limit(limit)
        )
        return [_entry(row) for row in self._rows(query)]

    def quarantine(self, *, last: int) -> list[Refused]:
        """Return the messages that came last of those that could not be stored, oldest first."""
        columns = QUARANTINE.c
        query = (
            select(
                columns.digest,
                columns.device,
                columns.topic,
                columns.reason,
                columns.bytes,
                columns.payload.is_not(None).label("kept"),
                columns.seen,
                columns.first_ns,
                columns.last_ns,
            )
            .order_by(columns.last_ns.desc())
            .limit(last)
        )
        return [
            Refused(
                row.digest,
                row.device,
                row.topic,
                row.reason,
                row.bytes,
                bool(row.kept),
                row.seen,
                iso(row.first_ns),
                iso(row.last_ns),
            )
            for row in reversed(self._rows(query))
        ]

    def payload(self, digest: str) -> bytes | None:
        """Return what a message in quarantine holds; None if it was not kept, or is not there."""
        query = select(QUARANTINE.c.payload).where(QUARANTINE.c.digest.startswith(digest))
        rows = self._rows(query.limit(1))
        return rows[0].payload if rows else None

    def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        try:
            with self._engine.connect() as connection:
                return connection.execute(query).all()
        except DBAPIError as error:
            said = " ".join(str(error.orig).split())
            raise StoreError(f"store cannot be read: {said}") from error


def _entries(table: Table) -> Select[Any]:
    columns = table.c
    return select(
        columns.id,
        columns.device,
        columns.stream,
        columns.number,
        columns.received_ns,
        columns.record,
        columns.happened_ns,
        columns.mark,
    )


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        row.id,
        row.device,
        row.stream,
        row.number,
        iso(row.received_ns),
        _record(row.record),
        "" if row.happened_ns is None else iso(row.happened_ns),
        row.mark or "",
    )


def _record(text: str) -> dict[str, Any]:
    """Read a record; one that is not quite JSON is shown as it is."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {"unreadable": text}
