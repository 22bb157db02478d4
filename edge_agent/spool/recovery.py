"""Put together what a crash left in the journals and in the sync log. Rules only, no IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_agent.spool import journal
from edge_agent.spool.rows import BatchRow, LaneRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edge_agent.spool.synclog import Entry

Records = dict[int, bytes]


class Logged(msgspec.Struct, frozen=True):
    """What a sync log holds.

    Attributes:
        batches: By stream, by number.
        gone: Ranges of batches that were acknowledged, by stream.
        records: By lane and stream: records by number.
    """

    batches: dict[str, list[BatchRow]]
    gone: dict[str, list[tuple[int, int]]]
    records: dict[str, dict[str, Records]]

    def is_gone(self, batch: BatchRow) -> bool:
        """Tell whether a batch was acknowledged."""
        return any(low <= batch.batch <= high for low, high in self.gone.get(batch.stream, []))

    def waiting(self) -> list[BatchRow]:
        """Return the batches that were not acknowledged."""
        return [b for batches in self.batches.values() for b in batches if not self.is_gone(b)]


def gather(entries: Iterable[Entry]) -> Logged:
    """Sort what the entries of a sync log hold; what was told twice is there once."""
    batches: dict[str, dict[int, BatchRow]] = {}
    logged = Logged({}, {}, {})
    for entry in entries:
        for part in entry.records:
            mine = logged.records.setdefault(part.lane, {}).setdefault(part.stream, {})
            mine.update(enumerate(part.records, part.first))
        for fresh in entry.batches:
            row = BatchRow(fresh.stream, fresh.batch, fresh.first, fresh.last, fresh.data)
            batches.setdefault(fresh.stream, {}).setdefault(fresh.batch, row)
        for gone in entry.gone:
            logged.gone.setdefault(gone.stream, []).append((gone.low, gone.high))
    for stream, rows in batches.items():
        logged.batches[stream] = [rows[number] for number in sorted(rows)]
    return logged


def union(
    logged: dict[str, Records],
    contents: Sequence[journal.Content],
    row: LaneRow,
    mark: Callable[[str], int],
) -> dict[str, Records]:
    """Return a lane's open records by stream and number, from wherever they are.

    Args:
        logged: What the sync log has.
        contents: Of the segments.
        row: The lane.
        mark: Returns up to which number a stream's records are in batches.
    """
    known = {stream: dict(records) for stream, records in logged.items()}
    for content in contents:
        mine = known.setdefault(_stream_of(content, known, row), {})
        for run in content.runs:
            mine.update(enumerate(run.records, run.first))
    return {
        stream: still
        for stream, records in known.items()
        if (still := {n: record for n, record in records.items() if n > mark(stream)})
    }


def ahead(contents: Iterable[journal.Content], logged: dict[str, Records], row: LaneRow) -> bool:
    """Tell whether a lane had come further, by the heads of its segments, than anything else knows.

    Not where database, sync log and segments follow on each other.
    """
    covered = max([row.sealed, *logged.get(row.stream, ())])
    for content in sorted(contents, key=lambda each: each.base):
        if content.stream != row.stream:
            continue
        if content.base > covered:
            return True
        last = content.runs[-1].last if content.runs else content.base
        covered = max(covered, last + content.damaged_tail)
    return False


def ended(
    contents: Iterable[journal.Content], known: dict[str, Records], row: LaneRow
) -> dict[str, int]:
    """Return the streams that go on in another one, and how far each had come."""
    tops: dict[str, int] = {}
    for content in contents:
        tops[content.stream] = max(tops.get(content.stream, 0), content.base)
    for stream, records in known.items():
        tops[stream] = max([tops.get(stream, 0), *records])
    return {stream: top for stream, top in tops.items() if stream not in {"", row.stream}}


def missing(records: Records | None, top: int, mark: int) -> list[tuple[int, int]]:
    """Return which numbers above a mark and up to `top` are not there.

    >>> missing({3: b"c", 4: b"d"}, 6, 1)
    [(2, 2), (5, 6)]
    """
    spans: list[tuple[int, int]] = []
    for run in runs(records or {}):
        if run.first > mark + 1:
            spans.append((mark + 1, run.first - 1))
        mark = run.last
    return [*spans, (mark + 1, top)] if top > mark else spans


def fill(content: journal.Content, known: dict[str, Records], row: LaneRow) -> journal.Content:
    """Return a segment with all that is known of its stream, which is used up by that."""
    own = content.runs[-1].last if content.runs else 0
    stream = _stream_of(content, known, row)
    records = known.pop(stream, {})
    last = max(records, default=0)
    return journal.Content(
        content.stream or ("" if content.torn_bytes else stream),
        runs(records),
        content.torn_bytes,
        max(0, content.damaged_tail - max(0, last - own)) if own else content.damaged_tail,
        content.base,
    )


def runs(records: Records) -> list[journal.Run]:
    """Return records as runs of consecutive numbers."""
    found: list[journal.Run] = []
    for number in sorted(records):
        if not found or number != found[-1].last + 1:
            found.append(journal.Run(number, []))
        found[-1].records.append(records[number])
    return found


def _stream_of(content: journal.Content, known: dict[str, Records], row: LaneRow) -> str:
    """Return whose records a segment holds: without a head, the lane's, if it ever had any."""
    if content.stream or not (row.sealed or row.stream in known):
        return content.stream
    return row.stream
