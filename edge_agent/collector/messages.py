"""What came over the wire, checked and turned into rows. Rules only, no IO."""

from __future__ import annotations

import hashlib
from enum import Enum
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edge_agent import topics
from edge_agent.collector.scores import worst_score
from edge_agent.errors import WireError
from edge_agent.spool import batch as layout
from edge_agent.uplink import wire

LATE_S = 60.0
_Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Text = Annotated[str, Meta(max_length=4096)]


class Kind(Enum):
    """What the records of a batch are."""

    INSPECTIONS = "inspections"
    ALARMS = "alarms"
    HEALTH = "health"


class Mark(Enum):
    """What is odd about when a record happened."""

    LATE = "late"  # it came long after it happened
    HISTORICAL = "historical"  # it is of an earlier boot than the one that sent it


class Arrival(msgspec.Struct, frozen=True):
    """A message as it came.

    Attributes:
        topic: Where it came in.
        payload: What it holds.
        received_ns: Wall time of the collector, in nanoseconds.
        left_out: Bytes of a payload that is too large to keep; `payload` is then empty.
        boot: The boot of the device that sent it; empty from a sender that does not say.
        sent_mono_ns: The monotonic clock of that boot when it was sent.
        sent_wall_ns: The device's wall clock then.
        waited_s: How long the broker kept it.
    """

    topic: str
    payload: bytes
    received_ns: int
    left_out: int = 0
    boot: str = ""
    sent_mono_ns: int = 0
    sent_wall_ns: int = 0
    waited_s: float = 0.0


class Delivery(msgspec.Struct, frozen=True):
    """A batch that holds what it should.

    Attributes:
        device: Who sent it.
        kind: What its records are.
        header: Its header.
        columns: The values of all records, by column; see `edge_agent.collector.tables`. Those of
            `record` are bytes of UTF-8.
        size: Bytes of all records.
        digest: BLAKE2b-128 of the payload, hexadecimal: tells a repetition from a contradiction.
        arrival: The message.
    """

    device: str
    kind: Kind
    header: layout.Header
    columns: dict[str, list[Any]]
    size: int
    digest: str
    arrival: Arrival

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The values by record."""
        names = list(self.columns)
        return [
            dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True)
        ]


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


class _Moment(msgspec.Struct, frozen=True, gc=False):
    """The columns that every record may fill; what else it holds stays in its JSON."""

    time: _Text | None = None
    wall_ns: _Int | None = None
    mono_ns: _Int | None = None
    boot: _Text | None = None


class _Inspection(_Moment, frozen=True, gc=False):
    station: _Text | None = None
    part: _Text | None = None
    sequence: _Int | None = None
    verdict: _Text | None = None
    scores: dict[str, float] = {}
    thresholds: msgspec.Raw = msgspec.Raw(b"null")
    model: _Text | None = None


class _Alarm(_Moment, frozen=True, gc=False):
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
_STRAIGHT = {
    kind: tuple(n for n in columns.__struct_fields__ if n not in {"scores", "thresholds"})
    for kind, columns in _COLUMNS.items()
}


def read(
    root: str, arrival: Arrival, *, limit_bytes: int, late_s: float = LATE_S
) -> Delivery | BirthSeen | Rejected:
    """Check a message and turn it into what can be stored.

    Args:
        root: First levels of all topics.
        arrival: The message.
        limit_bytes: Refuse a batch that is larger than this once it is unpacked.
        late_s: A record that came more than this after it happened is marked as late.
    """
    device = ""
    try:
        device, rest = topics.parse(root, arrival.topic)
        if rest == "birth":
            return _read_birth(device, arrival)
        return _read_batch(device, rest, arrival, limit_bytes=limit_bytes, late_s=late_s)
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


def _read_batch(
    device: str, rest: str, arrival: Arrival, *, limit_bytes: int, late_s: float
) -> Delivery:
    header, records = layout.decode(arrival.payload, limit_bytes=limit_bytes)
    if rest != f"batch/{header.kind}":
        raise WireError(f"batch: of kind {header.kind[:64]!r} on topic {arrival.topic!r}")
    try:
        kind = Kind(header.kind)
    except ValueError as error:
        raise WireError(f"batch: kind {header.kind[:64]!r} is not known here") from error
    columns = _columns(kind, records, header.first)
    columns["happened_ns"], columns["mark"] = _dated(columns, arrival, late_s)
    size = sum(map(len, records))
    return Delivery(device, kind, header, columns, size, _digest(arrival.payload), arrival)


def _columns(kind: Kind, records: list[bytes], first: int) -> dict[str, list[Any]]:
    """Make columns of records; a value that does not fit leaves all of its record's empty."""
    found = _parse_together(kind, records) or _parse_each(kind, records, first)
    columns: dict[str, list[Any]] = {
        "number": list(range(first, first + len(records))),
        "record": records,
    }
    for name in _STRAIGHT[kind]:
        columns[name] = list(map(attrgetter(name), found))
    if kind is Kind.INSPECTIONS:
        columns["score"] = [_score(each) for each in found]
    elif kind is Kind.ALARMS:
        columns["priority"] = [None if p is None else str(p) for p in columns["priority"]]
    return columns


