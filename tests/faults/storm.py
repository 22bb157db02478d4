"""Random faults on the whole path, as many and as long as wanted: seeded, overlapping, mixed.

Each fault is something that is done and, a random time later, undone; several stand at once, but no
two that touch the same thing. Which come, and for how long, the seed says; how they meet what the
processes do just then, it does not.
"""

from __future__ import annotations

import heapq
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from tests.faults.line import Device, Line
    from tests.rigs.disk import Disk
    from tests.rigs.link import Link
    from tests.rigs.postgresql import Cluster
    from tests.rigs.wall_clock import WallClock

log = logging.getLogger(__name__)

_STEP_S = 0.01
_YEAR_S = 365 * 86_400


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that goes wrong and is set right again.

    Attributes:
        name: What it is called in the account.
        touches: What must not be touched by another fault meanwhile.
        weight: How often it comes, against others.
        longest_s: How long it may last.
        begin: Lets it happen.
        end: Sets it right.
    """

    name: str
    touches: frozenset[str]
    begin: Callable[[], object]
    end: Callable[[], object]
    weight: int = 1
    longest_s: float = 0.5


class Storm:
    """Faults that come at random moments.

    Args:
        faults: Which may come.
        seed: Of what comes when.
        pause_s: From one fault to the next, on average.

    Attributes:
        done: How often each happened.
    """

    def __init__(self, faults: Sequence[Fault], *, seed: int, pause_s: float = 0.5) -> None:
        self.done: Counter[str] = Counter()
        self._faults = faults
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._standing: list[tuple[float, int, Fault]] = []
        self._count = 0

    def rage(self, until: Callable[[], bool]) -> None:
        """Let faults happen until a condition holds, then set all right."""
        weights = [fault.weight for fault in self._faults]
        next_at = 0.0
        try:
            while not until():
                now = time.monotonic()
                if now >= next_at:
                    self._begin(self._random.choices(self._faults, weights)[0])
                    next_at = now + self._random.expovariate(1 / self._pause_s)
                self._end_those_due(now)
                time.sleep(_STEP_S)
        finally:
            self._end_those_due(float("inf"))

    def _begin(self, fault: Fault) -> None:
        lasts_s = self._random.uniform(0, fault.longest_s)
        if any(fault.touches & standing.touches for _, _, standing in self._standing):
            return
        fault.begin()
        self.done[fault.name] += 1
        self._count += 1
        log.debug("%s for %.2f s", fault.name, lasts_s)
        heapq.heappush(self._standing, (time.monotonic() + lasts_s, self._count, fault))

    def _end_those_due(self, now: float) -> None:
        while self._standing and self._standing[0][0] <= now:
            heapq.heappop(self._standing)[2].end()


class _Process(Protocol):
    def start(self) -> None: ...

    def kill(self) -> None: ...


def kills(line: Line, *, device: int, collector: int, broker: int) -> list[Fault]:
    """Return kills of everything on a line, with the weight of each kind of process."""
    each: list[tuple[str, str, int, _Process]] = [
        *(("device", d.setup.name, device, d) for d in line.devices),
        *(("collector", f"collector{n}", collector, c) for n, c in enumerate(line.collectors)),
        ("broker", "broker", broker, line.broker),
    ]
    return [
        Fault(
            name=f"kill {what}",
            touches=frozenset({name}),
            weight=weight,
            begin=process.kill,
            end=process.start,
        )
        for what, name, weight, process in each
    ]


def forget(line: Line, weight: int = 1) -> Fault:
    """Let the broker die and lose its whole state."""

    def begin() -> None:
        line.broker.kill()
        line.forget()

    return Fault(
        name="broker loses its state",
        touches=frozenset({"broker"}),
        weight=weight,
        begin=begin,
        end=line.broker.start,
    )


def power_cut(device: Device, disk: Disk, weight: int = 1) -> Fault:
    """Cut the power of a device, with what its disk has not written."""

    def begin() -> None:
        cut_ns = time.monotonic_ns()
        disk.cut()
        device.cut(cut_ns)

    def end() -> None:
        disk.power_on()
        device.start()

    name = device.setup.name
    touches = frozenset({name, f"disk of {name}"})
    return Fault(name="cut power of device", touches=touches, weight=weight, begin=begin, end=end)


def collector_power_cut(line: Line, disk: Disk, weight: int = 1) -> Fault:
    """Cut the power of the collectors and of their database's disk."""

    def begin() -> None:
        disk.cut()
        for collector in line.collectors:
            collector.kill()

    def end() -> None:
        disk.power_on()
        for collector in line.collectors:
            collector.start()

    names = {f"collector{number}" for number in range(len(line.collectors))}
    touches = frozenset({"database", *names})
    return Fault(
        name="cut power of collector", touches=touches, weight=weight, begin=begin, end=end
    )


def full(disk: Disk, what: str, weight: int = 1) -> Fault:
    """Let a disk be full for a while; `what` is `disk of DEVICE` or `database`."""
    return Fault(
        name=f"fill {what.rstrip('0123456789')}",
        touches=frozenset({what}),
        weight=weight,
        longest_s=2.0,
        begin=disk.fill,
        end=disk.empty,
    )


def bad_network(link: Link, how: Mapping[str, float], name: str, weight: int = 1) -> Fault:
    """Make the network bad: attributes of a link, each with its value."""

    def begin() -> None:
        for what, value in how.items():
            setattr(link, what, value)

    return Fault(
        name=name,
        touches=frozenset({"link"}),
        weight=weight,
        longest_s=6.0,
        begin=begin,
        end=link.heal,
    )


def unreachable(link: Link, weight: int = 1) -> Fault:
    """Let the network say that it cannot reach the broker."""
    return Fault(
        name="network refuses",
        touches=frozenset({"link"}),
        weight=weight,
        longest_s=4.0,
        begin=link.refuse,
        end=link.allow,
    )


def jump(clock: WallClock, seed: int, weight: int = 1) -> Fault:
    """Let a device's wall clock jump by years."""
    draw = random.Random(seed)
    return Fault(
        name="wall clock jumps",
        touches=frozenset({"clock"}),
        weight=weight,
        longest_s=5.0,
        begin=lambda: clock.set_off_s(draw.randint(-30 * _YEAR_S, 30 * _YEAR_S)),
        end=lambda: clock.set_off_s(0),
    )


def locked(line: Line, weight: int = 1) -> Fault:
    """Let somebody else hold the collector's database."""
    return Fault(
        name="lock database",
        touches=frozenset({"database"}),
        weight=weight,
        longest_s=3.0,
        begin=line.hold_database,
        end=line.release_database,
    )


def crash(cluster: Cluster, weight: int = 1) -> Fault:
    """Let a PostgreSQL server crash."""
    return Fault(
        name="crash PostgreSQL",
        touches=frozenset({"database"}),
        weight=weight,
        longest_s=2.0,
        begin=lambda: cluster.stop("immediate"),
        end=cluster.start,
    )
