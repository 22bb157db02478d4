"""Many simulated devices at once, and the account of what they did."""

from __future__ import annotations

import resource
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_agent import clock
from edge_agent.collector.simulation.lines import Line, encode_body
from edge_agent.collector.simulation.source import MemorySource
from edge_agent.errors import UsageError
from edge_agent.topics import Topics
from edge_agent.uplink import wire
from edge_agent.uplink.settings import MqttSettings, UplinkSettings
from edge_agent.uplink.uplink import Uplink

if TYPE_CHECKING:
    from edge_agent.clock import Stamp

_FILES_EACH = 4  # what one link opens: socket, wake-up, network changes, and one to spare
_FILES_BESIDE = 100
_TICK_S = 0.05
_STOP_S = 5.0
_AHEAD = 2  # windows that wait in memory, where devices make as much as is taken


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Attributes:
        devices: How many.
        rate: Records a second of each device; 0 for as many as are taken.
        batch: Records in a batch.
        lines: Lines that the devices share; see `edge_agent.collector.simulation.lines`.
        seconds: How long records are made; 0 for no limit.
        records: How many are made in all, at least; 0 for no limit.
        name: First part of the devices' names.
        seed: Of what the lines inspect.
    """

    devices: int
    rate: float
    batch: int = 100
    lines: int = 16
    seconds: float = 0.0
    records: int = 0
    name: str = "sim"
    seed: int = 1


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How the fleet stands.

    Attributes:
        seconds: Since the first record.
        connected: Devices whose link is up.
        made: Records made.
        acknowledged: Records that were acknowledged.
        sent_batches: Batches sent, repeated ones included.
        resent_batches: Batches sent again.
        sent_bytes: Payload bytes of all sendings.
        error: What one of the devices complains about; empty if none does.
    """

    seconds: float
    connected: int
    made: int
    acknowledged: int
    sent_batches: int
    resent_batches: int
    sent_bytes: int
    error: str

    @property
    def backlog(self) -> int:
        """Records that wait."""
        return self.made - self.acknowledged


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        devices: How many there were.
        records: Records made.
        acknowledged: Records that the collector said it has.
        seconds: From the first record to the last acknowledgement.
        records_per_s: Of acknowledged ones.
        batches: Batches made.
        sent_batches: Batches sent, repeated ones included.
        resent_batches: Batches sent again.
        bytes_per_record: Payload bytes of all sendings.
        p50_ms: From sealing to acknowledgement; half of the batches took less.
        p99_ms: 99 of 100 took less.
        longest_ms: The longest.
    """

    devices: int
    records: int
    acknowledged: int
    seconds: float
    records_per_s: float
    batches: int
    sent_batches: int
    resent_batches: int
    bytes_per_record: float
    p50_ms: float
    p99_ms: float
    longest_ms: float


class Fleet:
    """Simulated devices. Use it as a context: leaving it stops them."""

    def __init__(self, load: Load, mqtt: MqttSettings, settings: UplinkSettings) -> None:
        """Make the devices; they connect on entering.

        Raises:
            UsageError: This process may not open as many files as the devices need.
        """
        _allow_files(load.devices)
        self._load = load
        self._window = settings.window
        run = secrets.token_hex(4)
        width = max(3, len(str(load.devices)))
        self.names = [f"{load.name}-{n:0{width}d}" for n in range(1, load.devices + 1)]
        self.sources = [MemorySource(f"{run}{n:08x}") for n in range(load.devices)]
        self._uplinks = [
            _uplink(source, name, mqtt, settings)
            for source, name in zip(self.sources, self.names, strict=True)
        ]
        count = min(load.lines, load.devices)
        self._lines = [Line(f"line{n + 1}", seed=load.seed * 1000 + n) for n in range(count)]
        self._began = 0.0
        self._ended = 0.0
        self._stopping = threading.Event()
        self._maker = threading.Thread(target=self._make, name="simulated-lines", daemon=True)

    def __enter__(self) -> Fleet:
        for uplink in self._uplinks:
            uplink.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._maker.is_alive():
            self._maker.join()
        stops = [
            threading.Thread(target=each.stop, args=(_STOP_S,), name="stop")
            for each in self._uplinks
        ]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()

    # --- driving it --------------------------------------------------------------------------

    def wait_for_links(self, timeout_s: float) -> bool:
        """Wait until every device is connected; False if they are not in time."""
        end = time.monotonic() + timeout_s
        while not all(each.state().connected for each in self._uplinks):
            if time.monotonic() >= end:
                return False
            time.sleep(_TICK_S)
        return True

    def begin(self) -> None:
        """Let the lines run."""
        self._began = self._ended = time.monotonic()
        self._maker.start()

    def stop_making(self) -> None:
        """Let the lines stand still; what was made is sent on."""
        self._stopping.set()

    @property
    def is_making(self) -> bool:
        """Whether more records are to come."""
        return self._maker.is_alive()

    @property
    def is_done(self) -> bool:
        """Whether all that will be made is acknowledged."""
        return not self.is_making and not any(len(source) for source in self.sources)

    # --- the lines ---------------------------------------------------------------------------

    def _make(self) -> None:
        """Make batches until there are enough."""
        load, count = self._load, len(self._lines)
        each = -(-load.records // load.devices)
        pause_s = load.batch / load.rate if load.rate else 0.0
        end = self._began + load.seconds if load.seconds else float("inf")
        # Lines are out of step, as they are in a plant: their batches do not come all at once.
        due = [self._began + pause_s * (n + 1) / count for n in range(count)]
        since = [clock.now()] * count
        left = [each] * count
        while not self._stopping.is_set() and (any(left) if each else True):
            for n in range(count):
                is_due = due[n] <= min(time.monotonic(), end)
                if not is_due or (each and not left[n]) or not self._may_make(n):
                    continue
                until = clock.now()
                size = min(load.batch, left[n]) if each else load.batch
                self._give(n, size, since[n], until)
                since[n], left[n] = until, max(0, left[n] - size)
                due[n] += pause_s
            if min(due) > end or (not pause_s and time.monotonic() > end):
                return
            self._stopping.wait(min(_TICK_S, max(0.005, min(due) - time.monotonic())))

    def _may_make(self, line: int) -> bool:
        """Whether devices that make as much as is taken have room for more."""
        most = _AHEAD * self._window
        return bool(self._load.rate) or all(len(source) < most for source in self._of(line))

    def _of(self, line: int) -> Sequence[MemorySource]:
        return self.sources[line :: len(self._lines)]

    def _give(self, line: int, size: int, since: Stamp, until: Stamp) -> None:
        """Give a line's records to its devices."""
        body = encode_body(self._lines[line].inspect(size, since=since, until=until))
        uplinks = self._uplinks[line :: len(self._lines)]
        for source, uplink in zip(self._of(line), uplinks, strict=True):
            source.add(body)
            uplink.wake()

    # --- what it says ------------------------------------------------------------------------

    def standing(self) -> Standing:
        """Tell how the fleet stands."""
        states = [uplink.state() for uplink in self._uplinks]
        now = time.monotonic()
        if not self.is_done:
            self._ended = now
        return Standing(
            seconds=now - self._began if self._began else 0.0,
            connected=sum(state.connected for state in states),
            made=sum(source.made for source in self.sources),
            acknowledged=sum(source.acknowledged for source in self.sources),
            sent_batches=sum(state.sent_batches for state in states),
            resent_batches=sum(state.resent_batches for state in states),
            sent_bytes=sum(state.sent_bytes for state in states),
            error=next((state.error for state in states if state.error), ""),
        )

    def account(self) -> Account:
        """Sum up."""
        now = self.standing()
        waits_s = np.concatenate([np.asarray(source.waits_s) for source in self.sources])
        marks = [0.0, 0.0, 0.0]
        if len(waits_s):
            marks = [float(each) * 1000 for each in np.percentile(waits_s, [50, 99, 100])]
        seconds = max(self._ended - self._began, 1e-9)
        return Account(
            devices=len(self.names),
            records=now.made,
            acknowledged=now.acknowledged,
            seconds=round(seconds, 2),
            records_per_s=round(now.acknowledged / seconds, 1),
            batches=sum(source.batches for source in self.sources),
            sent_batches=now.sent_batches,
            resent_batches=now.resent_batches,
            bytes_per_record=round(now.sent_bytes / max(1, now.made), 2),
            p50_ms=round(marks[0], 1),
            p99_ms=round(marks[1], 1),
            longest_ms=round(marks[2], 1),
        )

    def streams(self) -> Iterator[tuple[str, MemorySource]]:
        """Return each device's name with what it made."""
        return zip(self.names, self.sources, strict=True)


def _uplink(
    source: MemorySource, name: str, mqtt: MqttSettings, settings: UplinkSettings
) -> Uplink:
    def birth(*, online: bool) -> bytes:
        return wire.encode(
            wire.Birth(
                device=name, online=online, version="simulated", boot=clock.boot_id(),
                started=clock.iso(clock.now().wall_ns),
            )
        )  # fmt: skip

    return Uplink(
        source,
        Topics(mqtt.root, name),
        mqtt=mqtt,
        settings=settings,
        birth=birth(online=True),
        death=birth(online=False),
    )


def _allow_files(devices: int) -> None:
    """Raise the limit of open files as far as the fleet needs it."""
    need = devices * _FILES_EACH + _FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= need or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < need:
        most = (hard - _FILES_BESIDE) // _FILES_EACH
        raise UsageError(
            f"--devices {devices}: needs {need} open files, this process may have {hard}: give at "
            f"most {most}, raise the limit (ulimit -n), or run this twice with --name"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
