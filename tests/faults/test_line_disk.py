"""Disks that lose power, are full, read-only or give back other bytes, under the whole path."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.faults import storm
from tests.faults.device import Setup
from tests.faults.ledger import fetch
from tests.faults.line import Line, wait_for
from tests.faults.storm import Storm

if TYPE_CHECKING:
    from tests.faults.ledger import Account
    from tests.rigs.disk import Disk

pytestmark = [pytest.mark.broker, pytest.mark.processes]

MEMORY_BYTES = 64 * 2**20


def setup(directory: Path | str = "", *, rate: float = 3000) -> Setup:
    return Setup(
        name="", directory=str(directory), port=0, life=0, rate=rate,
        spool={"sync_ms": 50, "memory_bytes": MEMORY_BYTES},
    )  # fmt: skip


def power_cuts(folder: Path, disk: Disk, wanted: dict[str, int]) -> None:
    """Cut the power of the device and of the collector, which here share a disk, not a fate."""
    with Line(folder, setup=setup(disk.root)) as line:
        line.devices[0].slack_ms = 1000  # a machine that has much else to do
        line.load(500)
        faults = [storm.power_cut(line.devices[0], disk)]
        raging = Storm(faults, seed=3, pause_s=1.0)
        raging.rage(lambda: all(raging.done[name] >= times for name, times in wanted.items()))
        line.load(500)
        line.settle()
    account = line.account()
    account.check(lives=len(line.lives()))
    assert account.unnumbered == 0
    lives = len(line.lives())
    assert account.cut < lives * 3000, account  # in records: a second of each life at most


@pytest.mark.root
def test_power_cuts_of_a_device_take_the_last_moments_at_most(tmp_path: Path, disk: Disk) -> None:
    power_cuts(tmp_path, disk, {"cut power of device": 3})


@pytest.mark.root
@pytest.mark.slow
def test_sixty_power_cuts_of_a_device(tmp_path: Path, disk: Disk) -> None:
    power_cuts(tmp_path, disk, {"cut power of device": 60})


def collector_cuts(folder: Path, disk: Disk, times: int) -> None:
    with Line(folder, setup=setup(), url=f"sqlite:///{disk.root}/collector.db") as line:
        line.load(500)
        raging = Storm([storm.collector_power_cut(line, disk)], seed=4, pause_s=1.0)
        raging.rage(lambda: raging.done.total() >= times)
        line.load(500)
        line.settle()
        account = line.account()
    account.check(lives=1)
    assert account.unnumbered == 0


@pytest.mark.root
def test_power_cuts_of_a_collector_take_nothing_that_it_acknowledged(
    tmp_path: Path, large_disk: Disk
) -> None:
    collector_cuts(tmp_path, large_disk, 2)


@pytest.mark.root
@pytest.mark.slow
def test_forty_power_cuts_of_a_collector(tmp_path: Path, large_disk: Disk) -> None:
    collector_cuts(tmp_path, large_disk, 40)


@pytest.mark.root
def test_while_the_disk_of_a_device_is_full_nothing_is_lost(tmp_path: Path, disk: Disk) -> None:
    with Line(tmp_path, setup=setup(disk.root)) as line:
        line.load(1000)
        disk.fill()
        line.load(3000)
        disk.empty()
        line.load(1000)
        line.settle()
    account = line.account()
    account.check(lives=1)
    assert 0 in line.lives()[0].numbers, "the disk was never full"
    assert account.stored == account.made


@pytest.mark.slow
@pytest.mark.root
def test_while_the_disk_of_a_collector_is_full_or_read_only_nothing_is_lost(
    tmp_path: Path, disk: Disk
) -> None:
    with Line(tmp_path, setup=setup(), url=f"sqlite:///{disk.root}/collector.db") as line:
        line.load(1000)
        disk.fill()
        line.load(4000)
        assert line.collectors[0].is_running
        assert "the database is away" in line.collectors[0].log()
        disk.empty()
        line.load(1000)
        disk.make_read_only()
        line.load(3000)
        assert line.collectors[0].is_running
        line.collectors[0].kill()
        disk.power_on()
        line.settle()
        account = line.account()
    account.check(lives=1)
    assert account.stored == account.made


@pytest.mark.slow
@pytest.mark.root
def test_a_device_whose_disk_turns_read_only_loses_nothing_that_had_a_number(
    tmp_path: Path, disk: Disk
) -> None:
    with Line(tmp_path, setup=setup(disk.root)) as line:
        device = line.devices[0]
        line.load(1000)
        line.broker.kill()
        line.load(1000)
        time.sleep(0.3)
        ended_ns = time.monotonic_ns()  # what is not on the disk by now will never be
        disk.make_read_only()
        line.load(2000)
        assert device.lives[0].numbers[-1] == 0
        device.cut(ended_ns)
        disk.power_on()
        line.start()
        line.load(1000)
        line.settle()
    account = line.account()
    account.check(lives=2)
    assert account.unnumbered == 0  # all of them are behind the moment
    assert account.cut > 1500
    assert account.stored > 2500


@pytest.mark.slow
def test_what_the_quota_evicts_is_told_to_the_last_record(tmp_path: Path) -> None:
    told = msgspec.structs.replace(
        setup(rate=4000), pad_bytes=300, spool={"quota_bytes": 2**20, "sync_ms": 50}
    )
    with Line(tmp_path, setup=told) as line:
        line.load(500)
        line.broker.kill()
        line.load(12_000)
        line.broker.start()
        line.load(500)
        line.settle()
        line.start()  # its batches carry the last notices
        line.load(200)
        line.settle()
    account = line.account()
    account.check(lives=2, noticed=account.made)
    assert account.noticed == account.made - account.stored > 3000
    kept = dict(fetch(line.url, "SELECT verdict, count(*) FROM inspections GROUP BY verdict"))
    assert kept["ng"] == sum(life.lanes.count(b"n") for life in line.lives()), "ok goes first"


def damage(spool: Path, draw: random.Random) -> None:
    """Write over random places of one of a spool's files, as a bad flash cell does."""
    files = [file for file in spool.iterdir() if file.name.startswith("spool.db")]
    files = [file for file in files if file.suffix != ".db-shm" and file.stat().st_size > 4096]
    file = draw.choice(sorted(files))
    with file.open("r+b") as open_file:
        for _ in range(3):
            open_file.seek(draw.randrange(1024, file.stat().st_size - 512))
            open_file.write(draw.randbytes(512))


