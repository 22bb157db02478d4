"""A column: the values that stand at one place of all records, as they are written in JSON.

A value is kept as its text, so that nothing of it changes: `1.0` stays `1.0`, and what has no form
that is foreseen is kept as it stands. Each form is tried by writing the column back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum

import msgspec
import numpy as np

from edge_agent.columns import numbers
from edge_agent.columns.numbers import LARGEST, Numbers
from edge_agent.columns.octets import Octets, sized, unsigned
from edge_agent.errors import WireError


class Form(IntEnum):
    """How a column is laid out."""

    TEXTS = 0  # as they are, one a line
    CHOICE = 1  # the values that occur, and which of them each is
    DECIMAL = 2  # numbers without exponent, with so many decimals at most
    NUMBERED = 3  # texts that differ in a number
    TIME = 4  # milliseconds since 1970, written as ISO 8601


CHOICES = 256
DECIMALS = 17
DIGITS = 18
_PLAIN_DECIMALS = 4  # smaller floats than 0.0001 are written with an exponent
_EXACT = 10**15
_LAST_MS = 253_402_300_799_999  # of the year 9999
_DECIMAL = re.compile(rb"-?\d{1,19}(?:\.\d{1,17})?")
_NUMBERED = re.compile(rb'("(?:[^"\\]*[^"\\\d])?)(\d{1,18})([^"\\\d]*")')
_TIME = re.compile(rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"')


class Parsed(msgspec.Struct, frozen=True):
    """A column whose form is found.

    Attributes:
        form: How it is laid out.
        head: Its bytes after the form, up to its numbers.
        values: Its numbers; None if it has none.
    """

    form: Form
    head: bytes
    values: Numbers | None = None


class Column(msgspec.Struct, frozen=True):
    """A column that was read.

    Attributes:
        size: Bytes of all its values, at most.
        texts: Makes them, all at once: a record at a time costs three times as much. Not called
            before all sizes are known to be within the limit.
        values: Its numbers; None if it has none.
    """

    size: int
    texts: Callable[[], list[bytes]]
    values: Numbers | None = None


def parse(texts: Sequence[bytes]) -> Parsed:
    """Find the form of a column.

    Args:
        texts: Its values; at least one, none with a line end.
    """
    for attempt in (_as_decimals, _as_times, _as_numbered, _as_choice):
        found = attempt(texts)
        if found is not None:
            return found
    return Parsed(Form.TEXTS, sized(b"\n".join(texts)))


def read(octets: Octets, count: int, others: Sequence[Numbers | None]) -> Column:
    """Read a column of `count` values, at least one.

    Raises:
        WireError: It breaks the layout.
    """
    form = octets.unsigned(255)
    if form not in _READERS:
        raise WireError(f"batch: form {form} of a column before byte {octets.at} is not known")
    return _READERS[form](octets, count, others)


# --- texts as they are ----------------------------------------------------------------------------


def _read_texts(octets: Octets, count: int, _others: Sequence[Numbers | None]) -> Column:
    lines = octets.sized()
    if lines.count(b"\n") + 1 != count:
        raise WireError(f"batch: a column before byte {octets.at} has not {count} texts")
    return Column(len(lines), lambda: lines.split(b"\n"))


# --- a choice of few ------------------------------------------------------------------------------


def _as_choice(texts: Sequence[bytes]) -> Parsed | None:
    known = sorted(set(texts))
    if len(known) > min(CHOICES, len(texts) // 2 + 1) or any(b"\n" in text for text in known):
        return None
    place = {text: index for index, text in enumerate(known)}
    values = np.array([place[text] for text in texts], np.int64)
    return Parsed(Form.CHOICE, unsigned(len(known)) + b"".join(map(sized, known)), values)


def _read_choice(octets: Octets, count: int, others: Sequence[Numbers | None]) -> Column:
    known = [octets.sized() for _ in range(octets.unsigned(CHOICES))]
    values = numbers.read(octets, count, others)
    if not 0 <= int(values.min()) <= int(values.max()) < len(known):
        raise WireError(f"batch: a column before byte {octets.at} chooses what is not there")
    size = count * max(map(len, known))
    return Column(size, lambda: [known[value] for value in values.tolist()], values)


# --- numbers without exponent ---------------------------------------------------------------------


def _as_decimals(texts: Sequence[bytes]) -> Parsed | None:
    if not all(map(_DECIMAL.fullmatch, texts)):
        return None
    decimals = max(len(text.partition(b".")[2]) for text in texts)
    found = [_whole(text, decimals) for text in texts] if decimals else list(map(int, texts))
    if not -LARGEST <= min(found) <= max(found) <= LARGEST:
        return None
    values = np.array(found, np.int64)
    if _decimal_texts(values, decimals) != list(texts):
        return None  # -0, 1.50, or a whole number among others
    return Parsed(Form.DECIMAL, unsigned(decimals), values)


def _whole(text: bytes, decimals: int) -> int:
    whole, _, part = text.partition(b".")
    return int(whole + part.ljust(decimals, b"0"))


def _read_decimals(octets: Octets, count: int, others: Sequence[Numbers | None]) -> Column:
    decimals = octets.unsigned(DECIMALS)
    values = numbers.read(octets, count, others)
    return Column(count * 22, lambda: _decimal_texts(values, decimals), values)


def _decimal_texts(values: Numbers, decimals: int) -> list[bytes]:
    """Write numbers as JSON does: a point where there may be one, and no zeros at the end."""
    if not decimals:
        return _written(map(str, values.tolist()))
    if decimals <= _PLAIN_DECIMALS and -_EXACT < int(values.min()) <= int(values.max()) < _EXACT:
        # Both are exact as floats, so their quotient is the float that is nearest to the decimal,
        # and with 15 digits at most the shortest text of that float is the decimal again.
        return _written(map(repr, (values / 10.0**decimals).tolist()))
    return [_decimal_text(value, decimals) for value in values.tolist()]


def _written(texts: Iterable[str]) -> list[bytes]:
    return "\n".join(texts).encode().split(b"\n")


def _decimal_text(value: int, decimals: int) -> bytes:
    digits = b"%0*d" % (decimals + 1, abs(value))
    part = digits[-decimals:].rstrip(b"0") or b"0"
    return (b"-" if value < 0 else b"") + digits[:-decimals] + b"." + part


# --- texts that differ in a number ----------------------------------------------------------------


def _as_numbered(texts: Sequence[bytes]) -> Parsed | None:
    first = _NUMBERED.fullmatch(texts[0])
    if first is None:
        return None
    before, _, after = first.groups()
    found = [text[len(before) : -len(after)] for text in texts]
    width = min(map(len, found))
    if not width or max(map(len, found)) > DIGITS or not all(map(bytes.isdigit, found)):
        return None
    values = np.array(list(map(int, found)), np.int64)
    if _numbered_texts(values, before, width, after) != list(texts):
        return None
    return Parsed(Form.NUMBERED, sized(before) + unsigned(width) + sized(after), values)


def _read_numbered(octets: Octets, count: int, others: Sequence[Numbers | None]) -> Column:
    before, width, after = octets.sized(), octets.unsigned(DIGITS), octets.sized()
    values = numbers.read(octets, count, others)
    size = count * (len(before) + len(after) + 20)
    return Column(size, lambda: _numbered_texts(values, before, width, after), values)


def _numbered_texts(values: Numbers, before: bytes, width: int, after: bytes) -> list[bytes]:
    return [b"%b%0*d%b" % (before, width, value, after) for value in values.tolist()]


# --- times ----------------------------------------------------------------------------------------


def _as_times(texts: Sequence[bytes]) -> Parsed | None:
    if not all(map(_TIME.fullmatch, texts)):
        return None
    try:
        values = np.array([text[1:-2].decode() for text in texts], "datetime64[ms]")
    except ValueError:  # the 31st of February
        return None
    since = values.astype(np.int64)
    if int(since.min()) < 0 or _time_texts(since) != list(texts):
        return None
    return Parsed(Form.TIME, b"", since)


def _read_times(octets: Octets, count: int, others: Sequence[Numbers | None]) -> Column:
    values = numbers.read(octets, count, others)
    if not 0 <= int(values.min()) <= int(values.max()) <= _LAST_MS:
        raise WireError(f"batch: a time before byte {octets.at} is out of range")
    return Column(count * 26, lambda: _time_texts(values), values)


def _time_texts(values: Numbers) -> list[bytes]:
    written = np.datetime_as_string(values.astype("datetime64[ms]"))
    return ('"' + 'Z"\n"'.join(written.tolist()) + 'Z"').encode().split(b"\n")


_READERS: dict[int, Callable[[Octets, int, Sequence[Numbers | None]], Column]] = {
    Form.TEXTS: _read_texts,
    Form.CHOICE: _read_choice,
    Form.DECIMAL: _read_decimals,
    Form.NUMBERED: _read_numbered,
    Form.TIME: _read_times,
}
