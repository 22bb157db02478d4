"""The tables of every store.

A record is kept whole in `record`, as the JSON that the device wrote; the columns beside it are
copies for searching. `received_ns` is the collector's wall clock, `wall_ns` the device's.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from edge_agent.collector.messages import Kind

VERSION = 1
METADATA = MetaData()
_ROW_ID = BigInteger().with_variant(Integer, "sqlite")

DEVICES = Table(
    "devices",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("online", Boolean),
    Column("last_seen_ns", BigInteger, nullable=False),
    Column("birth_ns", BigInteger),
    Column("version", Text),
    Column("birth", Text),
)

BATCHES = Table(
    "batches",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("batch", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
)

LOSSES = Table(
    "losses",
    METADATA,
    Column("id", _ROW_ID, primary_key=True),
    Column("device", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("batch", BigInteger, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
)

QUARANTINE = Table(
    "quarantine",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("device", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("payload", LargeBinary),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
)


def _records(name: str, *columns: Column[object]) -> Table:
    """Make a table of records: a row for each (device, stream, number)."""
    return Table(
        name,
        METADATA,
        Column("id", _ROW_ID, primary_key=True),
        Column("device", Text, nullable=False),
        Column("stream", Text, nullable=False),
        Column("number", BigInteger, nullable=False),
        Column("time", Text),
        Column("wall_ns", BigInteger),
        Column("mono_ns", BigInteger),
        Column("boot", Text),
        *columns,
        Column("received_ns", BigInteger, nullable=False),
        Column("record", Text, nullable=False),
        UniqueConstraint("device", "stream", "number"),
    )


INSPECTIONS = _records(
    "inspections",
    Column("station", Text),
    Column("part", Text),
    Column("sequence", BigInteger),
    Column("verdict", Text),
    Column("score", Float),
    Column("model", Text),
)

ALARMS = _records(
    "alarms",
    Column("key", Text),
    Column("station", Text),
    Column("state", Text),
    Column("event", Text),
    Column("priority", Text),
    Column("text", Text),
)
Index("alarms_received", ALARMS.c.received_ns)

HEALTH = _records("health")

RECORDS = {Kind.INSPECTIONS: INSPECTIONS, Kind.ALARMS: ALARMS, Kind.HEALTH: HEALTH}
