"""How tables of an earlier version become those of today, with what is in them.

A step is the statements that lead from one version to the next. They stand here as they were when
they were released, and are never changed: a store of any age takes them one after another, all in
one transaction. A store that is new gets the tables of `edge_agent.collector.tables` as they are;
tests/contract/test_store.py holds that both ways lead to the same tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.collector.tables import VERSION
from edge_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

Steps = dict[int, tuple[str, ...]]

_DATED = tuple(
    f"ALTER TABLE {table} ADD COLUMN {column}"
    for table in ("inspections", "alarms", "health")
    for column in ("happened_ns BIGINT", "mark TEXT")
)

SQLITE: Steps = {
    2: (
        *_DATED,
        "CREATE INDEX batches_received ON batches (received_ns)",
        "CREATE INDEX inspections_received ON inspections (received_ns)",
        "CREATE INDEX health_received ON health (received_ns)",
        "CREATE INDEX losses_stream ON losses (device, stream, last)",
        (
            "CREATE TABLE streams (device TEXT NOT NULL, stream TEXT NOT NULL, kind TEXT NOT NULL, "
            "complete_to BIGINT NOT NULL, first_ns BIGINT NOT NULL, last_ns BIGINT NOT NULL, "
            "PRIMARY KEY (device, stream))"
        ),
        (
            "INSERT INTO streams SELECT device, stream, min(kind), 0, min(received_ns), "
            "max(received_ns) FROM batches GROUP BY device, stream"
        ),
        (
            "CREATE TABLE gaps (device TEXT NOT NULL, stream TEXT NOT NULL, "
            "first_batch BIGINT NOT NULL, last_batch BIGINT NOT NULL, first BIGINT NOT NULL, "
            "last BIGINT NOT NULL, found_ns BIGINT NOT NULL, asked_ns BIGINT, "
            "asked BIGINT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (device, stream, first_batch))"
        ),
        (
            "CREATE TABLE folded (device TEXT NOT NULL, stream TEXT NOT NULL, "
            "first_batch BIGINT NOT NULL, last_batch BIGINT NOT NULL, records BIGINT NOT NULL, "
            "PRIMARY KEY (device, stream, first_batch))"
        ),
    ),
}
"""The first version that SQLite had was 1."""

POSTGRESQL: Steps = {}
"""The first version that PostgreSQL had was 2."""


def check(have: int, where: str) -> None:
    """Refuse tables of a newer collector.

    Raises:
        StoreError: They are of a newer version.
    """
    if have > VERSION:
        raise StoreError(
            f"store {where}: its tables are of version {have}, this collector knows {VERSION}; "
            "use the newer collector"
        )


def check_for_reading(have: int, where: str) -> None:
    """Refuse tables that whoever only reads cannot use.

    Raises:
        StoreError: They are of another version.
    """
    check(have, where)
    if have < VERSION:
        raise StoreError(
            f"store {where}: its tables are of version {have}, {VERSION} is needed; start "
            "`edge-collector run` once, which brings them up"
        )


def pending(have: int, steps: Mapping[int, Sequence[str]]) -> list[int]:
    """Return the versions to go through from one to that of today.

    >>> pending(1, {2: ("a",), 3: ("b",)})
    [2, 3]
    """
    return sorted(version for version in steps if version > have)


def bring_up(connection: Connection, have: int, steps: Mapping[int, Sequence[str]]) -> None:
    """Take the steps from one version to that of today; the caller holds the transaction."""
    for version in pending(have, steps):
        for statement in steps[version]:
            connection.exec_driver_sql(statement)
