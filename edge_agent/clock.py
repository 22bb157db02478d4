"""Time, as every room keeps it: the wall clock for people, the monotonic clock for order.

A device may have no real-time clock and wake in 1970; its wall clock then jumps by years. So
nothing is ordered or measured by the wall clock: every time that is kept carries the monotonic
time and the id of the boot it belongs to beside it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Stamp(msgspec.Struct, frozen=True):
    """A moment on both clocks, in nanoseconds.

    Attributes:
        wall_ns: Nanoseconds since the Unix epoch, UTC; may jump.
        mono_ns: Nanoseconds of CLOCK_MONOTONIC; comparable within one boot only.
    """

    wall_ns: int
    mono_ns: int


def now() -> Stamp:
    """Read both clocks."""
    return Stamp(time.time_ns(), time.monotonic_ns())


@cache
def boot_id() -> str:
    """Return the kernel's id of this boot, as 32 hexadecimal digits."""
    return _BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")


def iso(wall_ns: int) -> str:
    """Write a wall time for people and for the wire.

    >>> iso(1_700_000_000_123_456_789)
    '2023-11-14T22:13:20.123Z'
    """
    moment = datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC)
    return f"{moment.isoformat()[:19]}.{wall_ns // 1_000_000 % 1000:03d}Z"
