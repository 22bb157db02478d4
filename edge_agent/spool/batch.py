"""The layout of a sealed batch: the one place where it is written and read.

A zstd frame of newline-terminated lines: a JSON header, then one record a line. docs/wire.md is
the contract. Nothing here does IO.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent.errors import WireError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = "edge/batch/1"
CONTENT_TYPE = "application/vnd.edge.batch+ndjson"
ENCODING = "zstd"
LIMIT_BYTES = 64 * 2**20
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
        schema: The layout, `edge/batch/1`.
        stream: The id that the lane got when its spool was new.
        batch: 1, 2, 3, ... in the stream.
        kind: What the records are; the last level of the topic too.
        first: Number of the first record.
        last: Number of the last record.
        count: Records that follow, one a line: `last - first + 1`.
        lost: What went missing on the device since the last batch that told so.
    """

    schema: str
    stream: Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{1,64}$")]
    batch: _Number
    kind: Annotated[str, Meta(pattern="^[a-z][a-z0-9_-]{0,31}$")]
    first: _Number
    last: _Number
    count: _Number
    lost: tuple[Loss, ...] = ()


_HEADER = msgspec.json.Decoder(Header)


def encode(header: Header, records: Sequence[bytes], *, level: int) -> bytes:
    """Seal records under a header."""
    lines = [msgspec.json.encode(header), *records, b""]
    return zstd.compress(b"\n".join(lines), level)


def decode(payload: bytes, *, limit_bytes: int = LIMIT_BYTES) -> tuple[Header, list[bytes]]:
    """Read a batch that came from somewhere else.

    Args:
        payload: The zstd frame.
        limit_bytes: Refuse a batch that is larger than this once it is decompressed.

    Raises:
        WireError: It breaks the layout; the text says where.
    """
    lines = _inflate(payload, limit_bytes).split(b"\n")
    try:
        header = _HEADER.decode(lines[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"batch: the header line cannot be read: {error}") from error
    if header.schema != SCHEMA:
        raise WireError(f"batch: schema {header.schema[:64]!r} is not {SCHEMA!r}")
    if lines.pop() != b"":
        raise WireError("batch: it does not end with a line end")
    records = lines[1:]
    if header.count != len(records) or header.last - header.first + 1 != header.count:
        raise WireError(
            f"batch: {len(records)} records where the header says {header.count} "
            f"({header.first} to {header.last})"
        )
    return header, records


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
