"""The journal of an open batch: segment files that are only ever written at their end.

Layout of a segment, little-endian:

    segment = magic (8 bytes) stream (16 bytes, ASCII hex) base (u64) CRC-32 of these (u32) frame*
    frame   = length (u32) checksum (u32) number (u64) record (length bytes)

The base is the number of the last record before this segment: it says how far the database must
have come. The checksum is the CRC-32 of the record, begun with both halves of its number (XOR).

Zeros after the last frame are room for more. A frame that ends beyond the file, or in those zeros,
was being written when the process or the power went: it is torn, its append never returned or was
not synced, and it is dropped. A frame that is whole but fails its
checksum is damaged: its record is lost, and the reader goes on with the next frame that holds.
"""

from __future__ import annotations

import struct
from zlib import crc32

import msgspec

MAGIC = b"EDGEJNL2"
RECORD_LIMIT_BYTES = 2**20
_FRAME = struct.Struct("<IIQ")
_pack = _FRAME.pack
_NUMBER = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_STREAM_BYTES = 16
HEAD_BYTES = len(MAGIC) + _STREAM_BYTES + _NUMBER.size + _CHECKSUM.size
_RESYNC_WITHIN = 1_000_000  # records that damage may span before the rest counts as gone


class Run(msgspec.Struct, frozen=True):
    """Records with consecutive numbers, the first of which is `first`."""

    first: int
    records: list[bytes]

    @property
    def last(self) -> int:
        """Number of the last record."""
        return self.first + len(self.records) - 1


class Content(msgspec.Struct, frozen=True):
    """What a segment holds.

    Attributes:
        stream: The stream its records belong to; empty if the head is torn or damaged.
        runs: The records, cut where damage left a hole.
        torn_bytes: Bytes at the end that are no whole frame.
        damaged_tail: Whole frames after the last good one that fail their checksum.
        base: Number of the last record before this segment; 0 if the head is torn or damaged.
    """

    stream: str
    runs: list[Run]
    torn_bytes: int = 0
    damaged_tail: int = 0
    base: int = 0

    @property
    def is_damaged(self) -> bool:
        """Whether it holds something that was written and cannot be read any more."""
        headless = not self.stream and (bool(self.runs) or self.torn_bytes > 0)
        return headless or len(self.runs) > 1 or self.damaged_tail > 0


def frame(number: int, record: bytes) -> bytes:
    """Frame one record."""
    return _pack(len(record), crc32(record, (number ^ number >> 32) & 0xFFFFFFFF), number) + record


def parse(data: bytes) -> Content:
    """Read a segment, whatever happened to it."""
    stream, base = _read_head(data[:HEAD_BYTES])
    used = len(data.rstrip(b"\0"))
    runs: list[Run] = []
    at, expected = HEAD_BYTES, 0
    while at < used:
        found = _frame_at(data, at)
        if found is None:
            step = _next_frame(data, at, expected, used)
            if step is None:
                return Content(stream, runs, used - at, _whole_frames(data[:used], at), base)
            at = step
            continue
        number, record = found
        if not runs or number != expected:
            runs.append(Run(number, []))
        runs[-1].records.append(record)
        expected = number + 1
        at += _FRAME.size + len(record)
    return Content(stream, runs, base=base)


def frames(data: bytes) -> tuple[int, list[bytes]]:
    """Return what whole frames hold: the first one's number, and the records.

    Raises:
        ValueError: One of them does not hold.
    """
    records: list[bytes] = []
    first, at = 0, 0
    while at < len(data):
        found = _frame_at(data, at)
        if found is None:
            raise ValueError(f"no frame at {at}")
        number, record = found
        first = first or number
        records.append(record)
        at += _FRAME.size + len(record)
    return first, records


def head(stream: str, base: int = 0) -> bytes:
    """Write the head of a segment."""
    text = MAGIC + stream.encode("ascii") + _NUMBER.pack(base)
    return text + _CHECKSUM.pack(crc32(text))


def _read_head(data: bytes) -> tuple[str, int]:
    """Return stream and base of a head; nothing and 0 if it does not hold."""
    text = data[: -_CHECKSUM.size]
    whole = len(data) == HEAD_BYTES and text.startswith(MAGIC)
    if not whole or _CHECKSUM.pack(crc32(text)) != data[-_CHECKSUM.size :]:
        return "", 0
    name = text[len(MAGIC) : -_NUMBER.size]
    return name.decode("ascii"), _NUMBER.unpack(text[-_NUMBER.size :])[0]


def _frame_at(data: bytes, at: int) -> tuple[int, bytes] | None:
    """Return number and record of the frame at an offset, if it holds."""
    if at + _FRAME.size > len(data):
        return None
    length, checksum, number = _FRAME.unpack_from(data, at)
    end = at + _FRAME.size + length
    if number == 0 or length > RECORD_LIMIT_BYTES or end > len(data):
        return None
    record = data[at + _FRAME.size : end]
    if crc32(record, (number ^ number >> 32) & 0xFFFFFFFF) != checksum:
        return None
    return number, record


def _next_frame(data: bytes, at: int, expected: int, used: int) -> int | None:
    """Find where the first frame that holds begins behind damage at `at`."""
    for offset in range(at + 1, min(used, len(data) - _FRAME.size + 1)):
        number = _NUMBER.unpack_from(data, offset + 8)[0]
        plausible = 0 <= number - expected <= _RESYNC_WITHIN
        if plausible and _frame_at(data, offset) is not None:
            return offset
    return None


def _whole_frames(data: bytes, at: int) -> int:
    """Count the frames from `at` on whose length fits the file, though they fail otherwise."""
    count = 0
    while at + _FRAME.size <= len(data):
        length, checksum, number = _FRAME.unpack_from(data, at)
        at += _FRAME.size + length
        if length > RECORD_LIMIT_BYTES or at > len(data) or not checksum | number:
            break
        count += 1
    return count
