"""Storm the whole path until enough records went through it, and print the account.

    python -m tests.faults --records 1000000 --seed 1

Three devices: the power of the first one's disk is cut and it fills up; the second is behind a link
that delays, loses and swallows packets; the third has a wall clock that jumps by years. The power
of the database's disk is cut too, it fills up, and others lock it. All of them, the broker and the
collectors are killed, and the broker loses its state. What this machine cannot do is left out, and
said.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec

from tests.faults import storm
from tests.faults.device import Setup
from tests.faults.ledger import Account
from tests.faults.line import Line
from tests.faults.storm import Fault, Storm
from tests.rigs import disk as disks
from tests.rigs import link as links
from tests.rigs import wall_clock
from tests.rigs.disk import Disk
from tests.rigs.link import Link
from tests.rigs.postgresql import Cluster
from tests.rigs.wall_clock import WallClock

_DEVICES = 3
_PROGRESS_S = 15
_SLACK_MS = 2000
"""The machine has more to do in a storm than a device has; `cut_ms` says what it came to."""
_SPOOL = {"sync_ms": 100, "memory_bytes": 64 * 2**20}


def main(arguments: list[str]) -> int:
    """Storm, and return the exit status."""
    options = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    options.add_argument("--records", type=int, default=1_000_000, help="how many at least")
    options.add_argument("--seed", type=int, default=1, help="of which fault comes when")
    options.add_argument("--rate", type=float, default=4500, help="records a second, together")
    options.add_argument("--pause", type=float, default=0.5, help="seconds between two faults")
    options.add_argument("--collectors", type=int, default=1, help="that share the work")
    options.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    options.add_argument("--folder", type=Path, help="for logs and evidence")
    chosen = options.parse_args(arguments)
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="edge-faults-"))
    with ExitStack() as stack:
        line, faults = furnish(folder, stack, chosen)
        begin = time.monotonic()
        stack.enter_context(line)
        raging = Storm(faults, seed=chosen.seed, pause_s=chosen.pause)
        raging.rage(_Progress(line, raging, chosen.records))
        line.settle(within_s=300)
        took_s = time.monotonic() - begin
        account = line.account()
        wrong = _wrong(account, line)
        if wrong:
            keep(line, folder / "evidence")
    say(f"{account.made:,} records in {took_s:.0f} s, {raging.done.total()} faults")
    for name, times in sorted(raging.done.items()):
        say(f"  {times:5} {name}")
    for name in ("stored", "lost", "doubled", "holes", "noticed", "unnumbered", "cut", "cut_ms"):
        say(f"{name:>12} {getattr(account, name):,}")
    say(f"NOT as promised: {wrong}" if wrong else "0 lost, 0 doubled")
    say(f"logs and evidence: {folder}")
    return 1 if wrong else 0


def _wrong(account: Account, line: Line) -> str:
    """Return what is not as promised; empty if all is."""
    try:
        account.check(lives=len(line.lives()))
    except AssertionError as error:
        return str(error)
    return ""


def keep(line: Line, folder: Path) -> None:
    """Write down what was told, and copy the database: its disk goes with the storm."""
    folder.mkdir()
    if line.url.startswith("sqlite"):
        database = Path(line.url.removeprefix("sqlite:///"))
        for file in database.parent.glob(f"{database.name}*"):
            shutil.copy(file, folder)
    with (folder / "told.txt").open("w", encoding="ascii") as told:
        for life in line.lives():
            told.write(f"{life.device} {life.number} cut {life.cut_ns} left {life.left}\n")
            for index, of in enumerate(zip(life.lanes, life.numbers, life.at_ns, strict=True), 1):
                told.write(f"{life.number}-{index} {chr(of[0])} {of[1]} {of[2]}\n")


def furnish(folder: Path, stack: ExitStack, chosen: argparse.Namespace) -> tuple[Line, list[Fault]]:
    """Make a line, and what can befall it on this machine."""
    setup = Setup(
        name="", directory="", port=0, life=0, rate=chosen.rate / _DEVICES, spool=_SPOOL,
        drain_s=280,
    )  # fmt: skip
    link = _link(chosen.seed, stack)
    disk = _disk(folder / "device", stack)
    cluster = _cluster(stack) if chosen.store == "postgresql" else None
    second = None if cluster else _disk(folder / "database", stack)
    url = cluster.database() if cluster else ""
    url = f"sqlite:///{second.root}/collector.db" if second else url
    line = Line(
        folder,
        devices=_DEVICES,
        collectors=chosen.collectors,
        url=url,
        setup=setup,
        listen=link.near if link else "",
    )
    on_disk, behind_link, with_clock = line.devices
    for device in line.devices:
        device.slack_ms = _SLACK_MS
    faults = storm.kills(line, device=4, collector=8, broker=8)
    faults += [storm.forget(line, 2), storm.locked(line)]
    if disk:
        told = msgspec.structs.replace(on_disk.setup, directory=str(disk.root / "spool"))
        on_disk.setup = told
        faults += [storm.power_cut(on_disk, disk, 4), storm.full(disk, f"disk of {told.name}", 2)]
    if cluster:
        faults.append(storm.crash(cluster, 2))
    if second:
        faults += [storm.collector_power_cut(line, second, 2), storm.full(second, "database")]
    if link:
        behind_link.before = link.prefix
        behind_link.setup = msgspec.structs.replace(behind_link.setup, host=link.near)
        faults += [
            storm.bad_network(link, {"is_up": False}, "network swallows everything"),
            storm.bad_network(link, {"loss": 0.3, "delay_ms": 20}, "network loses 30 %"),
            storm.bad_network(link, {"delay_ms": 2000}, "network takes 2 s"),
            storm.unreachable(link),
        ]
    if lacking := wall_clock.missing():
        say(f"no clocks that jump: {lacking}")
    else:
        clock = WallClock(folder / "clock")
        stack.callback(clock.close)
        with_clock.env = clock.env
        faults.append(storm.jump(clock, chosen.seed, 2))
    return line, faults


def _disk(folder: Path, stack: ExitStack) -> Disk | None:
    if lacking := disks.missing():
        say(f"no disks that fail: {lacking}")
        return None
    disk = Disk(folder, size_mib=4096 if folder.name == "database" else 96)
    stack.callback(disk.destroy)
    return disk


def _cluster(stack: ExitStack) -> Cluster:
    cluster = Cluster()
    stack.callback(cluster.remove)
    cluster.start()
    return cluster


def _link(seed: int, stack: ExitStack) -> Link | None:
    if lacking := links.missing():
        say(f"no bad network: {lacking}")
        return None
    link = Link(seed)
    stack.callback(link.close)
    return link


class _Progress:
    """Says now and then how far the storm is; true once enough is made."""

    def __init__(self, line: Line, raging: Storm, records: int) -> None:
        self._line = line
        self._raging = raging
        self._records = records
        self._begin = self._said = time.monotonic()

    def __call__(self) -> bool:
        made, now = self._line.made(), time.monotonic()
        if now - self._said >= _PROGRESS_S:
            self._said = now
            faults = self._raging.done.total()
            say(f"{now - self._begin:6.0f} s  {made:10,} records made  {faults:5} faults")
        return made >= self._records


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201 - this is what the command is for


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
