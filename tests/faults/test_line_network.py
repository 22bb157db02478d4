"""Networks that delay, lose, swallow and refuse, between a device and the rest of the path."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.device import Setup
from tests.faults.ledger import Account
from tests.faults.line import Line, wait_for
from tests.rigs.link import Link, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.broker, pytest.mark.processes, pytest.mark.root]


@pytest.fixture
def link() -> Iterator[Link]:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    made = Link(seed=5)
    yield made
    made.close()


def behind(link: Link, folder: Path, *, rate: float, keepalive_s: int = 5) -> Line:
    """Make a line whose device is at the far end of a link."""
    setup = Setup(
        name="", directory="", host=link.near, port=0, life=0, rate=rate, keepalive_s=keepalive_s
    )
    line = Line(folder, setup=setup, listen=link.near)
    line.devices[0].before = link.prefix
    return line


def settled(line: Line, within_s: float = 90.0) -> Account:
    line.settle(within_s)
    account = line.account()
    account.check(lives=1)
    assert account.stored == account.made
    return account


def partitions(line: Line, link: Link, times: int, longest_s: float) -> None:
    for turn in range(times):
        line.load(500)
        if turn % 2:
            link.refuse()
        else:
            link.is_up = False
        time.sleep(longest_s / (1 + turn % 3))
        if turn % 2:
            link.allow()
        else:
            link.is_up = True


def test_a_partition_loses_nothing(tmp_path: Path, link: Link) -> None:
    with behind(link, tmp_path, rate=1000) as line:
        partitions(line, link, 2, 2.0)
        line.load(500)
        settled(line)
    assert link.dropped > 0


@pytest.mark.slow
def test_partitions_longer_than_the_keepalive_lose_nothing(tmp_path: Path, link: Link) -> None:
    with behind(link, tmp_path, rate=1000) as line:
        partitions(line, link, 6, 20.0)
        line.load(500)
        settled(line)


@pytest.mark.slow
def test_with_30_percent_loss_everything_arrives(tmp_path: Path, link: Link) -> None:
    with behind(link, tmp_path, rate=200) as line:
        line.load(100)
        link.loss, link.delay_ms, link.jitter_ms = 0.3, 20, 10
        line.load(200 * 40)
        account = settled(line, 200)
    assert account.made > 8000
    assert link.dropped > 0.2 * link.carried


@pytest.mark.slow
def test_with_2_s_latency_everything_arrives(tmp_path: Path, link: Link) -> None:
    with behind(link, tmp_path, rate=200) as line:
        line.load(100)
        link.delay_ms, link.jitter_ms = 2000, 100
        line.load(200 * 40)
        settled(line, 200)


@pytest.mark.slow
def test_with_30_percent_loss_and_2_s_latency_records_still_arrive(
    tmp_path: Path, link: Link
) -> None:
    """So bad a link carries a packet every few seconds: it must get somewhere."""
    with behind(link, tmp_path, rate=10, keepalive_s=30) as line:
        line.load(20)
        link.loss, link.delay_ms = 0.3, 2000
        begin = line.stored()
        wait_for(lambda: line.stored() > begin + 100, 400, "nothing comes through")
        link.heal()
        settled(line, 120)
