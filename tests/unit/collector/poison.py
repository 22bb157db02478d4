"""Batches that mean harm, each with the reason for which it must be refused."""

from __future__ import annotations

import sys

import msgspec

from edge_agent.columns.octets import sized, unsigned
from edge_agent.spool import batch
from tests.unit.collector.arrivals import inspection, sealed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GOOD = sealed(5, [inspection(n) for n in range(1, 51)])
_TEXT = zstd.decompress(_GOOD)
_DIGEST = "0" * 32


def _columns(body: bytes, count: int) -> bytes:
    header = batch.Header(
        schema=batch.SCHEMA_COLUMNS, stream="s", batch=7, kind="inspections", first=1, last=count,
        count=count, digest=_DIGEST,
    )  # fmt: skip
    return zstd.compress(msgspec.json.encode(header) + b"\n" + body, 3)


def _template(text: bytes, *columns: int) -> bytes:
    return unsigned(1) + sized(text) + bytes(columns)


_ALL_ZERO = bytes([8, 0, 0])  # numbers: packed, base 0, width 0

PAYLOADS = {
    "empty": b"",
    "plain": b'{"schema":"edge/batch/1"}',
    "truncated": _GOOD[:-9],
    "digest": zstd.compress(_TEXT.replace(b"press", b"dress")),
    "schema": zstd.compress(_TEXT.replace(b"edge/batch/2", b"edge/batch/3")),
    "zip bomb": zstd.compress(bytes(300 * 2**20), 1),
    "lines bomb": zstd.compress(
        sealed(1, [b"x"]) and zstd.decompress(sealed(1, [b"x"]))[:-2] + b"\n" * 30_000_000, 1
    ),
    "header bomb": zstd.compress(b'{"schema":"' + b"x" * 50_000_000, 1),
    "text bomb": _columns(_template(b"y" * 10**6) + _ALL_ZERO + b"\0", 100_000),
    "choice bomb": _columns(
        _template(b"\0", 0) + _ALL_ZERO + b"\1" + b"\1\1" + sized(b"z" * 10**6) + _ALL_ZERO, 90_000
    ),
    "values bomb": _columns(_template(bytes(900), *[0] * 900) + _ALL_ZERO + b"\1", 80_000),
    "numbers bomb": _columns(_template(b"\0", 0) + b"\x08\0\x40" + bytes(8 * 10**5), 10**5),
    "no template": _columns(b"\0" + _ALL_ZERO + b"\0", 5),
    "no such column": _columns(_template(b"\0", 9) + _ALL_ZERO + b"\1", 5),
    "no such relation": _columns(
        _template(b"\0", 0) + _ALL_ZERO + b"\1" + b"\2\0" + b"\2\1\7\1\0\0", 5
    ),
    "nested": sealed(3, [b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"]),
}  # fmt: skip

REASONS = {
    "empty": "cut short",
    "plain": "not a zstd frame",
    "truncated": "cut short",
    "digest": "digest",
    "schema": "'edge/batch/3' is not",
    "zip bomb": "more than 67108864 bytes",
    "lines bomb": "more than 100000 lines",
    "header bomb": "no header line",
    "text bomb": "more than 67108864 bytes",
    "choice bomb": "more than 67108864 bytes",
    "values bomb": "more than 2000000 values",
    "numbers bomb": "columns|template|cut short",
    "no template": "template that is not there",
    "no such column": "column that is not there",
    "no such relation": "refers to column 7",
    "nested": "not JSON",
}
