"""Records that wait in memory because the disk does not take them. No IO.

Invariants, each held by a test of its name in tests/unit/spool/test_ring.py:

1. *bounded*: the records held never exceed the limit, counted in bytes.
2. *the least important go first*: for room, the oldest record of the last lane that holds any is
   dropped; a record is never dropped for one of a less important lane.
3. *dropped is counted*: what was dropped of a lane came before what the lane still holds, and is
   told before that is given out.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_OVERHEAD_BYTES = 64
"""What a record costs beside its bytes: the object and its place."""


class Ring:
    """A bounded memory for records of several lanes. Any thread may call it.

    Args:
        lanes: Names, the most important first.
        limit_bytes: What it may hold; 0 holds nothing.
    """

    def __init__(self, lanes: Sequence[str], limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held: dict[str, deque[bytes]] = {name: deque() for name in lanes}
        self._dropped = dict.fromkeys(lanes, 0)
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """What it holds."""
        return self._bytes

    def count(self, lane: str) -> int:
        """Return how many records of a lane wait."""
        return len(self._held[lane])

    def dropped(self, lane: str) -> int:
        """Return how many records of a lane were dropped and not told yet."""
        return self._dropped[lane]

    def put(self, lane: str, record: bytes) -> bool:
        """Hold a record, and drop less important ones for it; False if it is itself dropped."""
        cost = len(record) + _OVERHEAD_BYTES
        with self._lock:
            while self._bytes + cost > self._limit:
                victim = self._victim(lane) if cost <= self._limit else None
                if victim is None:
                    self._drop_newest(lane)
                    return False
                self._bytes -= len(self._held[victim].popleft()) + _OVERHEAD_BYTES
                self._dropped[victim] += 1
            self._held[lane].append(record)
            self._bytes += cost
        return True

    def take(self, lane: str, limit: int) -> tuple[int, list[bytes]]:
        """Take the oldest records of a lane out, or tell first how many were dropped before them.

        Returns:
            How many were dropped, and nothing else while that is not 0; and the records.
        """
        with self._lock:
            dropped = self._dropped[lane]
            if dropped:
                self._dropped[lane] = 0
                return dropped, []
            held = self._held[lane]
            records = [held.popleft() for _ in range(min(limit, len(held)))]
            self._bytes -= sum(len(record) + _OVERHEAD_BYTES for record in records)
            return 0, records

    def put_back(self, lane: str, dropped: int, records: Sequence[bytes]) -> None:
        """Undo a `take`: these come before what the lane holds."""
        with self._lock:
            if records and self._dropped[lane]:  # what came later was dropped: so are these
                dropped, records = dropped + len(records), ()
            self._dropped[lane] += dropped
            self._held[lane].extendleft(reversed(records))
            self._bytes += sum(len(record) + _OVERHEAD_BYTES for record in records)

    def _victim(self, lane: str) -> str | None:
        """Return the least important lane that holds something, down to this one."""
        for name in reversed(self._held):
            if self._held[name]:
                return name
            if name == lane:
                return None
        return None

    def _drop_newest(self, lane: str) -> None:
        """Count a record that finds no room; what its lane holds went before, so goes too."""
        held = self._held[lane]
        self._bytes -= sum(len(record) + _OVERHEAD_BYTES for record in held)
        self._dropped[lane] += len(held) + 1
        held.clear()
