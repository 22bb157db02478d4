from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.columns.octets import Octets, signed, sized, unsigned
from edge_agent.errors import WireError


@given(st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=300))
def test_what_is_written_is_read(count: int, number: int, data: bytes) -> None:
    octets = Octets(b"x" + unsigned(count) + signed(number) + sized(data), 1)
    assert (octets.unsigned(), octets.signed(), octets.sized()) == (count, number, data)
    assert octets.is_empty


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "cut short at byte 0"),
        (b"\x80", "cut short at byte 1"),
        (b"\xff" * 11, "does not end"),
        (b"\xff" * 9 + b"\x7f", "at most 18446744073709551615"),
        (b"\x0b", "11 at byte 1 where at most 10"),
    ],
)
def test_a_number_that_cannot_be_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(WireError, match=text):
        Octets(data, 0).unsigned(10 if data == b"\x0b" else 2**64 - 1)


def test_the_end_is_never_overrun() -> None:
    with pytest.raises(WireError, match="cut short"):
        Octets(sized(b"abc")[:-1], 0).sized()
