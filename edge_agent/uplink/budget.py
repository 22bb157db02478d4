"""How many bytes may go over a metered link: rules only, no IO.

The budget of an hour flows into a bucket evenly. The bucket holds a tenth of it and gets nine
tenths an hour, so that in no hour more than the budget goes. Who sends names its share of the
bucket, and may send while more than the rest is in it: a share of 0.5 sends while it is more than
half full. So when it is short the smallest shares wait first, and the largest find something.

Invariants, each held by a test of its name in tests/unit/uplink/test_budget.py:

1. *no hour beyond it*: what asks first spends at most the budget in any hour, and one message more.
2. *the least important waits first*: while a share may not send, no smaller one may.
3. *what does not ask is counted*: alarms go whatever is left, and the others wait for it.
4. *nobody waits for ever*: what is owed is never more than an hour's inflow.
"""

from __future__ import annotations

from collections import deque

_BUCKET = 0.1
_HOUR_S = 3600.0
_MINUTE_S = 60.0


class Budget:
    """Bytes that may be spent. It begins with an empty bucket: starting again earns nothing.

    Args:
        bytes_per_hour: 0 for no limit.
        now: Monotonic time, in seconds.

    Attributes:
        bytes_per_hour: As given.

    >>> budget = Budget(1_000_000, now=0.0)
    >>> budget.allows(0.5, now=60.0), budget.allows(0.9, now=60.0)
    (False, True)
    """

    def __init__(self, bytes_per_hour: int, *, now: float) -> None:
        self.bytes_per_hour = bytes_per_hour
        self._capacity = _BUCKET * bytes_per_hour
        self._inflow = (1 - _BUCKET) * bytes_per_hour
        self._level = 0.0
        self._at = now
        self._minutes: deque[tuple[int, int]] = deque(maxlen=61)

    def allows(self, share: float, *, now: float) -> bool:
        """Tell whether one that may use `share` (0 to 1) of the bucket may send a message now."""
        if not self.bytes_per_hour:
            return True
        self._flow(now)
        return self._level > (1 - share) * self._capacity

    def spend(self, size_bytes: int, *, now: float) -> None:
        """Count what was sent."""
        self._flow(now)
        self._level = max(self._level - size_bytes, -self._inflow)
        minute = int(now / _MINUTE_S)
        if self._minutes and self._minutes[-1][0] == minute:
            size_bytes += self._minutes.pop()[1]
        self._minutes.append((minute, size_bytes))

    def spent_bytes(self, now: float) -> int:
        """Return what was spent in the last hour, to the minute. Any thread may call this."""
        oldest = int((now - _HOUR_S) / _MINUTE_S)
        return sum(size for minute, size in tuple(self._minutes) if minute > oldest)

    def left(self, now: float) -> float:
        """Return how full the bucket is: 1 full, 0 empty, less where something is owed.

        Any thread may call this.
        """
        return self._flown(now) / self._capacity if self.bytes_per_hour else 1.0

    def _flow(self, now: float) -> None:
        self._level, self._at = self._flown(now), now

    def _flown(self, now: float) -> float:
        gained = self._inflow * (now - self._at) / _HOUR_S
        return min(self._capacity, self._level + gained)
