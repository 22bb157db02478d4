"""Messages beside the batches: birth, acknowledgement, what is missed, command and answer.

docs/wire.md is the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from edge_agent.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.clock import Stamp

BIRTH_SCHEMA = "edge/birth/1"
ACK_SCHEMA = "edge/ack/1"
WANT_SCHEMA = "edge/want/1"
GONE_SCHEMA = "edge/gone/1"
COMMAND_SCHEMA = "edge/command/1"
ANSWER_SCHEMA = "edge/answer/1"
RANGES_LIMIT = 10_000
"""How many ranges an acknowledgement, a `Want` or a `Gone` may have."""

EXPIRY_S = 7 * 86_400
"""How long a broker keeps a batch that nobody takes; the device has it, and sends it again."""


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """What a device is, and whether it is there; retained.

    Attributes:
        schema: `edge/birth/1`.
        device: Its name.
        online: False in the will and after a clean stop.
        version: Of its agent.
        stations: Their names.
        boot: Id of the device's boot.
        started: When the agent started, ISO 8601, UTC, by the device's wall clock.
    """

    device: str
    online: bool
    version: str = ""
    stations: tuple[str, ...] = ()
    boot: str = ""
    started: str = ""
    schema: str = BIRTH_SCHEMA


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """From the collector: these batches are committed.

    Attributes:
        schema: `edge/ack/1`.
        stream: The stream they belong to.
        batches: First and last number of each range.
    """

    stream: str
    batches: list[tuple[int, int]]
    schema: str = ACK_SCHEMA


_Text = Annotated[str, msgspec.Meta(max_length=256)]


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """From the collector: I miss these batches.

    Attributes:
        schema: `edge/want/1`.
        stream: The stream they belong to.
        batches: First and last number of each range.
    """

    stream: _Text
    batches: list[tuple[int, int]]
    schema: str = WANT_SCHEMA


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """To the collector: of what it misses, these are not here (any more).

    Attributes:
        schema: `edge/gone/1`.
        stream: The stream they belong to.
        batches: First and last number of each range.
    """

    stream: _Text
    batches: list[tuple[int, int]]
    schema: str = GONE_SCHEMA


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """To the device: do this, and answer.

    Attributes:
        schema: `edge/command/1`.
        verb: What to do: `changeover`.
        station: Where.
        part_number: With `changeover`: what comes from the next part on.
    """

    verb: _Text
    station: _Text = ""
    part_number: _Text = ""
    schema: str = COMMAND_SCHEMA


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command.

    Attributes:
        schema: `edge/answer/1`.
        ok: Whether it was carried out.
        result: What is so now.
        error: Why not, in one line.
    """

    ok: bool
    result: Any = None
    error: str = ""
    schema: str = ANSWER_SCHEMA


_Message = TypeVar("_Message", Birth, Ack, Want, Gone, Command)
_BIRTH = msgspec.json.Decoder(Birth)
_ACK = msgspec.json.Decoder(Ack)
_WANT = msgspec.json.Decoder(Want)
_GONE = msgspec.json.Decoder(Gone)
_COMMAND = msgspec.json.Decoder(Command)


def encode(message: Birth | Ack | Want | Gone | Command | Answer) -> bytes:
    """Write a message as JSON."""
    return msgspec.json.encode(message)


def decode_birth(payload: bytes) -> Birth:
    """Read a birth.

    Raises:
        WireError: It is not one.
    """
    return _read(payload, _BIRTH, "birth", BIRTH_SCHEMA)


def decode_ack(payload: bytes) -> Ack:
    """Read an acknowledgement.

    Raises:
        WireError: It is not one.
    """
    ack = _read(payload, _ACK, "ack", ACK_SCHEMA)
    _check(ack.batches, "ack")
    return ack


def decode_want(payload: bytes) -> Want:
    """Read what a collector misses.

    Raises:
        WireError: It is no such message.
    """
    want = _read(payload, _WANT, "want", WANT_SCHEMA)
    _check(want.batches, "want")
    return want


def decode_gone(payload: bytes) -> Gone:
    """Read what a device has no more.

    Raises:
        WireError: It is no such message.
    """
    gone = _read(payload, _GONE, "gone", GONE_SCHEMA)
    _check(gone.batches, "gone")
    return gone


def decode_command(payload: bytes) -> Command:
    """Read a command.

    Raises:
        WireError: It is not one.
    """
    return _read(payload, _COMMAND, "command", COMMAND_SCHEMA)


def _read(
    payload: bytes, decoder: msgspec.json.Decoder[_Message], name: str, schema: str
) -> _Message:
    try:
        message = decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{name}: cannot be read: {error}") from error
    if message.schema != schema:
        raise WireError(f"{name}: schema {message.schema[:64]!r} is not {schema!r}")
    return message


def _check(found: list[tuple[int, int]], name: str) -> None:
    if len(found) > RANGES_LIMIT or any(not 0 < low <= high < 2**63 for low, high in found):
        raise WireError(f"{name}: its ranges are out of order or too many")


def sending_properties(boot: str, stamp: Stamp, *, expiry_s: int = EXPIRY_S) -> dict[str, str]:
    """Return the user properties that tell when a batch was sent: they change with each sending.

    With them, and the message's expiry as it comes, a collector dates records by its own clock.

    Args:
        boot: Id of the device's boot.
        stamp: The moment of sending, by the device's clocks.
        expiry_s: The message's expiry interval as it is sent; the broker counts it down.
    """
    return {
        "boot": boot,
        "sent_wall_ns": str(stamp.wall_ns),
        "sent_mono_ns": str(stamp.mono_ns),
        "expiry_s": str(expiry_s),
    }


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Write numbers as ranges of first and last.

    >>> ranges([3, 1, 2, 7])
    [(1, 3), (7, 7)]
    """
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
