"""The tables of records in PostgreSQL: cut by the day on which the collector took them in.

Old days are dropped in an instant, whatever is in them, and new ones are made before they begin. A
partition is made empty and then attached: that stops neither readers nor writers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from edge_agent.collector.stores.retention import DAY_NS
from edge_agent.collector.tables import RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Table

AHEAD = 3
"""Days that are made before they begin: a collector may rest for two of them."""

_NAMES = {table.name for table in RECORDS.values()}
_PARTITIONS = text(
    "SELECT child.relname FROM pg_inherits "
    "JOIN pg_class child ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent "
    "WHERE parent.oid = ANY (ARRAY[to_regclass('inspections'), to_regclass('alarms'), "
    "to_regclass('health')]) AND parent.relkind = 'p'"
)


def day_of(received_ns: int) -> int:
    """Return the day of a time, counted from 1970, UTC."""
    return received_ns // DAY_NS


def name_of(table: str, day: int) -> str:
    """Name the partition of a day.

    >>> name_of("alarms", 20_000)
    'alarms_20241004'
    """
    return f"{table}_{datetime.fromtimestamp(day * 86_400, UTC):%Y%m%d}"


def days_ahead(now_ns: int) -> set[int]:
    """Return today and the days to come that must be there."""
    today = day_of(now_ns)
    return set(range(today, today + AHEAD + 1))


def make_table(connection: Connection, table: Table) -> None:
    """Make a table of records that has no partition yet."""
    quote = connection.dialect.identifier_preparer.quote
    columns = []
    for column in table.columns:
        kind = column.type.compile(dialect=connection.dialect)
        need = "" if column.nullable else " NOT NULL"
        ids = f" DEFAULT nextval('{table.name}_id')" if column.name == "id" else ""
        columns.append(f"{quote(column.name)} {kind}{need}{ids}")
    for statement in (
        f"CREATE SEQUENCE {table.name}_id",
        f"CREATE TABLE {table.name} ({', '.join(columns)}) PARTITION BY RANGE (received_ns)",
        f"ALTER SEQUENCE {table.name}_id OWNED BY {table.name}.id",
        f"CREATE INDEX {table.name}_ids ON {table.name} (id)",
        # Rows of a batch came at one time and lie together, so `batches` leads to any record; an
        # index of all numbers would cost as much as the rows themselves.
        f"CREATE INDEX {table.name}_times ON {table.name} USING brin (received_ns)",
    ):
        connection.exec_driver_sql(statement)


def existing(connection: Connection) -> dict[tuple[str, int], str]:
    """Return the names of all partitions, by table and day."""
    found = {}
    for (name,) in connection.execute(_PARTITIONS):
        table, _, date = name.rpartition("_")
        if table in _NAMES and date.isdigit():
            moment = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
            found[table, int(moment.timestamp()) // 86_400] = name
    return found


def make(connection: Connection, days: Iterable[int]) -> None:
    """Make the partitions of days that have none; the caller is alone in doing so."""
    there = existing(connection)
    for table in sorted(_NAMES):
        for day in sorted(days):
            if (table, day) in there:
                continue
            name, begin = name_of(table, day), day * DAY_NS
            connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS)")
            connection.exec_driver_sql(
                f"ALTER TABLE {table} ATTACH PARTITION {name} "
                f"FOR VALUES FROM ({begin}) TO ({begin + DAY_NS})"
            )


def old(connection: Connection, before_ns: int) -> list[tuple[str, int]]:
    """Return the table and day of each partition that ends before a time, the oldest first."""
    ended = (key for key in existing(connection) if (key[1] + 1) * DAY_NS <= before_ns)
    return sorted(ended, key=_day)


def _day(key: tuple[str, int]) -> int:
    return key[1]
