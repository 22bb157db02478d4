"""Look into a store for what is missing, and hold it against what devices made."""

from __future__ import annotations

import msgspec
from sqlalchemy import func, select

from edge_agent.clock import iso
from edge_agent.collector.gaps import GapState
from edge_agent.collector.reading import Reader
from edge_agent.collector.stores.gaps import gap_of
from edge_agent.collector.tables import GAPS, INSPECTIONS, STREAMS


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A gap as it is shown.

    Attributes:
        device: Whose.
        stream: Which stream.
        kind: What its records are; empty if that is not known.
        first_batch: First batch that is missing.
        last_batch: Last one; less than the first if no batch is missing, but records are.
        first: First record that is missing.
        last: Last one.
        state: How it stands.
        found: When it was found, ISO 8601.
        asked: How often the device was asked.
        asked_last: When it was asked last, ISO 8601; empty if it was not.
    """

    device: str
    stream: str
    kind: str
    first_batch: int
    last_batch: int
    first: int
    last: int
    state: GapState
    found: str
    asked: int
    asked_last: str


class Tally(msgspec.Struct, frozen=True):
    """What is stored of a stream of inspections.

    Attributes:
        rows: Rows.
        numbers: Different record numbers among them.
        first: The lowest.
        last: The highest.
    """

    rows: int
    numbers: int
    first: int
    last: int


class Audit(Reader):
    """A store that is looked into for what should be there."""

    def gaps(self, *, limit: int = 10_000) -> list[Missing]:
        """Return the gaps, those that may still be filled first."""
        query = (
            select(GAPS, STREAMS.c.kind)
            .outerjoin(
                STREAMS, (STREAMS.c.device == GAPS.c.device) & (STREAMS.c.stream == GAPS.c.stream)
            )
            .order_by(
                GAPS.c.state != GapState.OPEN.value,
                GAPS.c.device, GAPS.c.stream, GAPS.c.first_batch,
            )
            .limit(limit)
        )  # fmt: skip
        found = []
        for row in self._rows(query):
            gap = gap_of(row)
            found.append(
                Missing(
                    device=gap.device, stream=gap.stream, kind=row.kind or "",
                    first_batch=gap.hole.first_batch, last_batch=gap.hole.last_batch,
                    first=gap.hole.first, last=gap.hole.last, state=gap.state,
                    found=iso(gap.found_ns), asked=gap.asked,
                    asked_last=iso(gap.asked_ns) if gap.asked_ns else "",
                )
            )  # fmt: skip
        return found

    def tally(self, device: str, stream: str) -> Tally:
        """Count what is stored of a stream of inspections."""
        number = INSPECTIONS.c.number
        query = select(
            func.count().label("rows"),
            func.count(number.distinct()).label("numbers"),
            func.coalesce(func.min(number), 0).label("first"),
            func.coalesce(func.max(number), 0).label("last"),
        ).where(INSPECTIONS.c.device == device, INSPECTIONS.c.stream == stream)
        (row,) = self._rows(query)
        return Tally(row.rows, row.numbers, row.first, row.last)

    def numbers(self, device: str, stream: str) -> list[int]:
        """Return the record numbers that are stored of a stream of inspections, in order."""
        query = (
            select(INSPECTIONS.c.number)
            .where(INSPECTIONS.c.device == device, INSPECTIONS.c.stream == stream)
            .order_by(INSPECTIONS.c.number)
        )
        return [row.number for row in self._rows(query)]
