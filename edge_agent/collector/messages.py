"""What came over the wire, checked and turned into rows. Rules only, no IO."""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edge_agent import topics
from edge_agent.collector.scores import worst_score
from edge_agent.errors import WireError
from edge_agent.spool import batch as layout
from edge_agent.uplink import wire

_Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Text = Annotated[str, Meta(max_length=4096)]


class Kind(Enum):
    """What the records of a batch are."""

    INSPECTIONS = "inspections"
    ALARMS = "alarms"
    HEALTH = "health"


class Arrival(msgspec.Struct, frozen=True):
    """A message as it came.

    Attributes:
        topic: Where it came in.
        payload: What it holds.
        received_ns: Wall time of the collector, in nanoseconds.
        left_out: Bytes of a payload that is too large to keep; `payload` is then empty.
    """

    topic: str
    payload: bytes
    received_ns: int
    left_out: int = 0


class Delivery(msgspec.Struct, frozen=True):
    """A batch that holds what it should.

    Attributes:
        device: Who sent it.
        kind: What its records are.
        header: Its header.
        rows: One for each record, by column; see `edge_agent.collector.tables`.
        digest: BLAKE2b-128 of the payload, hexadecimal: tells a repetition from a contradiction.
        arrival: The message.
    """

    device: str
    kind: Kind
    header: layout.Header
    rows: list[dict[str, Any]]
    digest: str
    arrival: Arrival


class BirthSeen(msgspec.Struct, frozen=True):
    """A device said that it is there, or the broker that it is gone."""

    device: str
    birth: wire.Birth
    arrival: Arrival


class Rejected(msgspec.Struct, frozen=True):
    """A message that cannot be stored as what it claims to be.

    Attributes:
        device: From the topic; empty if that cannot be told.
        reason: Why, in one line.
        digest: BLAKE2b-128 of the payload.
        arrival: The message.
    """

    device: str
    reason: str
    digest: str
    arrival: Arrival


class _Moment(msgspec.Struct, frozen=True):
    """The columns that every record may fill; what else it holds stays in its JSON."""

    time: _Text | None = None
    wall_ns: _Int | None = None
    mono_ns: _Int | None = None
    boot: _Text | None = None


class _Inspection(_Moment, frozen=True):
    station: _Text | None = None
    part: _Text | None = None
    sequence: _Int | None = None
    verdict: _Text | None = None
    scores: dict[str, float] = {}
    thresholds: Any = None
    model: _Text | None = None


class _Alarm(_Moment, frozen=True):
    key: _Text | None = None
    station: _Text | None = None
    state: _Text | None = None
    event: _Text | None = None
    priority: _Text | _Int | None = None
    text: _Text | None = None


_COLUMNS: dict[Kind, type[_Moment]] = {
    Kind.INSPECTIONS: _Inspection,
    Kind.ALARMS: _Alarm,
    Kind.HEALTH: _Moment,
}
_DECODERS = {kind: msgspec.json.Decoder(columns) for kind, columns in _COLUMNS.items()}
_EMPTY = {kind: columns() for kind, columns in _COLUMNS.items()}


def read(root: str, arrival: Arrival, *, limit_bytes: int) -> Delivery | BirthSeen | Rejected:
    """Check a message and turn it into what can be stored."""
    device = ""
    try:
        device, rest = topics.parse(root, arrival.topic)
        if rest == "birth":
            return _read_birth(device, arrival)
        return _read_batch(device, rest, arrival, limit_bytes)
    except WireError as error:
        return Rejected(device, str(error), _digest(arrival.payload), arrival)


def too_large(root: str, arrival: Arrival, limit_bytes: int) -> Rejected:
    """Refuse a message by its size alone, and let go of what it holds."""
    size = len(arrival.payload)
    try:
        device = topics.parse(root, arrival.topic)[0]
    except WireError:
        device = ""
    bare = msgspec.structs.replace(arrival, payload=b"", left_out=size)
    reason = f"message: {size} bytes where {limit_bytes} are the most"
    return Rejected(device, reason, _digest(arrival.payload), bare)


def reject(arrival: Arrival, reason: str) -> Rejected:
    """Refuse a message whose trouble nobody foresaw."""
    return Rejected("", reason, _digest(arrival.payload), arrival)


def _read_birth(device: str, arrival: Arrival) -> BirthSeen:
    birth = wire.decode_birth(arrival.payload)
    if birth.device != device:
        raise WireError(f"birth: of device {birth.device[:64]!r} on the topic of {device!r}")
    return BirthSeen(device, birth, arrival)


def _read_batch(device: str, rest: str, arrival: Arrival, limit_bytes: int) -> Delivery:
    header, records = layout.decode(arrival.payload, limit_bytes=limit_bytes)
    if rest != f"batch/{header.kind}":
        raise WireError(f"batch: of kind {header.kind[:64]!r} on topic {arrival.topic!r}")
    try:
        kind = Kind(header.kind)
    except ValueError as error:
        raise WireError(f"batch: kind {header.kind[:64]!r} is not known here") from error
    rows = [_row(kind, record, number) for number, record in enumerate(records, header.first)]
    return Delivery(device, kind, header, rows, _digest(arrival.payload), arrival)


def _row(kind: Kind, record: bytes, number: int) -> dict[str, Any]:
    """Make a row of one record; a column whose value does not fit stays empty."""
    try:
        text = record.decode("utf-8")
        columns = _columns(kind, record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"batch: record {number} is not JSON: {error}") from error
    row = msgspec.structs.asdict(columns)
    row["number"] = number
    row["record"] = text
    if kind is Kind.INSPECTIONS:
        worst = worst_score(row.pop("scores"), row.pop("thresholds"))
        row["score"] = worst[1] if worst else None
    elif kind is Kind.ALARMS and row["priority"] is not None:
        row["priority"] = str(row["priority"])
    return row


def _columns(kind: Kind, record: bytes) -> _Moment:
    try:
        return _DECODERS[kind].decode(record)
    except msgspec.ValidationError:
        if isinstance(msgspec.json.decode(record), dict):
            return _EMPTY[kind]
        raise


def _digest(payload: bytes) -> str:
    return hashlib.blake2b(payload, digest_size=16).hexdigest()
