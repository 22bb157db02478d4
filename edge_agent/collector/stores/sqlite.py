"""The default store: one SQLite file (WAL, synchronous FULL). One collector writes, many read."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import event, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import StaticPool

from edge_agent.collector.messages import Rejected
from edge_agent.collector.store import Group, Outcome, StoreUnavailable
from edge_agent.collector.tables import (
    BATCHES,
    DEVICES,
    LOSSES,
    METADATA,
    QUARANTINE,
    RECORDS,
    VERSION,
)
from edge_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from edge_agent.collector.messages import BirthSeen, Delivery

_PREFIX = "sqlite:///"
_PAYLOAD_LIMIT_BYTES = 2**20
_KEPT_BYTES = 256 * 2**20
_KEPT_ROWS = 10_000


def path_of(url: str) -> Path:
    """Return the file of a store.

    >>> path_of("sqlite:////var/lib/edge-collector/collector.db")
    PosixPath('/var/lib/edge-collector/collector.db')
    """
    return Path(url.removeprefix(_PREFIX))


class SqliteStore:
    """A SQLite file that this collector writes."""

    def __init__(self, url: str) -> None:
        """Open the file, and make it and its tables if it is new.

        Raises:
            StoreError: It cannot be opened, or a newer collector made it.
        """
        self._path = path_of(url)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._engine = sqlalchemy.create_engine(
                url, poolclass=StaticPool, connect_args={"check_same_thread": False}
            )
            event.listen(self._engine, "connect", _tune)
            with _closed_on_error(self._engine), self._engine.begin() as connection:
                _check_version(connection, self._path)
                METADATA.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
        except (OSError, DBAPIError) as error:
            raise StoreError(f"store {self._path}: cannot be opened: {_cause(error)}") from error

    def commit(self, group: Group) -> list[Outcome]:
        """See `Store`."""
        try:
            with self._engine.begin() as connection:
                return _write(connection, group)
        except OperationalError as error:  # locked, full, read-only, gone
            raise StoreUnavailable(f"store {self._path}: {_cause(error)}") from error
        except (sqlalchemy.exc.SQLAlchemyError, OverflowError, UnicodeError) as error:
            raise StoreError(f"store {self._path}: {_cause(error)}") from error

    def close(self) -> None:
        """See `Store`."""
        self._engine.dispose()


def open_for_reading(url: str) -> Engine:
    """Open a store to look into it, while a collector may be writing.

    Raises:
        StoreError: There is no such file.
    """
    path = path_of(url)
    if not path.exists():
        raise StoreError(
            f"store {path}: no such file; give the configuration of the collector (--config), or "
            "start it once with `edge-collector run`"
        )
    address = f"file:{quote(str(path))}?mode=ro"
    engine = sqlalchemy.create_engine(
        "sqlite+pysqlite://",
        poolclass=StaticPool,
        creator=lambda: sqlite3.connect(address, uri=True, timeout=10, check_same_thread=False),
    )
    try:
        with _closed_on_error(engine), engine.connect() as connection:
            _check_version(connection, path)
    except DBAPIError as error:
        raise StoreError(f"store {path}: cannot be read: {_cause(error)}") from error
    return engine


@contextmanager
def _closed_on_error(engine: Engine) -> Iterator[None]:
    """Close an engine's connection when what is done first with it fails."""
    try:
        yield
    except (StoreError, DBAPIError):
        engine.dispose()
        raise


def _tune(connection: sqlite3.Connection, _record: object) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA busy_timeout = 10000")
    except sqlite3.Error:
        connection.close()  # the engine does not know it yet
        raise


def _check_version(connection: Connection, path: Path) -> None:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > VERSION:
        raise StoreError(
            f"store {path}: its tables are of version {version}, this collector knows {VERSION}; "
            "use the newer collector"
        )


