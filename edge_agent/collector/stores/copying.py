"""Deliveries as the text that PostgreSQL's COPY takes. Rules only, no IO.

A batch is written column by column, and its rows are joined at the end: that costs a tenth of what
a row at a time costs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_agent.collector.messages import Delivery

_NULL = "\\N"
_ODD = re.compile("[\\\\\t\n\r\0]")
_ESCAPES = str.maketrans(
    # PostgreSQL has no NUL in a text. In JSON it is written \u0000: only what was read from it may
    # hold one, never a record.
    {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\N{REPLACEMENT CHARACTER}"}
)


def lines(deliveries: Iterable[Delivery], names: Sequence[str]) -> Iterator[bytes]:
    """Write the rows of each delivery.

    Args:
        deliveries: All of one kind.
        names: Columns, in their order.

    Raises:
        UnicodeError: A text holds half a surrogate pair.
    """
    for delivery in deliveries:
        same = {
            "device": delivery.device,
            "stream": delivery.header.stream,
            "received_ns": str(delivery.arrival.received_ns),
        }
        columns = (
            repeat(same[name]) if name in same else _column(name, delivery.columns[name])
            for name in names
        )
        rows = zip(*columns)  # noqa: B905 - what is the same in all rows does not end
        yield ("\n".join(map("\t".join, rows)) + "\n").encode()


def _column(name: str, values: Sequence[Any]) -> Iterable[str]:
    if name == "record":
        return _records(values)
    nulls = values.count(None)
    if nulls == len(values):
        return repeat(_NULL, len(values))
    if isinstance(next(value for value in values if value is not None), str):
        return _texts(values, nulls)
    return map(str, values) if not nulls else [_NULL if v is None else str(v) for v in values]


def _texts(values: Sequence[Any], nulls: int) -> Sequence[str]:
    known = values if not nulls else [v for v in values if v is not None]
    odd = _ODD.search("".join(known)) is not None
    if not odd:
        return values if not nulls else [_NULL if v is None else v for v in values]
    return [_NULL if v is None else v.translate(_ESCAPES) for v in values]


def _records(records: Sequence[bytes]) -> Sequence[str]:
    together = b"\n".join(records).decode()
    if together.count("\n") != len(records) - 1 or "\t" in together or "\r" in together:
        return [record.decode().translate(_ESCAPES) for record in records]
    return together.replace("\\", "\\\\").split("\n")
