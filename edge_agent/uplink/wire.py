"""Messages beside the batches: birth, acknowledgement, command and answer.

docs/wire.md is the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edge_agent.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

BIRTH_SCHEMA = "edge/birth/1"
ACK_SCHEMA = "edge/ack/1"
COMMAND_SCHEMA = "edge/command/1"
ANSWER_SCHEMA = "edge/answer/1"
_RANGES_LIMIT = 10_000


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


_BIRTH = msgspec.json.Decoder(Birth)
_ACK = msgspec.json.Decoder(Ack)
_COMMAND = msgspec.json.Decoder(Command)


def encode(message: Birth | Ack | Command | Answer) -> bytes:
    """Write a message as JSON."""
    return msgspec.json.encode(message)


def decode_birth(payload: bytes) -> Birth:
    """Read a birth.

    Raises:
        WireError: It is not one.
    """
    try:
        birth = _BIRTH.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"birth: cannot be read: {error}") from error
    if birth.schema != BIRTH_SCHEMA:
        raise WireError(f"birth: schema {birth.schema[:64]!r} is not {BIRTH_SCHEMA!r}")
    return birth


def decode_ack(payload: bytes) -> Ack:
    """Read an acknowledgement.

    Raises:
        WireError: It is not one.
    """
    try:
        ack = _ACK.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"ack: cannot be read: {error}") from error
    if ack.schema != ACK_SCHEMA:
        raise WireError(f"ack: schema {ack.schema[:64]!r} is not {ACK_SCHEMA!r}")
    if len(ack.batches) > _RANGES_LIMIT or any(
        not 0 < low <= high < 2**63 for low, high in ack.batches
    ):
        raise WireError("ack: its ranges are out of order or too many")
    return ack


def decode_command(payload: bytes) -> Command:
    """Read a command.

    Raises:
        WireError: It is not one.
    """
    try:
        command = _COMMAND.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"command: cannot be read: {error}") from error
    if command.schema != COMMAND_SCHEMA:
        raise WireError(f"command: schema {command.schema[:64]!r} is not {COMMAND_SCHEMA!r}")
    return command


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
