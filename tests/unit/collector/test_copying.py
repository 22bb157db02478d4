"""What COPY is given, read back as PostgreSQL reads it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.collector.stores import copying
from tests.unit.collector.arrivals import delivery, inspection, sealed

_NAMES = ["device", "number", "part", "score", "sequence", "record", "received_ns", "boot"]
_PLAIN = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def read_back(lines: bytes) -> list[list[str | None]]:
    """Undo COPY's text format, by the page of PostgreSQL's manual."""
    assert lines.endswith(b"\n")
    rows = [line.split("\t") for line in lines.decode()[:-1].split("\n")]
    return [[None if field == "\\N" else _undone(field) for field in row] for row in rows]


def _undone(field: str) -> str:
    found, rest = "", iter(field)
    for each in rest:
        found += _PLAIN[next(rest)] if each == "\\" else each
    return found


@given(st.lists(st.tuples(_TEXT | st.none(), _TEXT, st.booleans()), min_size=1, max_size=8))
def test_what_is_written_is_what_is_read(values: list[tuple[str | None, str, bool]]) -> None:
    records = []
    for number, (part, text, spread) in enumerate(values, 1):
        record = inspection(number, part=part, text=text, boot=None)
        records.append(msgspec.json.format(record, indent=0 if spread else -1))
    found = delivery(sealed(1, [record.replace(b"\n", b"\t") for record in records]))
    rows = read_back(b"".join(copying.lines([found], _NAMES)))
    assert len(rows) == len(records)
    for row, given_row in zip(rows, found.rows, strict=True):
        cells: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
        part = given_row["part"]
        assert cells["part"] == (
            None if part is None else part.replace("\0", "\N{REPLACEMENT CHARACTER}")
        )
        assert cells["record"].encode() == given_row["record"]
        assert (int(cells["number"]), int(cells["sequence"])) == (given_row["number"],) * 2
        assert (cells["device"], float(cells["score"]), cells["boot"]) == ("dev1", 0.25, None)
        assert cells["received_ns"] == str(found.arrival.received_ns)


def test_batches_follow_each_other() -> None:
    some = [delivery(sealed(n, [inspection(n)], first=n)) for n in (1, 2, 3)]
    assert b"".join(copying.lines(some, ["number"])) == b"1\n2\n3\n"


def test_half_a_surrogate_pair_is_refused() -> None:
    found = delivery(sealed(1, [inspection(1)]))
    found.columns["part"][0] = "\ud800"
    with pytest.raises(UnicodeError):
        list(copying.lines([found], _NAMES))
