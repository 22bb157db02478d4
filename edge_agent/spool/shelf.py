"""Batches that the sync log has and the database has not: most are acknowledged before they must.

A commit of the database costs the disk a dozen pages; a batch that the collector has a second later
need never go there. What stays goes there with others, in one commit (`Kept.settle`).

Invariant, held by a test of its name in tests/unit/spool/test_shelf.py:

1. *bounded*: `is_full` says when it must be cleared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.spool.database import Holding, SealedBatch
from edge_agent.spool.rows import BatchRow, LaneRow

if TYPE_CHECKING:
    from collections.abc import Sequence

_FULL_BYTES = 2**20
_FULL_BATCHES = 1000


class Shelf:
    """Fresh batches by stream and number. Who holds the database's lock may call it.

    Attributes:
        rows: The lanes whose marks the database does not know, by stream.
    """

    def __init__(self) -> None:
        self.rows: dict[str, LaneRow] = {}
        self._batches: dict[str, dict[int, BatchRow]] = {}
        self._bases: dict[str, int] = {}
        self._count = 0
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it must be cleared."""
        return self._bytes >= _FULL_BYTES or self._count >= _FULL_BATCHES

    def put(self, row: LaneRow, batch: BatchRow) -> None:
        """Put a batch on the shelf that the sync log has; `row` has its marks already."""
        self.rows[row.stream] = row
        self._bases.setdefault(row.stream, batch.batch - 1)
        self._batches.setdefault(row.stream, {})[batch.batch] = batch
        self._count += 1
        self._bytes += len(batch.data)

    def base(self, row: LaneRow) -> int:
        """Return the number of a lane's last batch that the database was given."""
        return self._bases.get(row.stream, row.batches)

    def all(self, stream: str) -> list[BatchRow]:
        """Return a stream's batches, oldest first."""
        return list(self._batches.get(stream, {}).values())

    def pending(self, row: LaneRow, *, after: int, limit: int) -> list[SealedBatch]:
        """Return the oldest batches of a lane whose number is above `after`."""
        newer = [each for each in self.all(row.stream) if each.batch > after][:limit]
        return [
            SealedBatch(row.kind, each.stream, each.batch, each.first, each.last, each.data)
            for each in newer
        ]

    def acknowledge(self, stream: str, ranges: Sequence[tuple[int, int]]) -> Holding:
        """Forget batches; return what that freed."""
        freed = Holding()
        waiting = self._batches.get(stream, {})
        for low, high in ranges:
            for number in [number for number in waiting if low <= number <= high]:
                gone = waiting.pop(number)
                freed.batches += 1
                freed.records += gone.last - gone.first + 1
                freed.bytes += len(gone.data)
        self._count -= freed.batches
        self._bytes -= freed.bytes
        return freed

    def clear(self) -> None:
        """Forget all: the database has it."""
        self.rows.clear()
        self._batches.clear()
        self._bases.clear()
        self._count = self._bytes = 0
