"""The sync log: what makes open records and fresh batches survive a power cut, sector by sector.

A sync of a journal costs the disk a page and more, and a commit of the database a dozen, whatever
they bring. Here everything that is due goes, compressed, into one entry of a few sectors of a file
that never grows, past the page cache. It is written in turns, a half at a time: the first entry of
a half tells again what the half before held and the database does not.

Layout, little-endian; an entry begins at a sector of 512 bytes and is filled up with zeros:

    entry = magic (8 bytes) generation (u64) sequence (u32) length (u32) CRC-32 (u32) content
    content = one zstd frame of the `Entry`, as MessagePack

Generations grow from turn to turn. The first entry of a generation has sequence 0; the text of its
`sample` is the (raw) dictionary of the frames behind it. The checksum is of generation, sequence,
length and content.

Invariants, each held by a test of its name in tests/unit/spool/test_synclog.py:

1. *written is kept*: when `write` returns, the entry is on the disk, and stays readable until the
   next turn is.
2. *a torn entry is nothing*: what was being written when the power went is not read, and takes
   nothing before it along.
3. *damage is told*: an entry that is missing between others is counted.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import msgspec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC = b"EDGESYN1"
HALF_BYTES = 512 * 2**10
_SECTOR = 512
_LARGE_SECTOR = 4096
_HEAD = struct.Struct("<8sQIII")
_COVERED = struct.Struct("<QII")
_LEVEL = 6
_SAMPLE_BYTES = 2048
_SHORTEST = 8  # a dictionary that zstd takes
_UNPACKED_BYTES = 16 * 2**20


class Open(msgspec.Struct, frozen=True, array_like=True):
    """Records that are in no batch yet; the first has number `first`."""

    lane: str
    stream: str
    first: int
    records: list[bytes]


class Fresh(msgspec.Struct, frozen=True, array_like=True):
    """A sealed batch that the database does not have yet."""

    stream: str
    batch: int
    first: int
    last: int
    data: bytes


class Gone(msgspec.Struct, frozen=True, array_like=True):
    """Batches that were acknowledged."""

    stream: str
    low: int
    high: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What one write brings to the disk."""

    records: list[Open] = []
    batches: list[Fresh] = []
    gone: list[Gone] = []
    sample: bytes = b""


class Content(msgspec.Struct, frozen=True):
    """What a log holds.

    Attributes:
        entries: In the order in which they were written.
        generation: The newest; 0 for a log that was never written.
        missing: Entries that are not there, though later ones of their generation are.
    """

    entries: list[Entry]
    generation: int = 0
    missing: int = 0


class Full(Exception):  # noqa: N818 - a state that `turn` ends
    """The half has no room for an entry."""


class _Raw(NamedTuple):
    generation: int
    sequence: int
    payload: bytes


_NONE = _Raw(0, 0, b"")
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Entry).decode


