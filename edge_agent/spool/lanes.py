"""The lanes of a spool, and how they stand: values only."""

from __future__ import annotations

import msgspec


class Lane(msgspec.Struct, frozen=True):
    """A kind of record with numbers of its own.

    Attributes:
        name: Its name, in stats and in the names of its journal files.
        kind: What its records are, as the wire calls them.
        urgent: Seal each record at once.
        share: How much of a byte budget its batches may use, 0 to 1; urgent ones ask for none.
    """

    name: str
    kind: str
    urgent: bool = False
    share: float = 1.0


class Backlog(msgspec.Struct, frozen=True):
    """What the collector has not acknowledged yet.

    Attributes:
        records: Records, those of open batches and in memory included.
        batches: Sealed batches.
        bytes: Bytes of sealed batches and journals.
    """

    records: int
    batches: int
    bytes: int


class LaneStats(msgspec.Struct, frozen=True):
    """How a lane stands.

    Attributes:
        kind: What its records are.
        stream: Its stream id; empty while the disk could not be read yet.
        appended: Number of the last record.
        sealed: Number of the last record that is in a batch.
        batches: Number of the last batch.
        evicted: Records evicted since the stream began.
        damaged: Records lost to damage since the stream began.
        dropped: Records that no disk took until the memory was full, since the stream began.
        in_memory: Records that wait in memory for the disk; they have no number yet.
        backlog: What waits.
    """

    kind: str
    stream: str
    appended: int
    sealed: int
    batches: int
    evicted: int
    damaged: int
    dropped: int
    in_memory: int
    backlog: Backlog


class Damage(msgspec.Struct, frozen=True):
    """Damage that was found and mended.

    Attributes:
        text: Which file, what became of it, how much is gone.
        at_ns: Monotonic time when it was found.
    """

    text: str
    at_ns: int


class Stats(msgspec.Struct, frozen=True):
    """How the spool stands.

    Attributes:
        lanes: By name.
        faults: Times that sealing or syncing failed and was tried again.
        error: The last failure, until the disk works again; else empty.
        torn_bytes: Bytes of unfinished writes that were dropped when the spool was opened.
        damages: The newest damages, the newest last.
    """

    lanes: dict[str, LaneStats]
    faults: int
    error: str
    torn_bytes: int
    damages: tuple[Damage, ...] = ()
