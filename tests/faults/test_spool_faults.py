"""The spool through kills, power cuts, full disks and disks that turn read-only: the real thing."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from edge_agent.agent.lanes import ALARMS
from tests.faults.conftest import Content, Told, Writer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rigs.disk import Disk

SYNC_MS = 50
SLACK_MS = 100
"""A commit that is under way when a sync is due, on a machine that does other things too."""

pytestmark = pytest.mark.processes


def kills(directory: Path, times: int) -> None:
    moments = random.Random(times)
    told: list[Told] = []
    for _ in range(times):
        writer = Writer(directory)
        writer.wait_for(1)
        time.sleep(moments.uniform(0, 0.15))
        told += writer.kill()
    content = Content(directory)
    content.check(told)
    assert all(number for _, number, _, _ in told)
    kept = sum(len(records) for records in content.kept.values())
    assert 0 <= kept - len(told) <= times  # kept, but killed before it could be told
    assert content.lost == []
    assert content.stats.damages == ()


def test_killed_at_random_moments_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    kills(tmp_path / "spool", 10)


@pytest.mark.slow
def test_killed_two_hundred_times_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    kills(tmp_path / "spool", 200)


def power_cuts(disk: Disk, times: int, *, sync_ms: int) -> None:
    moments = random.Random(times)
    directory = disk.root / "spool"
    told: list[Told] = []
    for _ in range(times):
        writer = Writer(directory, sync_ms=sync_ms)
        writer.wait_for(200)
        time.sleep(moments.uniform(0, 0.2))
        cut_ns = time.monotonic_ns()
        disk.cut()
        now = writer.kill()
        disk.power_on()
        safe_ns = cut_ns - (sync_ms + SLACK_MS) * 1_000_000 if sync_ms else cut_ns
        kept = Content(directory)
        kept.check(told)
        kept.check([each for each in now if each[3] < safe_ns])
        kept.check([each for each in now if each[0] == ALARMS and each[3] < cut_ns])
        assert kept.lost == []
        assert kept.stats.damages == ()
        told += [each for each in now if kept.kept[each[0]].get(each[1]) == each[2]]
    assert len(told) > 150 * times


@pytest.mark.root
def test_a_power_cut_takes_the_last_moments_at_most_and_no_announced_alarm(disk: Disk) -> None:
    power_cuts(disk, 3, sync_ms=SYNC_MS)


@pytest.mark.root
def test_with_sync_0_a_power_cut_takes_nothing_that_was_told(disk: Disk) -> None:
    power_cuts(disk, 2, sync_ms=0)


@pytest.mark.root
@pytest.mark.slow
def test_forty_power_cuts(disk: Disk) -> None:
    power_cuts(disk, 40, sync_ms=SYNC_MS)


@pytest.mark.root
def test_while_the_disk_is_full_records_wait_and_then_go_in_without_a_hole(disk: Disk) -> None:
    directory = disk.root / "spool"
    writer = Writer(directory)
    writer.wait_for(300)
    ballast = disk.fill()
    time.sleep(1.0)
    full = writer.count()
    writer.wait_for(full + 300)  # verdicts go out
    ballast.unlink()
    time.sleep(2.5)
    freed = writer.count()
    writer.wait_for(freed + 300)
    told = writer.kill()
    waited = [each for each in told if each[1] == 0]
    assert len(waited) > 100
    assert all(number for _, number, _, _ in told[-100:])
    content = Content(directory)
    content.check(told)
    kept = {record for lane in content.kept.values() for record in lane.values()}
    assert {record for _, _, record, _ in told} <= kept
    assert content.lost == []
    order = [record for _, record in sorted(content.kept["ok"].items())]
    indices = [int(record.rsplit("-", 1)[1]) for record in order]
    assert indices == sorted(indices), "records changed places"


@pytest.mark.root
def test_while_the_disk_is_read_only_verdicts_go_out_and_what_was_kept_stays(disk: Disk) -> None:
    directory = disk.root / "spool"
    writer = Writer(directory)
    writer.wait_for(300)
    before = writer.count()
    time.sleep(SYNC_MS / 1000)
    disk.make_read_only()
    time.sleep(0.5)
    read_only = writer.count()
    writer.wait_for(read_only + 300)
    told = writer.kill()
    assert told[-1][1] == 0
    disk.power_on()
    content = Content(directory)
    content.check(told[:before])
    assert content.lost == []


@pytest.mark.root
def test_a_spool_starts_on_a_disk_that_is_read_only_and_drains_when_it_is_back(disk: Disk) -> None:
    directory = disk.root / "spool"
    writer = Writer(directory)
    writer.wait_for(100)
    first = writer.kill()
    disk.unmount()
    disk.mount(options="ro")
    writer = Writer(directory)
    writer.wait_for(100)
    disk.mount(options="remount,rw")
    time.sleep(2.5)
    writer.wait_for(writer.count() + 100)
    told = writer.kill()
    assert told[0][1] == 0
    assert told[-1][1] > 0
    content = Content(directory)
    content.check(first)
    content.check(told)
    kept = {record for lane in content.kept.values() for record in lane.values()}
    assert {record for _, _, record, _ in told} <= kept
