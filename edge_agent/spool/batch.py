"""The layout of a sealed batch: the one place where it is written and read.

A zstd frame: a header, one line of JSON, then the records, as lines (`edge/batch/1`) or in columns
(`edge/batch/2`). docs/wire.md is the contract. Nothing here does IO.

Invariants, each held by a test of its name in tests/unit/spool/test_batch.py:

1. *what is encoded comes back*: byte for byte, whatever the records are; `encode` reads what it
   wrote, and sends lines where columns would change or grow anything. It refuses nothing.
2. *old batches are read*: every schema that was ever sent, held by tests/samples/.
3. *no payload does more than raise a wire error*: in time and memory bounded by `limit_bytes`,
   `RECORDS_MOST` and `edge_agent.columns.shredding.VALUES`.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent.columns import shredding
from edge_agent.errors import WireError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = "edge/batch/1"
SCHEMA_COLUMNS = "edge/batch/2"
CONTENT_TYPE = "application/vnd.edge.batch+ndjson"
CONTENT_TYPE_COLUMNS = "application/vnd.edge.batch+columns"
ENCODING = "zstd"
LIMIT_BYTES = 64 * 2**20
RECORDS_MOST = 100_000
HEADER_BYTES = 64 * 2**10
_COLUMNS_FROM = 4  # records: fewer have too little in common
_LINES_TO = 32  # records: with so few, lines may still be smaller
_CHUNK_BYTES = 200  # from here on a chunk of numbers gets a block of its own, with its own tables
_Number = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Reason = Literal["evicted", "damaged", "dropped"]
_WINDOW_LOG_MAX = 23  # 8 MiB: what a decoder must spend on a frame made by a stranger


class Loss(msgspec.Struct, frozen=True, omit_defaults=True):
    """A notice that records are gone from the device.

    Attributes:
        first: Number of the first record that is gone.
        last: Number of the last one.
        reason: `evicted` (the quota was reached), `damaged` (the disk gave back other bytes) or
            `dropped` (the disk took nothing for so long that the memory was full).
        stream: The stream they belong to, where it is not the batch's own but one that ended.
    """

    first: _Number
    last: _Number
    reason: Reason
    stream: Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{0,64}$")] = ""


class Header(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The first line of a batch.

    Attributes:
        schema: The layout, `edge/batch/1` or `edge/batch/2`; `encode` chooses.
        stream: The id that the lane got when its spool was new.
        batch: 1, 2, 3, ... in the stream.
        kind: What the records are; the last level of the topic too.
        first: Number of the first record.
        last: Number of the last record.
        count: Records that follow: `last - first + 1`.
        digest: Of the records; see `digest_of`. Batches of before have none.
        lost: What went missing on the device since the last batch that told so.
    """

    schema: str
    stream: Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{1,64}$")]
    batch: _Number
    kind: Annotated[str, Meta(pattern="^[a-z][a-z0-9_-]{0,31}$")]
    first: _Number
    last: _Number
    count: _Number
    digest: Annotated[str, Meta(pattern="^([0-9a-f]{32})?$")] = ""
    lost: tuple[Loss, ...] = ()


_HEADER = msgspec.json.Decoder(Header)


def encode(header: Header, records: Sequence[bytes], *, level: int) -> bytes:
    """Seal records under a header, in columns where that is smaller.

    Args:
        header: Its schema and digest are filled in.
        records: At least one, each one line.
        level: Of zstd.
    """
    digest = digest_of(records)
    columns = _in_columns(header, records, digest, level)
    if columns is not None and len(records) > _LINES_TO:
        return columns
    told = msgspec.structs.replace(header, schema=SCHEMA, digest=digest)
    lines = zstd.compress(b"\n".join([msgspec.json.encode(told), *records, b""]), level)
    return columns if columns is not None and len(columns) < len(lines) else lines


def _in_columns(header: Header, records: Sequence[bytes], digest: str, level: int) -> bytes | None:
    """Lay records out in columns; None where that gains nothing or cannot be done."""
    if len(records) < _COLUMNS_FROM or any(b"\n" in record for record in records):
        return None
    chunks = shredding.write(records)
    if chunks is None or not _is_reversible(chunks, records):
        return None
    told = msgspec.structs.replace(header, schema=SCHEMA_COLUMNS, digest=digest)
    deflate = zstd.ZstdCompressor(level=level)
    parts = []
    for chunk in (msgspec.json.encode(told) + b"\n", *chunks):
        if len(chunk) >= _CHUNK_BYTES:
            parts.append(deflate.compress(chunk, deflate.FLUSH_BLOCK))
        else:
            parts.append(deflate.compress(chunk))
    return b"".join([*parts, deflate.flush()])