class SyncLog:
    """The file, while it is written. One thread at a time."""

    def __init__(self, path: Path, *, after: int = 0, half_bytes: int = HALF_BYTES) -> None:
        """Open or make the file; `turn` must come before the first `write`.

        Args:
            path: Where it is.
            after: The newest generation in it, as `read` found it.
            half_bytes: Length of a half.

        Raises:
            OSError: The disk fails, or has no room.
        """
        self._half_bytes = half_bytes
        self._generation = after
        self._sequence = 0
        self._at = 0
        self._end = 0
        self._dictionary: zstd.ZstdDict | None = None
        self._sample = b""
        if not path.exists() or path.stat().st_size != 2 * half_bytes:
            _make(path, 2 * half_bytes)
        self._fd, self._sector = _open(path)
        self._buffer = mmap.mmap(-1, half_bytes)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._buffer.close()

    def turn(self, entry: Entry) -> None:
        """Begin to write the other half, with an entry that tells again what the half before holds.

        Raises:
            OSError: The disk did not take it; the half before goes on.
            Full: The entry does not fit into a half.
        """
        sample = _sample_of(entry) or self._sample
        head = msgspec.structs.replace(entry, sample=sample)
        before = self._generation, self._sequence, self._at, self._end, self._dictionary
        self._generation += 1
        self._sequence, self._dictionary = 0, None
        self._at = self._generation % 2 * self._half_bytes
        self._end = self._at + self._half_bytes
        try:
            self._write(head)
        except (OSError, Full):
            self._generation, self._sequence, self._at, self._end, self._dictionary = before
            raise
        self._sample = sample
        self._dictionary = _dictionary(sample)

    def write(self, entry: Entry) -> None:
        """Write an entry; when this returns, it is on the disk.

        Raises:
            OSError: The disk did not take it.
            Full: There is no room left in this half.
        """
        if self._dictionary is None and _sample_of(entry):
            raise Full  # begin anew with a sample: what follows then takes a third of the room
        self._write(entry)
        self._sample = _sample_of(entry) or self._sample

    def _write(self, entry: Entry) -> None:
        payload = zstd.compress(_ENCODE(entry), _LEVEL, zstd_dict=self._dictionary)
        covered = _COVERED.pack(self._generation, self._sequence, len(payload))
        checksum = crc32(payload, crc32(covered))
        data = MAGIC + covered + checksum.to_bytes(4, "little") + payload
        size = -(-len(data) // self._sector) * self._sector
        if self._at + size > self._end:
            raise Full
        self._buffer[: len(data)] = data
        self._buffer[len(data) : size] = bytes(size - len(data))
        with memoryview(self._buffer) as view, view[:size] as part:
            if os.pwrite(self._fd, part, self._at) != size:
                raise OSError("the sync log was written in part")
        self._at += size
        self._sequence += 1


def read(path: Path, *, half_bytes: int = HALF_BYTES) -> Content:
    """Read a log, whatever happened to it; one that is not there is empty.

    Raises:
        OSError: The disk fails.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Content([])
    halves = [list(_raws(data[at : at + half_bytes])) for at in (0, half_bytes)]
    newest = max((raw.generation for raws in halves for raw in raws), default=0)
    missing = 0
    for raws in sorted(halves, key=lambda raws: max(raws, default=_NONE).generation, reverse=True):
        if not raws:
            continue
        generation = max(raws).generation
        mine = sorted(raw for raw in raws if raw.generation == generation)
        entries = _unpack(mine)
        missing += mine[-1].sequence + 1 - len(entries)
        if entries:  # its first one told all that the half before had
            return Content(entries, newest, missing)
    return Content([], newest, missing)


def _raws(data: bytes) -> Iterator[_Raw]:
    """Find the entries that hold, of any generation."""
    for at in range(0, len(data), _SECTOR):
        if data[at : at + len(MAGIC)] != MAGIC:
            continue
        _, generation, sequence, length, checksum = _HEAD.unpack_from(data, at)
        payload = data[at + _HEAD.size : at + _HEAD.size + length]
        covered = _COVERED.pack(generation, sequence, length)
        if len(payload) == length and crc32(payload, crc32(covered)) == checksum:
            yield _Raw(generation, sequence, payload)


def _unpack(raws: list[_Raw]) -> list[Entry]:
    """Unpack the entries of one generation, as many as can be; none without the first."""
    entries: list[Entry] = []
    dictionary: zstd.ZstdDict | None = None
    if raws[0].sequence:
        return entries
    for raw in raws:
        inflate = zstd.ZstdDecompressor(zstd_dict=dictionary)
        try:
            entry = _DECODE(inflate.decompress(raw.payload, _UNPACKED_BYTES))
        except (zstd.ZstdError, msgspec.DecodeError):
            continue
        if raw.sequence == 0:
            dictionary = _dictionary(entry.sample)
        entries.append(entry)
    return entries


def _sample_of(entry: Entry) -> bytes:
    """Return some of an entry's records, for later ones to be like."""
    sample = b""
    for part in entry.records:
        room = _SAMPLE_BYTES - len(sample)
        sample += b"\n".join(part.records[-2:])[-room:] if room > 0 else b""
    return sample if len(sample) >= _SHORTEST else b""


def _dictionary(sample: bytes) -> zstd.ZstdDict | None:
    return zstd.ZstdDict(sample, is_raw=True) if sample else None


def _make(path: Path, length: int) -> None:
    """Make the file with all its blocks, so that later writes change nothing but them."""
    fresh = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    try:
        with fresh.open("wb") as file:
            file.write(bytes(length))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    fresh.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _open(path: Path) -> tuple[int, int]:
    """Open the file past the page cache where that can be; return it with its sector's size."""
    flags = os.O_RDWR | os.O_DSYNC | os.O_CLOEXEC
    try:
        fd = os.open(path, flags | os.O_DIRECT)
    except OSError:  # a file system without: the page cache takes part, whole pages are written
        return os.open(path, flags), _SECTOR
    probe = mmap.mmap(-1, _LARGE_SECTOR)
    try:
        with memoryview(probe) as view, view[:_SECTOR] as sector:
            os.preadv(fd, [sector], 0)
    except OSError:
        return fd, _LARGE_SECTOR
    else:
        return fd, _SECTOR
    finally:
        probe.close()
