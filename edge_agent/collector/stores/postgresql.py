"""The store of a fleet: PostgreSQL. Several collectors may write one database at the same time.

Invariants, each held by a test of its name in tests/contract/test_store.py or
tests/contract/test_postgresql.py:

1. *twice sent is once stored*: whoever claims a batch's number first has it; that and its records
   are one transaction.
2. *alarms are a feed*: their ids grow in the order of the commits, whoever writes them. So they are
   written last, one transaction at a time.
3. *no failure at midnight*: a day's partitions are there before it begins, and those of any other
   day are made when the first record needs them.
4. *away, not broken*: whatever the server cannot do now is tried again; only values that it refuses
   are the batch's fault.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from edge_agent.collector import migrations
from edge_agent.collector.messages import Kind
from edge_agent.collector.store import Group, Outcome, StoreUnavailable, Tidied
from edge_agent.collector.stores import copying, gaps, partitions, retention, writing
from edge_agent.collector.tables import BATCHES, METADATA, RECORDS, VERSION
from edge_agent.errors import StoreError

try:
    import psycopg
    from psycopg import errors
except ImportError as missing:
    raise StoreError(
        "store: PostgreSQL needs psycopg, which is not installed: "
        "pip install 'edge-inspection[collector,postgresql]'"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

    from edge_agent.collector.gaps import Gap
    from edge_agent.collector.messages import Delivery

log = logging.getLogger(__name__)

T = TypeVar("T")

_KEY = 0x65646765_00000000  # of all advisory locks of this store, in its upper half
_TABLES, _CLAIMS, _DAYS, _FEED = (_KEY + number for number in range(1, 5))
_DEFAULTS = {
    "application_name": "edge-collector",
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_LOCK_TIMEOUT = "3s"  # whoever drops a day waits no longer for readers: what waits blocks others
_NAMES = {
    kind: [column.name for column in table.columns if column.name != "id"]
    for kind, table in RECORDS.items()
}
_REMEDIES = {  # by a word of what libpq says; the first one that is in it counts
    "certificate": "check sslmode and sslrootcert in store.url",
    "password": "check store.url and store.password_file",
    "pg_hba.conf": "allow this user and address in the server's pg_hba.conf",
    "does not exist": "make it as an administrator: CREATE ROLE, CREATE DATABASE ... OWNER ...",
    "permission denied": "let the collector's user own the database: CREATE DATABASE ... OWNER ...",
    "invalid": "check what stands behind the ? of store.url",
    "SSL": "check sslmode in store.url, and ssl in the server's postgresql.conf",
}


class PostgresqlStore:
    """A database on a PostgreSQL server, from version 13 on."""

    def __init__(self, url: str, *, password_file: str = "", keep_days: int = 0) -> None:
        """Connect, and make the tables or bring them up.

        Args:
            url: As `store.url`.
            password_file: As `store.password_file`.
            keep_days: As `store.keep_days`.

        Raises:
            StoreError: It cannot be used, or a newer collector made its tables.
            StoreUnavailable: It cannot be reached now.
        """
        self._url = _parsed(url)
        self._keep_days = keep_days
        self._days: set[int] = set()
        self._engine = _engine(self._url, password_file)
        with _opening(self._url, self._engine), self._engine.begin() as connection:
            _make_tables(connection, self._url)
        self._prepare(partitions.days_ahead(time.time_ns()))

    def commit(self, group: Group) -> list[Outcome]:
        """See `Store`."""
        self._prepare({partitions.day_of(d.arrival.received_ns) for d in group.deliveries})
        try:
            return self._transact(lambda connection: _write(connection, group))
        except _PartitionGoneError:
            self._days.clear()
            self._prepare({partitions.day_of(d.arrival.received_ns) for d in group.deliveries})
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
        self._prepare(partitions.days_ahead(now_ns))
        if not self._keep_days:
            return Tidied()
        before_ns = retention.horizon(now_ns, self._keep_days)
        end = time.monotonic() + retention.TURN_S
        records = batches = 0
        for table, day in self._transact(lambda c: partitions.old(c, before_ns)):
            if time.monotonic() < end:
                self._days.discard(day)
                records += self._transact(partial(_drop, table=table, day=day))
        fold = partial(_fold, before_ns=before_ns)
        while time.monotonic() < end and (folded := self._transact(fold)):
            batches += folded
        return Tidied(records=records, batches=batches, is_done=time.monotonic() < end)

    def close(self) -> None:
        """See `Store`."""
        self._engine.dispose()

    def _prepare(self, days: set[int]) -> None:
        """Make the partitions of days, in a transaction of their own."""
        if days <= self._days:
            return

        def make(connection: Connection) -> None:
            _lock(connection, _DAYS)
            partitions.make(connection, days)

        self._transact(make)
        self._days |= days

    def _transact(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except (DBAPIError, psycopg.Error) as error:
            raise _told(error, self._url) from error
        except (sqlalchemy.exc.SQLAlchemyError, OverflowError, UnicodeError) as error:
            raise StoreError(f"store {_name(self._url)}: {_line(error)}") from error


class _PartitionGoneError(StoreError):
    """Another collector dropped the day that a record belongs to."""


def open_for_reading(url: str, *, password_file: str = "") -> Engine:
    """Connect to a store to look into it, while collectors may be writing.

    Raises:
        StoreError: It cannot be used.
    """
    where = _parsed(url)
    engine = _engine(where, password_file, options="-c default_transaction_read_only=on")
    with _opening(where, engine), engine.connect() as connection:
        migrations.check_for_reading(_version(connection), _name(where))
    return engine


def _parsed(url: str) -> URL:
    try:
        return sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise StoreError(
            "store.url: cannot be read: it is written postgresql://user@host:port/database, with "
            "%40 for an @ within a name"
        ) from error


def _engine(url: URL, password_file: str, **more: str) -> Engine:
    if password_file:
        url = url.set(password=_password(Path(password_file)))
    given = {key: value for key, value in (_DEFAULTS | more).items() if key not in url.query}
    return sqlalchemy.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=2,
        max_overflow=0,
        connect_args=given | {"client_encoding": "UTF8"},
    )


def _password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeError) as error:
        raise StoreError(f"store.password_file {path}: cannot be read: {error}") from error


@contextmanager
def _opening(url: URL, engine: Engine) -> Iterator[None]:
    """Say what is wrong with a store that cannot be opened, and what to do."""
    try:
        yield
    except StoreError:
        engine.dispose()
        raise
    except DBAPIError as error:
        engine.dispose()
        cause = _line(error)
        for word, remedy in _REMEDIES.items():
            if word in cause:
                raise StoreError(f"store {_name(url)}: {cause}; {remedy}") from error
        raise StoreUnavailable(
            f"store {_name(url)}: cannot be opened: {cause}; see that PostgreSQL runs there"
        ) from error


def _version(connection: Connection) -> int:
    if connection.execute(text("SELECT to_regclass('edge_store')")).scalar_one() is None:
        return 0
    return int(connection.execute(text("SELECT version FROM edge_store")).scalar_one())


def _make_tables(connection: Connection, url: URL) -> None:
    """Make the tables or bring them up; of collectors that start at once, one does."""
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise StoreError(
            f"store {_name(url)}: the database is in {encoding}: make it with ENCODING 'UTF8'"
        )
    _lock(connection, _TABLES)
    have = _version(connection)
    migrations.check(have, _name(url))
    if have == VERSION:
        return
    if have:
        log.info("store %s: from version %d to %d", _name(url), have, VERSION)
        migrations.bring_up(connection, have, migrations.POSTGRESQL)
        connection.execute(text("UPDATE edge_store SET version = :to"), {"to": VERSION})
        return
    connection.execute(text("CREATE TABLE edge_store (version integer NOT NULL)"))
    connection.execute(text("INSERT INTO edge_store VALUES (:to)"), {"to": VERSION})
    records = list(RECORDS.values())
    METADATA.create_all(connection, tables=[t for t in METADATA.sorted_tables if t not in records])
    for table in records:
        partitions.make_table(connection, table)


def _lock(connection: Connection, key: int) -> None:
    """Wait until nobody else is at this, up to the end of the transaction."""
    connection.execute(select(func.pg_advisory_xact_lock(key)))


# --- writing --------------------------------------------------------------------------------------


def _write(connection: Connection, group: Group) -> list[Outcome]:
    connection.execute(select(func.pg_advisory_xact_lock_shared(_CLAIMS)))
    connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
    outcomes = writing.claim(connection, group.deliveries)
    stored: dict[Kind, list[Delivery]] = {kind: [] for kind in RECORDS}
    for delivery, outcome in zip(group.deliveries, outcomes, strict=True):
        if outcome is Outcome.STORED:
            stored[delivery.kind].append(delivery)
    for kind in RECORDS:
        if kind is not Kind.ALARMS and stored[kind]:
            _copy(connection, kind, stored[kind])
    writing.finish(connection, group, outcomes)
    if stored[Kind.ALARMS]:
        _lock(connection, _FEED)
        _copy(connection, Kind.ALARMS, stored[Kind.ALARMS])
    return outcomes


def _copy(connection: Connection, kind: Kind, deliveries: Sequence[Delivery]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, _NAMES[kind]))
    driver: Any = connection.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {RECORDS[kind].name} ({names}) FROM STDIN") as copy,
    ):
        for chunk in copying.lines(deliveries, _NAMES[kind]):
            copy.write(chunk)


# --- what is old ----------------------------------------------------------------------------------


def _drop(connection: Connection, table: str, day: int) -> int:
    """Drop the partition of a day; return how many records were in it."""
    name, begin_ns = partitions.name_of(table, day), day * retention.DAY_NS
    came = BATCHES.c.received_ns.between(begin_ns, begin_ns + retention.DAY_NS - 1)
    size = func.coalesce(func.sum(BATCHES.c.last - BATCHES.c.first + 1), 0)
    records = connection.execute(select(size).where(BATCHES.c.kind == table, came)).scalar_one()
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    _lock(connection, _DAYS)
    there = connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar_one()
    if there is None:
        return 0  # another collector was faster
    connection.exec_driver_sql(f"DROP TABLE {name}")
    log.info("store: dropped %s, %d records", name, records)
    return int(records)


def _fold(connection: Connection, before_ns: int) -> int:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    _lock(connection, _CLAIMS)
    return retention.fold(connection, before_ns)


# --- what goes wrong ------------------------------------------------------------------------------


def _told(error: DBAPIError | psycopg.Error, url: URL) -> StoreError:
    """Tell whose fault it is: the values', or something that passes."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = f"store {_name(url)}: {_line(error)}"
    if isinstance(cause, errors.CheckViolation) and "no partition" in str(cause):
        return _PartitionGoneError(said)
    if isinstance(cause, psycopg.DataError | psycopg.IntegrityError):
        return StoreError(said)
    return StoreUnavailable(said)


def _name(url: URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _line(error: BaseException) -> str:
    """Return the driver's own words, in one line: SQLAlchemy adds the statement and its values."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(said).split())
