from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import WireError
from edge_agent.uplink import wire

BIRTH = wire.Birth(device="d", online=True, boot="b", version="0", stations=("a", "b"))


def test_messages_come_back() -> None:
    ack = wire.Ack(stream="s", batches=[(1, 3), (5, 5)])
    assert wire.decode_ack(wire.encode(ack)) == ack
    assert wire.decode_birth(wire.encode(BIRTH)) == BIRTH


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"schema":"edge/ack/2","stream":"s","batches":[]}',
        b'{"schema":"edge/ack/1","stream":"s","batches":[[2,1]]}',
        b'{"schema":"edge/ack/1","stream":"s","batches":[[0,1]]}',
        b'{"schema":"edge/ack/1","stream":"s","batches":[[1,99999999999999999999]]}',
        b'{"schema":"edge/ack/1","stream":"s","batches":[' + b"[1,1]," * 10_000 + b"[1,1]]}",
    ],
)
def test_what_is_no_ack_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError, match="ack"):
        wire.decode_ack(payload)


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[" * 100_000, wire.encode(BIRTH).replace(b"/1", b"/2")]
)
def test_what_is_no_birth_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError, match="birth"):
        wire.decode_birth(payload)


@given(st.sets(st.integers(1, 60)))
def test_ranges_hold_exactly_the_numbers(numbers: set[int]) -> None:
    found = wire.ranges(numbers)
    assert [n for low, high in found for n in range(low, high + 1)] == sorted(numbers)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(found))
