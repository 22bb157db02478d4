"""The tables of every store.

A record is kept whole in `record`, as the JSON that the device wrote; the columns beside it are
copies for searching. `received_ns` is the collector's wall clock, `wall_ns` the device's, which may
be wrong by years; `happened_ns` is when it happened by the collector's clock (see
`edge_agent.collector.messages.Arrival`), and `mark` says what is odd about that.

Whoever changes a table raises VERSION and adds a step to `edge_agent.collector.migrations`.
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

VERSION = 2
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

Index("batches_received", BATCHES.c.received_ns)

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
Index("losses_stream", LOSSES.c.device, LOSSES.c.stream, LOSSES.c.last)

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

STREAMS = Table(
    "streams",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("complete_to", BigInteger, nullable=False),  # no batch up to this one is missing
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
)

GAPS = Table(
    "gaps",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("first_batch", BigInteger, primary_key=True, autoincrement=False),
    Column("last_batch", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),  # record numbers
    Column("last", BigInteger, nullable=False),
    Column("found_ns", BigInteger, nullable=False),
    Column("asked_ns", BigInteger),
    Column("asked", BigInteger, nullable=False),  # times
    Column("state", Text, nullable=False),  # open, gone, filled
)

# Batches whose records are older than they are kept: what is left of their rows in `batches`, so
# that they are known when they come again. Consecutive ones share a row.
FOLDED = Table(
    "folded",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("first_batch", BigInteger, primary_key=True, autoincrement=False),
    Column("last_batch", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
)


def _records(name: str, *columns: Column[object]) -> Table:
    """Make a table of records: a row for each (device, stream, number)."""
    table = Table(
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
        Column("happened_ns", BigInteger),
        Column("mark", Text),
        UniqueConstraint("device", "stream", "number"),
    )
    Index(f"{name}_received", table.c.received_ns)
    return table


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

HEALTH = _records("health")

RECORDS = {Kind.INSPECTIONS: INSPECTIONS, Kind.ALARMS: ALARMS, Kind.HEALTH: HEALTH}
