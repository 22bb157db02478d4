from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import WireError
from edge_agent.spool import batch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RECORDS = [b'{"a":1}', b'{"a":2}', b""]


def header(**change: object) -> batch.Header:
    values = {"stream": "00", "batch": 1, "kind": "alarms", "first": 5, "last": 7, "count": 3}
    return batch.Header(schema=batch.SCHEMA, **(values | change))  # type: ignore[arg-type]  # a dict


def sealed(**change: object) -> bytes:
    return batch.encode(header(**change), RECORDS, level=3)


def test_what_is_encoded_comes_back() -> None:
    loss = batch.Loss(1, 4, "evicted")
    assert batch.decode(sealed(lost=(loss,))) == (header(lost=(loss,)), RECORDS)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "cut short"),
        (b"plain", "not a zstd frame"),
        (sealed()[:-3], "cut short"),
        (sealed() + b"x", "followed by other bytes"),
        (zstd.compress(b"not json\n"), "header line"),
        (zstd.compress(b'{"schema":"edge/batch/1"}\n'), "header line"),
        (zstd.compress(b"\xff\n"), "header line"),
        (sealed(count=2, last=6), "3 records where the header says 2"),
        (sealed(last=8), "3 records where the header says 3"),
        (sealed(batch=0), "batch"),
        (sealed(first=-1, last=1), "first"),
        (sealed(last=2**63), "last"),
        (sealed(stream=""), "stream"),
        (sealed(stream="a/b"), "stream"),
        (sealed(kind="Alarms"), "kind"),
        (batch.encode(header(kind="x"), [*RECORDS[:2], b"a\nb"], level=3), "4 records"),
    ],
)
def test_a_broken_batch_is_refused_with_its_reason(payload: bytes, text: str) -> None:
    with pytest.raises(WireError, match=text):
        batch.decode(payload)


def test_another_schema_is_named() -> None:
    other = zstd.compress(zstd.decompress(sealed()).replace(b"batch/1", b"batch/9"))
    with pytest.raises(WireError, match="'edge/batch/9' is not 'edge/batch/1'"):
        batch.decode(other)


def test_a_bomb_is_stopped_at_the_limit() -> None:
    with pytest.raises(WireError, match="more than 1000000 bytes"):
        batch.decode(zstd.compress(b"0" * 200_000_000, 1), limit_bytes=1_000_000)


def test_a_frame_with_a_huge_window_is_refused() -> None:
    options = {int(zstd.CompressionParameter.window_log): 27}
    frame = zstd.compress(b"0" * 2**24 + b"\n", options=options)
    with pytest.raises(WireError, match="not a zstd frame"):
        batch.decode(frame)


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_raise_a_wire_error(data: bytes) -> None:
    for payload in (data, zstd.compress(data)):
        with pytest.raises(WireError):
            batch.decode(payload)
