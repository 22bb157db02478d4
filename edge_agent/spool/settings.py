"""What may be set about the spool."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The spool's settings (section `spool`)."""

    sync_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=60_000,
            description="How often records are synced to the disk; a power cut loses at most this "
            "much. 0 syncs each record before its verdict leaves, at the price of its cycle time.",
            extra={"unit": "ms"},
        ),
    ] = 200
    batch_records: Annotated[
        int, Meta(ge=1, le=100_000, description="Seal a batch that has this many records.")
    ] = 500
    batch_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=16 * 2**20,
            description="Seal a batch that has this many bytes before compression.",
            extra={"unit": "bytes"},
        ),
    ] = 512 * 2**10
    batch_age_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=3_600_000,
            description="Seal a batch whose first record is this old.",
            extra={"unit": "ms"},
        ),
    ] = 2000
    quota_bytes: Annotated[
        int,
        Meta(
            ge=2**20,
            le=2**40,
            description="Disk that waiting records may take; beyond it the oldest batches of the "
            "least important lane are evicted, counted and reported.",
            extra={"unit": "bytes"},
        ),
    ] = 256 * 2**20
    memory_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=2**30,
            description="Memory for records that the disk does not take (full, read-only, gone): "
            "verdicts go out meanwhile, and an alarm says so. With 0 such a part is `invalid`.",
            extra={"unit": "bytes"},
        ),
    ] = 8 * 2**20
    zstd_level: Annotated[
        int, Meta(ge=1, le=19, description="Compression of a batch: higher is smaller and slower.")
    ] = 6
