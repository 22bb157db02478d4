"""The default store: one SQLite file (WAL, synchronous FULL). One collector writes, many read."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool, StaticPool

from edge_agent.collector import migrations
from edge_agent.collector.store import Group, Outcome, StoreUnavailable, Tidied
from edge_agent.collector.stores import gaps, retention, writing
from edge_agent.collector.tables import METADATA, RECORDS, VERSION
from edge_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Engine

    from edge_agent.collector.gaps import Gap
    from edge_agent.collector.messages import Delivery, Kind

log = logging.getLogger(__name__)

T = TypeVar("T")

_PREFIX = "sqlite:///"
_PAUSE_S = 0.02
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def path_of(url: str) -> Path:
    """Return the file of a store.

    >>> path_of("sqlite:////var/lib/edge-collector/collector.db")
    PosixPath('/var/lib/edge-collector/collector.db')
    """
    return Path(url.removeprefix(_PREFIX))


class SqliteStore:
    """A SQLite file that this collector writes."""

    def __init__(self, url: str, *, keep_days: int = 0) -> None:
        """Open the file, and make it and its tables if it is new.

        Args:
            url: As `store.url`.
            keep_days: As `store.keep_days`.

        Raises:
            StoreError: It cannot be opened, or a newer collector made it.
        """
        self._path = path_of(url)
        self._keep_days = keep_days
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._engine = sqlalchemy.create_engine(
                url, poolclass=StaticPool, connect_args={"check_same_thread": False}
            )
            # What is old is dropped on a connection of its own, beside whoever writes.
            self._beside = sqlalchemy.create_engine(url, poolclass=NullPool)
            for engine in (self._engine, self._beside):
                event.listen(engine, "connect", _tune)
            with _closed_on_error(self._engine), self._engine.begin() as connection:
                _make_tables(connection, self._path)
        except (OSError, DBAPIError) as error:
            raise StoreError(f"store {self._path}: cannot be opened: {_cause(error)}") from error

    def commit(self, group: Group) -> list[Outcome]:
        """See `Store`."""
        return self._transact(lambda connection: _write(connection, group))

    def sweep(self, now_ns: int, *, grace_s: float) -> list[Gap]:
        """See `Store`."""
        return self._transact(lambda connection: gaps.sweep(connection, now_ns, grace_s=grace_s))

    def gone(
        self, device: str, stream: str, batches: Sequence[tuple[int, int]], now_ns: int
    ) -> None:
        """See `Store`."""
        self._transact(lambda connection: gaps.gone(connection, device, stream, batches, now_ns))

    def tidy(self, now_ns: int) -> Tidied:
        """See `Store`."""
        if not self._keep_days:
            return Tidied()
        before_ns = retention.horizon(now_ns, self._keep_days)
        end = time.monotonic() + retention.TURN_S
        records = sum(
            self._step_by_step(partial(retention.forget, table=table, before_ns=before_ns), end)
            for table in RECORDS.values()
        )
        batches = self._step_by_step(partial(retention.fold, before_ns=before_ns), end)
        if records:
            log.info("store %s: dropped %d records", self._path, records)
        return Tidied(records=records, batches=batches, is_done=time.monotonic() < end)

    def _step_by_step(self, work: Callable[[Connection], int], end: float) -> int:
        """Repeat something until it does nothing more; between two times others may write."""

        def step(connection: Connection) -> int:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return work(connection)

        total = 0
        while time.monotonic() < end and (done := self._transact(step, self._beside)):
            total += done
            time.sleep(_PAUSE_S)
        return total

    def _transact(self, work: Callable[[Connection], T], engine: Engine | None = None) -> T:
        engine = engine or self._engine
        try:
            with engine.begin() as connection:
                return work(connection)
        except OperationalError as error:  # locked, full, read-only, gone
            raise StoreUnavailable(f"store {self._path}: {_cause(error)}") from error
        except DatabaseError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
                raise StoreError(f"store {self._path}: {_cause(error)}") from error
            engine.dispose()  # what a new connection reads may be whole: a disk that came back
            raise StoreUnavailable(
                f"store {self._path}: {_cause(error)}: it is damaged; stop the collector and put "
                "back a copy, or set the file aside and begin a new one"
            ) from error
        except (sqlalchemy.exc.SQLAlchemyError, OverflowError, UnicodeError) as error:
            raise StoreError(f"store {self._path}: {_cause(error)}") from error

    def close(self) -> None:
        """See `Store`."""
        self._engine.dispose()
        self._beside.dispose()


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
            migrations.check_for_reading(_version(connection), str(path))
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


def _version(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _make_tables(connection: Connection, path: Path) -> None:
    """Make the tables, or bring those of an earlier version up, in one transaction."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    have = _version(connection)
    migrations.check(have, str(path))
    if have == 0:
        METADATA.create_all(connection)
    elif have < VERSION:
        log.info("store %s: from version %d to %d", path, have, VERSION)
        migrations.bring_up(connection, have, migrations.SQLITE)
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _write(connection: Connection, group: Group) -> list[Outcome]:
    outcomes = writing.claim(connection, group.deliveries)
    rows: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in RECORDS}
    for delivery, outcome in zip(group.deliveries, outcomes, strict=True):
        if outcome is Outcome.STORED:
            rows[delivery.kind].extend(_rows(delivery))
    for kind, table in RECORDS.items():
        if rows[kind]:
            connection.execute(insert(table).on_conflict_do_nothing(), rows[kind])
    writing.finish(connection, group, outcomes)
    return outcomes


def _rows(delivery: Delivery) -> list[dict[str, Any]]:
    origin = {
        "device": delivery.device,
        "stream": delivery.header.stream,
        "received_ns": delivery.arrival.received_ns,
    }
    return [origin | row | {"record": row["record"].decode()} for row in delivery.rows]


def _cause(error: Exception) -> str:
    """Return the driver's own words: SQLAlchemy adds the statement and its values."""
    return str(error.orig if isinstance(error, DBAPIError) else error)
