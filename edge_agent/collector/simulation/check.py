"""Hold what simulated devices made against what a store has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from edge_agent.collector.audit import Audit
    from edge_agent.collector.simulation.fleet import Fleet


class Finding(msgspec.Struct, frozen=True):
    """What the store has of what was made.

    Attributes:
        stored: Records of this fleet in the store.
        lost: Records that were acknowledged and are not there.
        doubled: Rows that are there once too often.
        strange: Records that are there and were never made.
    """

    stored: int = 0
    lost: int = 0
    doubled: int = 0
    strange: int = 0

    @property
    def is_right(self) -> bool:
        """Whether nothing is lost, doubled or strange."""
        return not (self.lost or self.doubled or self.strange)


def check(fleet: Fleet, audit: Audit) -> Finding:
    """Compare each device's records with the rows of the store, by their numbers."""
    total = Finding()
    for name, source in fleet.streams():
        tally = audit.tally(name, source.stream)
        if (tally.rows, tally.numbers, tally.first, tally.last) == (source.made,) * 2 + (
            min(1, source.made),
            source.made,
        ):
            total = _sum(total, Finding(stored=tally.rows))
            continue
        found = audit.numbers(name, source.stream)
        numbers = set(found)
        waiting = {
            n for low, high in source.unacknowledged() for n in range(low, high + 1)
        }  # stored or not: nobody was told
        made = set(range(1, source.made + 1))
        total = _sum(
            total,
            Finding(
                stored=len(numbers & made),
                lost=len(made - waiting - numbers),
                doubled=len(found) - len(numbers),
                strange=len(numbers - made),
            ),
        )
    return total


def _sum(one: Finding, other: Finding) -> Finding:
    pairs = zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
    return Finding(*(a + b for a, b in pairs))