def damaged(folder: Path, *, seed: int, while_running: bool) -> Account:
    """Damage the spool's database, with a backlog in it, and let what holds arrive."""
    draw = random.Random(seed)
    told = msgspec.structs.replace(setup(rate=2000), pad_bytes=1000)
    with Line(folder, setup=told) as line:
        device = line.devices[0]
        line.load(1000)
        line.broker.kill()
        line.load(6000)  # a backlog of more pages than SQLite keeps in its memory
        if not while_running:
            device.kill()
        damage(Path(device.setup.directory), draw)
        if not while_running:
            device.start()
        line.load(1000)
        line.broker.start()
        line.load(1000)
        line.settle()
        line.start()  # what was found at the end, the next batches tell
        line.load(500)
        line.settle()
    account = line.account()
    account.check(lives=len(line.lives()), noticed=8000, damaged=8000)
    assert account.made - account.stored + account.strangers <= account.noticed
    return account


@pytest.mark.slow
def test_damaged_pages_of_a_spool_are_told_and_the_rest_arrives(tmp_path: Path) -> None:
    assert damaged(tmp_path, seed=1, while_running=True).stored > 2000


@pytest.mark.slow
@pytest.mark.parametrize("while_running", [True, False])
def test_many_ways_of_damaging_a_spool(tmp_path: Path, *, while_running: bool) -> None:
    gone = [
        damaged(tmp_path / str(seed), seed=seed, while_running=while_running).noticed
        for seed in range(2, 22)
    ]
    assert any(gone), "nothing was ever damaged"


def test_a_database_that_others_hold_stops_nothing(tmp_path: Path) -> None:
    with Line(tmp_path, setup=setup()) as line:
        line.load(500)
        line.hold_database()
        line.load(3000)
        line.collectors[0].kill()  # with what it took in and could not store
        line.collectors[0].start()
        line.load(1000)
        line.release_database()
        line.load(500)
        line.settle()
    account = line.account()
    account.check(lives=1)
    assert account.stored == account.made


@pytest.mark.slow
def test_a_database_that_is_gone_for_minutes_costs_nothing(tmp_path: Path) -> None:
    with Line(tmp_path, setup=setup(rate=800)) as line:
        line.load(500)
        line.hold_database()
        wait_for(lambda: "trying again" in line.collectors[0].log(), 60, "nobody noticed")
        line.load(800 * 120, within_s=180)
        line.release_database()
        line.load(500)
        line.settle()
    account = line.account()
    account.check(lives=1)
    assert account.stored == account.made