def _write(connection: Connection, group: Group) -> list[Outcome]:
    outcomes = [_claim(connection, delivery) for delivery in group.deliveries]
    rows: dict[str, list[dict[str, Any]]] = {kind.value: [] for kind in RECORDS}
    losses: list[dict[str, Any]] = []
    rejects = list(group.rejects)
    for delivery, outcome in zip(group.deliveries, outcomes, strict=True):
        if outcome is Outcome.STORED:
            rows[delivery.kind.value].extend(_rows(delivery))
            losses.extend(_losses(delivery))
        elif outcome is Outcome.CONTRADICTED:
            reason = f"batch: number {delivery.header.batch} was stored with other content"
            rejects.append(Rejected(delivery.device, reason, delivery.digest, delivery.arrival))
    for kind, table in RECORDS.items():
        if rows[kind.value]:
            connection.execute(insert(table).on_conflict_do_nothing(), rows[kind.value])
    if losses:
        connection.execute(insert(LOSSES), losses)
    seen = {d.device: d.arrival.received_ns for d in group.deliveries}
    for device, received_ns in seen.items():
        _upsert_device(connection, {"device": device, "last_seen_ns": received_ns})
    for birth in group.births:
        _upsert_device(connection, _device(birth))
    _quarantine(connection, rejects)
    return outcomes


def _claim(connection: Connection, delivery: Delivery) -> Outcome:
    """Take the batch's number, if nobody has it: this is what makes twice sent once stored."""
    header, arrival = delivery.header, delivery.arrival
    key = {"device": delivery.device, "stream": header.stream, "batch": header.batch}
    claimed = connection.execute(
        insert(BATCHES).on_conflict_do_nothing(),
        {
            **key,
            "kind": header.kind,
            "first": header.first,
            "last": header.last,
            "bytes": len(arrival.payload),
            "digest": delivery.digest,
            "received_ns": arrival.received_ns,
        },
    )
    if claimed.rowcount == 1:
        return Outcome.STORED
    digest = connection.execute(select(BATCHES.c.digest).filter_by(**key)).scalar_one()
    return Outcome.REPEATED if digest == delivery.digest else Outcome.CONTRADICTED


def _rows(delivery: Delivery) -> list[dict[str, Any]]:
    origin = {
        "device": delivery.device,
        "stream": delivery.header.stream,
        "received_ns": delivery.arrival.received_ns,
    }
    return [origin | row for row in delivery.rows]


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


def _device(seen: BirthSeen) -> dict[str, Any]:
    return {
        "device": seen.device,
        "online": seen.birth.online,
        "last_seen_ns": seen.arrival.received_ns,
        "birth_ns": seen.arrival.received_ns,
        "version": seen.birth.version,
        "birth": seen.arrival.payload.decode("utf-8", "replace"),
    }


def _upsert_device(connection: Connection, values: dict[str, Any]) -> None:
    connection.execute(
        insert(DEVICES)
        .values(values)
        .on_conflict_do_update(
            index_elements=["device"], set_={k: v for k, v in values.items() if k != "device"}
        )
    )


def _quarantine(connection: Connection, rejects: list[Rejected]) -> None:
    """Keep messages that cannot be stored."""
    for reject in rejects:
        _keep_reject(connection, reject)
    if rejects:
        _bound_quarantine(connection)


def _keep_reject(connection: Connection, reject: Rejected) -> None:
    """Keep a message that cannot be stored; one that comes again is counted."""
    arrival = reject.arrival
    keep = 0 < len(arrival.payload) <= _PAYLOAD_LIMIT_BYTES
    connection.execute(
        insert(QUARANTINE)
        .values(
            topic=arrival.topic,
            digest=reject.digest,
            device=reject.device,
            reason=reject.reason,
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
    kept = sqlalchemy.case((columns.payload.is_(None), 0), else_=columns.bytes)
    newest_first = (columns.last_ns.desc(), columns.digest)
    ranked = select(
        columns.topic,
        columns.digest,
        func.row_number().over(order_by=newest_first).label("place"),
        func.sum(kept).over(order_by=newest_first).label("bytes"),
    ).subquery()
    over = (ranked.c.place > _KEPT_ROWS) | (ranked.c.bytes > _KEPT_BYTES)
    gone = select(ranked.c.topic, ranked.c.digest).where(over)
    key = sqlalchemy.tuple_(columns.topic, columns.digest)
    connection.execute(QUARANTINE.delete().where(key.in_(gone)))


def _cause(error: Exception) -> str:
    """Return the driver's own words: SQLAlchemy adds the statement and its values."""
    return str(error.orig if isinstance(error, DBAPIError) else error)