def _parse_together(kind: Kind, records: list[bytes]) -> list[_Moment] | None:
    """Parse all records at once; None where one of them needs a closer look.

    No string of JSON holds a line end, and nothing that is open goes on with a brace after one. So
    if records begin and end with braces, and all of them together are as many values as records,
    each is one.
    """
    lines = b"\n".join(records)
    apart = len(records) - 1
    if lines.count(b"}\n{") != apart or lines.count(b"\n") != apart:
        return None
    if not (lines.startswith(b"{") and lines.endswith(b"}")):
        return None
    try:
        lines.decode("utf-8")
        found = _DECODERS[kind].decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if len(found) == len(records) else None


def _parse_each(kind: Kind, records: list[bytes], first: int) -> list[_Moment]:
    found = []
    for number, record in enumerate(records, first):
        try:
            found.append(_parse(kind, record))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"batch: record {number} is not JSON: {error}") from error
    return found


def _parse(kind: Kind, record: bytes) -> _Moment:
    record.decode("utf-8")
    try:
        return _DECODERS[kind].decode(record)
    except msgspec.ValidationError:
        if isinstance(msgspec.json.decode(record), dict):
            return _EMPTY[kind]
        raise


def _score(inspection: Any) -> float | None:
    """Return the score that counts; the thresholds are read only where there are several."""
    scores = inspection.scores
    if len(scores) == 1:
        (score,) = scores.values()
        return float(score)
    if not scores:
        return None
    try:
        thresholds = msgspec.json.decode(inspection.thresholds)
    except (msgspec.DecodeError, RecursionError):
        thresholds = None  # nested deeper than anybody writes them
    worst = worst_score(scores, thresholds)
    return worst[1] if worst else None


def _dated(
    columns: dict[str, list[Any]], arrival: Arrival, late_s: float
) -> tuple[list[int | None], list[str | None]]:
    """Say when each record happened, by the collector's clock, and what is odd about it.

    The device's monotonic clock tells how long before the sending it was; that holds whatever its
    wall clock says. Of a record of another boot nothing is known but its own wall clock.
    """
    if not arrival.boot:
        nothing = [None] * len(columns["record"])
        return list(nothing), list(nothing)
    booted_ns = arrival.received_ns - int(arrival.waited_s * 1e9) - arrival.sent_mono_ns
    late_ns = arrival.received_ns - int(late_s * 1e9)
    boots, monos = columns["boot"], columns["mono_ns"]
    if boots.count(arrival.boot) == len(boots) and None not in monos:
        oldest = min(monos)  # as nearly always
        certain = oldest >= 0 and max(monos) <= arrival.sent_mono_ns and booted_ns + oldest >= 0
        if certain and booted_ns + oldest >= late_ns:
            return [booted_ns + mono_ns for mono_ns in monos], [None] * len(monos)
    happened: list[int | None] = []
    marks: list[str | None] = []
    for boot, mono_ns in zip(boots, monos, strict=True):
        known = boot == arrival.boot and mono_ns is not None
        if known and 0 <= mono_ns <= arrival.sent_mono_ns and booted_ns + mono_ns >= 0:
            happened.append(booted_ns + mono_ns)
            marks.append(Mark.LATE.value if booted_ns + mono_ns < late_ns else None)
        else:
            happened.append(None)
            marks.append(Mark.HISTORICAL.value if boot and boot != arrival.boot else None)
    return happened, marks


def _digest(payload: bytes) -> str:
    return hashlib.blake2b(payload, digest_size=16).hexdigest()
