from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import Stamp
from edge_agent.errors import WireError
from edge_agent.uplink import wire

BIRTH = wire.Birth(device="d", online=True, boot="b", version="0", stations=("a", "b"))


def test_messages_come_back() -> None:
    ack = wire.Ack(stream="s", batches=[(1, 3), (5, 5)])
    assert wire.decode_ack(wire.encode(ack)) == ack
    assert wire.decode_birth(wire.encode(BIRTH)) == BIRTH
    want = wire.Want(stream="s", batches=[(1, 3), (5, 10**9)])
    assert wire.decode_want(wire.encode(want)) == want
    gone = wire.Gone(stream="s", batches=[(1, 2)])
    assert wire.decode_gone(wire.encode(gone)) == gone


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
    for name, decode in (
        ("ack", wire.decode_ack),
        ("want", wire.decode_want),
        ("gone", wire.decode_gone),
    ):
        with pytest.raises(WireError, match=name):
            decode(payload.replace(b"/ack/1", f"/{name}/1".encode()))


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[" * 100_000, wire.encode(BIRTH).replace(b"/1", b"/2")]
)
def test_what_is_no_birth_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError, match="birth"):
        wire.decode_birth(payload)


def test_the_moment_of_sending_is_told() -> None:
    told = wire.sending_properties("3f0c", Stamp(wall_ns=2**62, mono_ns=17))
    assert told == {
        "boot": "3f0c",
        "sent_wall_ns": "4611686018427387904",
        "sent_mono_ns": "17",
        "expiry_s": "604800",
    }


@given(st.sets(st.integers(1, 60)))
def test_ranges_hold_exactly_the_numbers(numbers: set[int]) -> None:
    found = wire.ranges(numbers)
    assert [n for low, high in found for n in range(low, high + 1)] == sorted(numbers)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(found))
