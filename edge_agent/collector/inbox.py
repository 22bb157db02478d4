"""What came in and waits to be stored: bounded in bytes, whoever sends how much.

Invariants, each held by a test of its name in tests/unit/collector/test_inbox.py:

1. *bounded*: `put` waits while more than `limit_bytes` are inside, however large the next one is.
2. *in order*: what came first is taken first.
3. *closing frees whoever waits*: what is not inside by then is not taken; the broker has it still.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue with a limit in bytes. Any thread may call it.

    Args:
        limit_bytes: Above it `put` waits.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T, size: int) -> bool:
        """Put an item in, as soon as there is room; False, and it is not, once this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._bytes <= self._limit_bytes)
            if self._closed:
                return False
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify_all()
            return True

    def take(self, most: int, *, within_s: float | None = None) -> list[T]:
        """Wait for items and take them, `most` of them.

        None come when the time is over, or once this is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._items), within_s)
            taken: list[T] = []
            while self._items and len(taken) < most:
                item, size = self._items.popleft()
                self._bytes -= size
                taken.append(item)
            self._changed.notify_all()
            return taken

    @property
    def is_over(self) -> bool:
        """Whether this is closed and empty: nothing will ever come."""
        with self._changed:
            return self._closed and not self._items

    def close(self) -> None:
        """Take nothing more in."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
