"""The batches of one lane that wait for their acknowledgement: rules only, no IO.

Invariants, each held by a test of its name in tests/unit/uplink/test_window.py:

1. *bounded*: at most `limit` batches are in flight.
2. *oldest first*: batches are taken in, and offered again, in the order of their numbers.
3. *again until acknowledged*: a batch leaves only by its acknowledgement; until then it is due
   again after the timeout, which doubles up to its maximum.
4. *not twice on one way*: the timeout begins when the broker has the batch. On a slow link it may
   be long on its way, and sent again it would only come behind itself.
5. *a new link starts over*: everything in flight is due at once, with the first timeout; or only
   what the broker did not have, where bytes are dear and the broker remembers.
6. *wanted is due*: what the collector misses is due at once if it is in flight; what is neither in
   flight nor to come is gone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Protocol

import msgspec

_MOMENT_S = 0.2


class Sealed(Protocol):
    """A batch as the uplink sees it."""

    @property
    def kind(self) -> str:
        """Last level of its topic."""

    @property
    def stream(self) -> str:
        """The stream it belongs to."""

    @property
    def batch(self) -> int:
        """Its number in the stream."""

    @property
    def data(self) -> bytes:
        """What is sent."""

    @property
    def content_type(self) -> str:
        """What `data` is, as the MQTT content type."""

    @property
    def encoding(self) -> str:
        """How `data` is compressed."""


class _Flight(msgspec.Struct):
    batch: Sealed
    due_at: float
    timeout_s: float
    sent_at: float
    is_at_broker: bool = False


class Window:
    """Batches in flight.

    Args:
        limit: How many may be in flight.
        timeout_s: How long the collector gets, from when the broker has a batch.
        timeout_max_s: The most that grows to, and how long the broker gets.

    Attributes:
        cursor: Number of the newest batch that was taken in; the next one is above it.
    """

    def __init__(self, limit: int, *, timeout_s: float, timeout_max_s: float) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._timeout_max_s = timeout_max_s
        self._flights: dict[int, _Flight] = {}
        self.cursor = 0

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def room(self) -> int:
        """How many batches may be taken in."""
        return self._limit - len(self._flights)

    def take(self, batch: Sealed, now: float) -> None:
        """Take a batch in that is sent now."""
        assert self.room > 0
        assert batch.batch > self.cursor
        self.cursor = batch.batch
        due_at = now + max(self._timeout_s, self._timeout_max_s)
        self._flights[batch.batch] = _Flight(batch, due_at, self._timeout_s, now)

    def arrived(self, number: int, now: float) -> None:
        """Begin to wait for the collector: the broker has the batch."""
        flight = self._flights.get(number)
        if flight is not None:
            flight.due_at = now + flight.timeout_s
            flight.is_at_broker = True

    def due(self, now: float) -> list[Sealed]:
        """Return what must be sent again."""
        return [flight.batch for flight in self._flights.values() if flight.due_at <= now]

    def again(self, number: int, now: float) -> None:
        """Note that a batch is sent again now."""
        flight = self._flights[number]
        flight.timeout_s = min(2 * flight.timeout_s, self._timeout_max_s)
        flight.due_at = now + max(flight.timeout_s, self._timeout_max_s)
        flight.sent_at = now
        flight.is_at_broker = False

    def next_due_at(self) -> float | None:
        """Return when `due` will have something; None if nothing is in flight."""
        return min((flight.due_at for flight in self._flights.values()), default=None)

    def acknowledge(self, low: int, high: int) -> int:
        """Let go of the batches from `low` to `high`; return how many were in flight."""
        if low == high:
            return int(self._flights.pop(low, None) is not None)
        gone = [number for number in self._flights if low <= number <= high]
        for number in gone:
            del self._flights[number]
        return len(gone)

    def restart(self, now: float) -> None:
        """Begin again on a new link: all is due, in order, with the first timeout."""
        for flight in self._flights.values():
            flight.due_at = now
            flight.timeout_s = self._timeout_s / 2  # `again` doubles it

    def resume(self, now: float) -> None:
        """Go on over a new link to a broker that knows us still: what it has is not due earlier."""
        for flight in self._flights.values():
            if not flight.is_at_broker:
                flight.due_at = now
                flight.timeout_s = max(self._timeout_s, flight.timeout_s) / 2

    def want(self, ranges: Sequence[tuple[int, int]], now: float) -> list[tuple[int, int]]:
        """Make what is wanted due at once, and return the ranges of it that are gone.

        What lies above the cursor is on its way, and so is what was sent a moment ago.

        Args:
            ranges: First and last number of each, in order, none touching another.
            now: The time.
        """
        flying = sorted(self._flights)
        gone: list[tuple[int, int]] = []
        for low, high in ranges:
            first = low
            for number in flying[bisect_left(flying, low) : bisect_right(flying, high)]:
                if number > first:
                    gone.append((first, number - 1))
                first = number + 1
                flight = self._flights[number]
                if now - flight.sent_at >= _MOMENT_S:
                    flight.due_at = min(flight.due_at, now)
            if first <= min(high, self.cursor):
                gone.append((first, min(high, self.cursor)))
        return gone


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put ranges in order, and those together that overlap or touch.

    >>> merged([(5, 6), (1, 3), (2, 4), (9, 9)])
    [(1, 6), (9, 9)]
    """
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found
