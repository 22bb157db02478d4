from __future__ import annotations

import json
import sys

import msgspec
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


def many(count: int, **more: object) -> list[bytes]:
    """Make records much like each other."""
    return [
        json.dumps({"part": f"1-{n:06d}", "wall_ns": 10**18 + n * 10**8, **more}).encode()
        for n in range(count)
    ]


def both_ways(records: list[bytes]) -> batch.Header:
    told = header(first=1, last=len(records), count=len(records))
    found, back = batch.decode(batch.encode(told, records, level=3))
    assert back == records
    assert found.digest == batch.digest_of(records)
    return found


def test_what_is_encoded_comes_back() -> None:
    loss = batch.Loss(1, 4, "evicted")
    found, records = batch.decode(sealed(lost=(loss,)))
    assert records == RECORDS
    assert found == header(lost=(loss,), digest=batch.digest_of(RECORDS))


def test_few_records_travel_as_lines_and_many_in_columns() -> None:
    assert both_ways(many(2)).schema == batch.SCHEMA
    assert both_ways(many(50)).schema == batch.SCHEMA_COLUMNS


def test_the_content_type_says_which() -> None:
    for count, kind in ((2, batch.CONTENT_TYPE), (50, batch.CONTENT_TYPE_COLUMNS)):
        told = header(first=1, last=count, count=count)
        assert batch.content_type(batch.encode(told, many(count), level=3)) == kind


@pytest.mark.parametrize(
    "odd",
    [
        [b""] * 40,
        [b"\x00", *many(40)],
        [b"\xff\xfe%s%%" * 3 for _ in range(40)],
        [b'{"a":-0.0}', b'{"a":1e5}', b'{"a":1.50}', b'{"a":007}', *[b'{"a":0.5}'] * 40],
        [b'{"a":%d}' % (2**63 - n) for n in range(40)],
        [b'{"t":"2026-02-31T00:00:00.000Z"}', *[b'{"t":"2026-02-28T00:00:00.000Z"}'] * 40],
        [b'{"k%d":1,"%d":[2]}' % (n, n) for n in range(400)],
        [b'{"a":[' + b",".join([b"%d" % n] * n) + b"]}" for n in range(300)],
        [b'{"a:":"b","c":"\\",":d"}', *[b'{"a:":"\\"","c":",:"}'] * 40],
        [b"{" + b",".join(b'"k%d":%d' % (k, n) for k in range(5000)) + b"}" for n in range(20)],
        [
            b"{" + b",".join(b'"k%d":%d' % (n, n * k) for n in range(300)) + b"}"
            for k in range(9000)
        ],
    ],
)
def test_nothing_is_refused_by_our_own_encoder(odd: list[bytes]) -> None:
    both_ways(odd)


def test_a_line_end_in_a_record_is_found_by_the_reader() -> None:
    told = header(first=1, last=40, count=40)
    with pytest.raises(WireError, match="41 records"):
        batch.decode(batch.encode(told, [b"a\nb", *many(39)], level=3))


def test_the_same_batch_is_the_same_bytes() -> None:
    told = header(first=1, last=50, count=50)
    assert len({batch.encode(told, many(50), level=6) for _ in range(3)}) == 1


def test_a_record_that_changed_is_found_by_the_digest() -> None:
    for count in (2, 50):
        told = header(first=1, last=count, count=count)
        payload = batch.encode(told, many(count, odd="abc"), level=3)
        forged = zstd.compress(zstd.decompress(payload).replace(b"abc", b"abd"))
        with pytest.raises(WireError, match="digest"):
            batch.decode(forged)


_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
_values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), _values, max_size=4), min_size=4))
def test_any_json_comes_back(records: list[dict[str, object]]) -> None:
    both_ways([msgspec.json.encode(record) for record in records])


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), min_size=4))
def test_any_bytes_come_back(records: list[bytes]) -> None:
    both_ways(records)


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
        (sealed(last=8), "the header says 3 records, 5 to 8"),
        (sealed(last=200_004, count=200_000), "200000 records where 100000 are the most"),
        (zstd.compress(zstd.decompress(sealed()).replace(b'digest":"', b'digest":"0')), "digest"),
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
    with pytest.raises(WireError, match="'edge/batch/9' is not 'edge/batch/1' or"):
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
