"""What starts a capture: the camera's own takt, or an order.

Invariants:

1. Free run follows one schedule, `start + n * takt`: waiting late never moves later deadlines,
   so the takt does not drift.
2. A line does not wait (`Late.LOSE`): its parts keep coming at the takt though nobody reads. A
   camera keeps `queue` captures for a late reader; older ones are lost, and their sequence
   numbers stay out: a hole that can be seen.
3. A file waits (`Late.WAIT`): no capture is lost; a late reader starts a new schedule from now.
4. Each order (`trigger`) gives exactly one slot, at the time of the order. Beyond `queue`
   orders that wait, the oldest are lost, and their numbers stay out.
5. Sequence numbers and capture times only grow.
6. `stop` ends a wait at once, from any thread.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from typing import Protocol

import msgspec

from edge_agent.clock import Stamp, now

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000


class Trigger(enum.StrEnum):
    """What starts a capture."""

    FREE_RUN = "free_run"
    SOFTWARE = "software"


class Late(enum.StrEnum):
    """What becomes of parts when the reader is late in free run."""

    LOSE = "lose"
    WAIT = "wait"


class Slot(msgspec.Struct, frozen=True):
    """One capture: its number since the start, and when its light is taken."""

    sequence: int
    captured: Stamp


class Schedule(msgspec.Struct, frozen=True):
    """A free-running takt; a pure value.

    Attributes:
        start_ns: Monotonic time of capture `first`.
        takt_ns: Time between captures; 0 means: as fast as they are read.
        first: Sequence number of the capture at `start_ns`.
    """

    start_ns: int
    takt_ns: int
    first: int = 1

    def deadline_ns(self, sequence: int) -> int:
        """Return the monotonic time of a capture."""
        return self.start_ns + (sequence - self.first) * self.takt_ns

    def next_kept(self, last: int, *, now_ns: int, queue: int) -> int:
        """Return the sequence number of the next capture that a reader can still have.

        >>> takt = Schedule(start_ns=0, takt_ns=10)
        >>> takt.next_kept(1, now_ns=12, queue=2)  # capture 2, at 10, has just been taken
        2
        >>> takt.next_kept(1, now_ns=55, queue=2)  # 2 to 6 are taken; 5 and 6 are still kept
        5
        """
        if self.takt_ns == 0:
            return last + 1
        newest = self.first + (now_ns - self.start_ns) // self.takt_ns
        return max(last + 1, newest - queue + 1)


class Pacer(Protocol):
    """Says when captures happen. One thread waits; any thread may trigger and stop."""

    def start(self) -> None:
        """Begin with sequence number 1."""

    def approach(self, lead_s: float, timeout_s: float) -> bool:
        """Wait until so long before the next capture; False when that is not in time."""

    def wait(self, timeout_s: float) -> Slot | None:
        """Wait for the next capture; None when none came in time, or when stopped."""

    def trigger(self) -> None:
        """Order one capture; nothing happens in free run."""

    def stop(self) -> None:
        """End every wait; may be called twice."""


class FreeRun:
    """Captures at a takt (see the invariants of this module)."""

    def __init__(self, takt_ms: float, *, late: Late, queue: int = 2) -> None:
        """Set the takt.

        Args:
            takt_ms: Time between captures; 0 means: as fast as they are read.
            late: What becomes of parts when the reader is late.
            queue: Captures that are kept for a late reader, where parts are lost; at least 1.
        """
        self._takt_ns = round(takt_ms * _NS_PER_MS)
        self._late = late
        self._queue = queue
        self._stopped = threading.Event()
        self._schedule = Schedule(0, self._takt_ns)
        self._last = 0

    def start(self) -> None:
        """Take the first capture one takt from now: time to prepare it."""
        self._schedule = Schedule(now().mono_ns + self._takt_ns, self._takt_ns)
        self._last = 0
        self._stopped.clear()

    def approach(self, lead_s: float, timeout_s: float) -> bool:
        """Wait until so long before the next deadline; see `Pacer.approach`."""
        if not self._takt_ns:
            return True
        entered = now().mono_ns
        due_ns = self._schedule.deadline_ns(self._last + 1) - round(lead_s * _NS_PER_S)
        wait_s = max(0.0, (due_ns - entered) / _NS_PER_S)
        if wait_s > timeout_s:
            self._stopped.wait(timeout_s)
            return False
        return not self._stopped.wait(wait_s)

    def wait(self, timeout_s: float) -> Slot | None:
        """Wait for the next deadline."""
        entered = now().mono_ns
        sequence = self._next(entered)
        due_ns = self._schedule.deadline_ns(sequence) if self._takt_ns else entered
        limit_ns = entered + round(timeout_s * _NS_PER_S)
        wait_ns = min(due_ns, limit_ns) - entered
        if self._stopped.wait(max(wait_ns, 0) / _NS_PER_S) or due_ns > limit_ns:
            return None
        self._last = sequence
        return Slot(sequence, _stamp_at(due_ns))

    def trigger(self) -> None:
        """Do nothing: the takt decides."""

    def stop(self) -> None:
        """End the wait."""
        self._stopped.set()

    def _next(self, now_ns: int) -> int:
        following = self._last + 1
        if self._late is Late.LOSE:
            return self._schedule.next_kept(self._last, now_ns=now_ns, queue=self._queue)
        if self._schedule.deadline_ns(following) < now_ns:
            self._schedule = Schedule(now_ns, self._takt_ns, first=following)
        return following


class Software:
    """Captures on order (see the invariants of this module)."""

    def __init__(self, *, queue: int = 256) -> None:
        """Set how many orders may wait; at least 1."""
        self._orders: deque[Slot] = deque(maxlen=queue)
        self._changed = threading.Condition()
        self._last = 0
        self._stopped = True

    def start(self) -> None:
        """Forget old orders."""
        with self._changed:
            self._orders.clear()
            self._last = 0
            self._stopped = False

    def approach(self, lead_s: float, timeout_s: float) -> bool:  # noqa: ARG002 - an order may come now
        """Do not wait: an order may come at any time."""
        return not self._stopped

    def wait(self, timeout_s: float) -> Slot | None:
        """Wait for an order."""
        with self._changed:
            self._changed.wait_for(lambda: self._orders or self._stopped, timeout_s)
            if self._stopped or not self._orders:
                return None
            return self._orders.popleft()

    def trigger(self) -> None:
        """Order one capture, now; dropped when the camera is not open."""
        with self._changed:
            if self._stopped:
                return
            self._last += 1
            self._orders.append(Slot(self._last, now()))
            self._changed.notify()

    def stop(self) -> None:
        """End the wait and drop what was ordered."""
        with self._changed:
            self._stopped = True
            self._orders.clear()
            self._changed.notify_all()


def make_pacer(trigger: Trigger, takt_ms: float, *, late: Late) -> Pacer:
    """Construct what paces a camera: its takt in free run, orders otherwise."""
    if trigger is Trigger.SOFTWARE:
        return Software()
    return FreeRun(takt_ms, late=late)


def _stamp_at(mono_ns: int) -> Stamp:
    """Return the stamp of a moment of the near past, given on the monotonic clock."""
    present = now()
    return Stamp(present.wall_ns - (present.mono_ns - mono_ns), mono_ns)
