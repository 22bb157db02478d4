"""A device whose wall clock jumps by years: order and dates hold, and nothing is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.device import Setup
from tests.faults.ledger import fetch
from tests.faults.line import Line
from tests.rigs.wall_clock import WallClock, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.broker, pytest.mark.processes]

YEAR_S = 365 * 86_400
NEAR_NS = 1_000_000_000
"""How long a message may travel here, with the broker that counts its waiting in whole seconds."""


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[WallClock]:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    made = WallClock(tmp_path / "clock")
    yield made
    made.close()


def right_time_ns() -> int:
    """Return what is to be added to this machine's monotonic clock to get the time of day."""
    return time.time_ns() - time.monotonic_ns()


def jumped(folder: Path, clock: WallClock, years: list[int], records: int) -> None:
    setup = Setup(name="", directory="", port=0, life=0, rate=1000)
    line = Line(folder, setup=setup)
    line.devices[0].env = clock.env
    with line:
        line.load(records)
        for number, jump in enumerate(years):
            clock.set_off_s(jump * YEAR_S)
            line.load(records // 2)
            if number % 3 == 1:  # what waits when it jumps must be dated by when it was made
                line.broker.kill()
                line.load(records)
                clock.set_off_s(-jump * YEAR_S)
                line.load(records // 2)
                line.broker.start()
            if number % 3 == 2:
                line.devices[0].kill()
                line.start()
            line.load(records // 2)
        line.settle()
    account = line.account()
    account.check(lives=len(line.lives()))
    assert account.stored == account.made + account.strangers
    dates(line, {0, *years, *(-jump for jump in years)})


def dates(line: Line, years: set[int]) -> None:
    """Check that the device's own dates are off as its clock was, and the collector's are right."""
    off_ns, far, seen = right_time_ns(), [], set()
    rows = fetch(line.url, "SELECT number, mono_ns, wall_ns, happened_ns FROM inspections")
    for number, mono_ns, wall_ns, happened_ns in rows:
        happened = mono_ns + off_ns
        seen.add(round((wall_ns - happened) / YEAR_S / 1e9))
        if happened_ns is None or abs(happened_ns - happened) > NEAR_NS:
            far.append((number, None if happened_ns is None else (happened_ns - happened) / 1e9))
    assert seen <= years
    assert len(seen) > 1, "the clock never jumped"
    assert not far, f"{len(far)} records are misdated: {far[:5]}"


def test_a_wall_clock_that_jumps_by_years_misdates_nothing(
    tmp_path: Path, clock: WallClock
) -> None:
    jumped(tmp_path, clock, [-20, 10], 500)


@pytest.mark.slow
def test_thirty_jumps_of_the_wall_clock(tmp_path: Path, clock: WallClock) -> None:
    years = [n * (-1) ** n for n in range(1, 31)]
    jumped(tmp_path, clock, years, 1000)
