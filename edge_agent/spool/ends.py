"""The open end of a lane: what `append` and the sealing thread share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from edge_agent.spool import journal
from edge_agent.spool.database import Holding
from edge_agent.spool.lanes import Backlog, Lane, LaneStats
from edge_agent.spool.rows import LaneRow

if TYPE_CHECKING:
    from edge_agent.spool.ring import Ring
    from edge_agent.spool.segment import Segment
    from edge_agent.spool.settings import SpoolSettings


class End:
    """The open end of a lane: what `append` needs, and no more.

    Attributes:
        lock: Held for assignments and one write.
        waits: Records go to memory, behind those that are there.
        segment: Being written; None while there is no disk, and for a former lane.
        spare: Made ahead, so that changing over is an assignment.
        retired: Full, waiting to be sealed in this order.
    """

    def __init__(self, lane: Lane, settings: SpoolSettings) -> None:
        self.lane = lane
        self.row = LaneRow(0, lane.name, lane.kind, "")
        self.holding = Holding()
        self.lock = threading.RLock()
        self.next_number = 1
        self.seal_at_records = 1 if lane.urgent else settings.batch_records
        self.seal_at_bytes = settings.batch_bytes
        self.waits = True
        self.segment: Segment | None = None
        self.spare: Segment | None = None
        self.retired: list[Segment] = []

    def segments(self) -> list[Segment]:
        """Return what holds its open records, oldest first."""
        with self.lock:
            return [*self.retired, *([self.segment] if self.segment else [])]

    def forget(self, freed: Holding) -> None:
        """Count off batches that are not there any more."""
        self.holding.batches -= freed.batches
        self.holding.records -= freed.records
        self.holding.bytes -= freed.bytes

    def stats(self, ring: Ring | None) -> LaneStats:
        """Tell how the lane stands; a former lane has no memory to wait in."""
        row, holding = self.row, self.holding
        with self.lock:
            appended = self.next_number - 1
            journal_bytes = sum(each.size - journal.HEAD_BYTES for each in self.segments())
        in_memory = ring.count(self.lane.name) if ring else 0
        untold = ring.dropped(self.lane.name) if ring else 0
        backlog = Backlog(
            holding.records + max(0, appended - row.sealed) + in_memory,
            holding.batches,
            holding.bytes + journal_bytes,
        )
        return LaneStats(
            row.kind, row.stream, appended, row.sealed, row.batches, row.evicted, row.damaged,
            row.dropped + untold, in_memory, backlog,
        )  # fmt: skip