def _is_reversible(chunks: Sequence[bytes], records: Sequence[bytes]) -> bool:
    """Make sure that a reader gets the very records: what was sealed cannot be told again."""
    try:
        found = shredding.read(b"".join(chunks), 0, count=len(records), limit_bytes=LIMIT_BYTES)
    except WireError:
        return False
    return found == list(records)


def digest_of(records: Sequence[bytes]) -> str:
    """Return BLAKE2b-128 of the records, each ended by a line end, in hexadecimal digits."""
    return hashlib.blake2b(b"\n".join([*records, b""]), digest_size=16).hexdigest()


def content_type(payload: bytes) -> str:
    """Tell how our own batch is laid out, as the MQTT content type."""
    start = zstd.ZstdDecompressor().decompress(payload, 64)
    return CONTENT_TYPE_COLUMNS if SCHEMA_COLUMNS.encode() in start else CONTENT_TYPE


def decode(payload: bytes, *, limit_bytes: int = LIMIT_BYTES) -> tuple[Header, list[bytes]]:
    """Read a batch that came from somewhere else, of any schema that was ever sent.

    Args:
        payload: The zstd frame.
        limit_bytes: Refuse a batch that is larger than this once it is decompressed, or put
            together from its columns.

    Raises:
        WireError: It breaks the layout; the text says where.
    """
    text = _inflate(payload, limit_bytes)
    end = text.find(b"\n", 0, HEADER_BYTES)
    if end < 0:
        raise WireError(f"batch: no header line within {HEADER_BYTES} bytes")
    header = _read_header(text[:end])
    if header.schema == SCHEMA:
        records = _read_lines(text, end + 1)
    else:
        records = shredding.read(text, end + 1, count=header.count, limit_bytes=limit_bytes)
    if header.count != len(records):
        raise WireError(f"batch: {len(records)} records where the header says {header.count}")
    if header.digest and header.digest != digest_of(records):
        raise WireError("batch: the digest of its records is not the one in the header")
    return header, records


def _read_header(line: bytes) -> Header:
    try:
        header = _HEADER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"batch: the header line cannot be read: {error}") from error
    if header.schema not in {SCHEMA, SCHEMA_COLUMNS}:
        raise WireError(
            f"batch: schema {header.schema[:64]!r} is not {SCHEMA!r} or {SCHEMA_COLUMNS!r}"
        )
    if header.schema == SCHEMA_COLUMNS and not header.digest:
        raise WireError("batch: columns without a digest")
    if header.last - header.first + 1 != header.count:
        raise WireError(
            f"batch: the header says {header.count} records, {header.first} to {header.last}"
        )
    if header.count > RECORDS_MOST:
        raise WireError(f"batch: {header.count} records where {RECORDS_MOST} are the most")
    return header


def _read_lines(text: bytes, at: int) -> list[bytes]:
    if not text.endswith(b"\n"):
        raise WireError("batch: it does not end with a line end")
    if text.count(b"\n", at) > RECORDS_MOST:
        raise WireError(f"batch: more than {RECORDS_MOST} lines")
    return text[at:].split(b"\n")[:-1]


def _inflate(payload: bytes, limit_bytes: int) -> bytes:
    """Decompress one frame, and never more than the limit."""
    options = {int(zstd.DecompressionParameter.window_log_max): _WINDOW_LOG_MAX}
    inflate = zstd.ZstdDecompressor(options=options)
    try:
        text = inflate.decompress(payload, limit_bytes + 1)
    except zstd.ZstdError as error:
        raise WireError(f"batch: not a zstd frame: {error}") from error
    if len(text) > limit_bytes:
        raise WireError(f"batch: more than {limit_bytes} bytes once decompressed")
    if not inflate.eof or inflate.unused_data:
        raise WireError("batch: the zstd frame is cut short or followed by other bytes")
    return text
