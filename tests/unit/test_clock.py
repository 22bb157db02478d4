from __future__ import annotations

import time
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import boot_id, iso, now


def test_now_reads_both_clocks() -> None:
    before = (time.time_ns(), time.monotonic_ns())
    stamp = now()
    after = (time.time_ns(), time.monotonic_ns())
    assert before[0] <= stamp.wall_ns <= after[0]
    assert before[1] <= stamp.mono_ns <= after[1]


def test_the_boot_has_one_id_of_32_hexadecimal_digits() -> None:
    assert len(boot_id()) == 32
    assert int(boot_id(), 16) > 0
    assert boot_id() == boot_id()


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_iso_is_the_same_moment_cut_to_milliseconds(wall_ns: int) -> None:
    moment = datetime.fromisoformat(iso(wall_ns))
    assert moment.tzinfo == UTC
    milliseconds = round(moment.timestamp() * 1000)
    assert milliseconds == wall_ns // 1_000_000


def test_iso_writes_a_clock_that_woke_in_1970() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(-1) == "1969-12-31T23:59:59.999Z"  # a condition older than such a clock
