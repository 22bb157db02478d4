"""A decoder of batches, written from docs/wire.md alone: it imports nothing of ours.

Plain and slow: what it agrees with is what the page says, not what our code happens to do.
"""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        found, self.data = self.data[:size], self.data[size:]
        assert len(found) == size
        return found

    def u(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value += (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def s(self) -> int:
        value = self.u()
        return value // 2 if value % 2 == 0 else -(value + 1) // 2

    def sized(self) -> bytes:
        return self.take(self.u())

    def numbers(self, n: int, columns: list[list[int]]) -> list[int]:
        flags = self.take(1)[0]
        named, divisor, start, unit = [], 1, 0, 1
        if flags & 2:
            named = [self.u() for _ in range(self.u())]
            divisor = self.u()
        if flags & 1:
            start = self.s()
        base = self.s()
        if flags & 4:
            unit = self.u()
        width = self.take(1)[0]
        m = n - 1 if flags & 1 else n
        if flags & 8:
            large = int.from_bytes(self.take((m * width + 7) // 8), "little")
            residues = [large >> (i * width) & ((1 << width) - 1) for i in range(m)]
        else:
            planes = [self.take(m) for _ in range(width)]
            residues = [int.from_bytes(bytes(p[i] for p in planes), "little") for i in range(m)]
        e = [base + unit * r for r in residues]
        if flags & 1:
            total = [start]
            for d in e:
                total.append(total[-1] + d)
            e = total
        for i in range(n):
            e[i] += sum(columns[c][i] for c in named) // divisor
        return [(v + 2**63) % 2**64 - 2**63 for v in e]


def _column(reader: _Reader, n: int, columns: list[list[int]]) -> list[bytes]:
    form = reader.take(1)[0]
    if form == 0:
        columns.append([])
        return reader.sized().split(b"\n")
    texts: list[bytes] = []
    if form == 1:
        texts = [reader.sized() for _ in range(reader.u())]
    decimals = reader.u() if form == 2 else 0
    before, width, after = b"", 0, b""
    if form == 3:
        before, width, after = reader.sized(), reader.u(), reader.sized()
    numbers = reader.numbers(n, columns)
    columns.append(numbers)
    if form == 1:
        return [texts[v] for v in numbers]
    if form == 2:
        return [_decimal(v, decimals) for v in numbers]
    if form == 3:
        return [before + str(v).zfill(width).encode() + after for v in numbers]
    assert form == 4
    return [_time(v) for v in numbers]


def _decimal(value: int, decimals: int) -> bytes:
    if decimals == 0:
        return str(value).encode()
    whole, part = divmod(abs(value), 10**decimals)
    digits = str(part).zfill(decimals).rstrip("0") or "0"
    return f"{'-' if value < 0 else ''}{whole}.{digits}".encode()


def _time(ms: int) -> bytes:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return f'"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"'.encode()


def _from_columns(body: bytes, count: int) -> list[bytes]:
    reader = _Reader(body)
    templates = []
    for _ in range(reader.u()):
        text = reader.sized()
        templates.append((text.split(b"\0"), [reader.u() for _ in range(text.count(b"\0"))]))
    chosen = [templates[i] for i in reader.numbers(count, [])]
    queues: list[list[bytes]] = []
    columns: list[list[int]] = []
    for c in range(reader.u()):
        needed = sum(holes.count(c) for _, holes in chosen)
        queues.append(_column(reader, needed, columns)[::-1])
    assert not reader.data
    records = []
    for parts, holes in chosen:
        record = parts[0]
        for hole, part in zip(holes, parts[1:], strict=True):
            record += queues[hole].pop() + part
        records.append(record)
    assert not any(queues)
    return records


def decode(payload: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return header and records."""
    line, _, body = zstd.decompress(payload).partition(b"\n")
    header = json.loads(line)
    if header["schema"] == "edge/batch/1":
        records = body.split(b"\n")[:-1]
    else:
        assert header["schema"] == "edge/batch/2"
        records = _from_columns(body, header["count"])
    assert len(records) == header["count"] == header["last"] - header["first"] + 1
    if "digest" in header:
        content = b"".join(record + b"\n" for record in records)
        assert hashlib.blake2b(content, digest_size=16).hexdigest() == header["digest"]
    return header, records
