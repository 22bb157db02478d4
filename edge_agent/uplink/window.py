"""The batches of one lane that wait for their acknowledgement: rules only, no IO.

Invariants, each held by a test of its name in tests/unit/uplink/test_window.py:

1. *bounded*: at most `limit` batches are in flight.
2. *oldest first*: batches are taken in, and offered again, in the order of their numbers.
3. *again until acknowledged*: a batch leaves only by its acknowledgement; until then it is due
   again after the timeout, which doubles up to its maximum.
4. *a new link starts over*: everything in flight is due at once, with the first timeout.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


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


class Window:
    """Batches in flight.

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
        """Take a batch in that was just sent."""
        assert self.room > 0
        assert batch.batch > self.cursor
        self.cursor = batch.batch
        self._flights[batch.batch] = _Flight(batch, now + self._timeout_s, self._timeout_s)

    def due(self, now: float) -> list[Sealed]:
        """Return what must be sent again now, and count on it being sent."""
        due = [flight for flight in self._flights.values() if flight.due_at <= now]
        for flight in due:
            flight.timeout_s = min(2 * flight.timeout_s, self._timeout_max_s)
            flight.due_at = now + flight.timeout_s
        return [flight.batch for flight in due]

    def next_due_at(self) -> float | None:
        """Return when `due` will have something; None if nothing is in flight."""
        return min((flight.due_at for flight in self._flights.values()), default=None)

    def acknowledge(self, low: int, high: int) -> int:
        """Let go of the batches from `low` to `high`; return how many were in flight."""
        gone = [number for number in self._flights if low <= number <= high]
        for number in gone:
            del self._flights[number]
        return len(gone)

    def restart(self, now: float) -> None:
        """Begin again on a new link: all is due, in order, with the first timeout."""
        for flight in self._flights.values():
            flight.due_at = now
            flight.timeout_s = self._timeout_s / 2  # `due` doubles it
