"""A device for fault tests: a process with a real spool, a real uplink and a source of records.

    python -m tests.faults.device SETUP

SETUP is a `Setup` as JSON. Once `append` returned, the process says so on stdout, one line a
record: `LANE NUMBER INDEX MONOTONIC_NS` (the lane by its first letter, number 0 for a record that
waits in memory). The record itself holds LIFE-INDEX, so that whatever comes out at the other end
can be traced to the moment when it was made. SIGTERM ends the source and begins the drain; how many
records are left then is the last line (`left N`).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

from edge_agent import clock
from edge_agent.agent.lanes import ALARMS, LANES, NG, OK
from edge_agent.errors import SpoolError
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Spool
from edge_agent.topics import Topics
from edge_agent.uplink import wire
from edge_agent.uplink.settings import MqttSettings, Plaintext, UplinkSettings
from edge_agent.uplink.uplink import Uplink

_BURST = 8  # records between two looks at the clock
_PAUSE_S = 0.02


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a device is told.

    Attributes:
        name: Its name in the topics.
        directory: Of its spool.
        host: Of the broker.
        port: Of the broker.
        life: Counts its starts; with the index it names a record.
        boot: Id of the boot, as records and birth tell it.
        rate: Records a second.
        alarm_every: One record in so many is an alarm, which is synced before it is told.
        pad_bytes: How many bytes that do not shrink a record holds beside what it needs.
        backlog_most: With so many records waiting the source makes a pause.
        drain_s: How long to wait at the end until the collector has everything.
        keepalive_s: How long the link may be silent.
        spool: Settings of the spool that are not the defaults.
        uplink: Settings of the uplink that are not the defaults.
    """

    name: str
    directory: str
    port: int
    life: int
    host: str = "127.0.0.1"
    boot: str = "b" * 32
    rate: float = 1000.0
    alarm_every: int = 500
    pad_bytes: int = 0
    backlog_most: int = 200_000
    drain_s: float = 80.0
    keepalive_s: int = 5
    spool: dict[str, int] = {}
    uplink: dict[str, int] = {}


def inspection(setup: Setup, index: int, draw: random.Random) -> bytes:
    """Write an inspection record much as the agent does."""
    wall_ns, score = time.time_ns(), draw.random()
    inference = 4000 + draw.randrange(900)
    return msgspec.json.encode(
        {
            "station": "press",
            "part": f"{setup.life}-{index}",
            "sequence": index,
            "time": clock.iso(wall_ns),
            "wall_ns": wall_ns,
            "mono_ns": time.monotonic_ns(),
            "boot": setup.boot,
            "verdict": "ng" if index % 10 == 0 else "ok",
            "scores": {"anomaly": round(score, 4)},
            "model": "0123456789ab",
            "latency_us": {"inference": inference, "total": inference + 900},
            "pad": draw.randbytes(setup.pad_bytes).hex(),
        }
    )


def alarm(setup: Setup, index: int) -> bytes:
    """Write a transition of an alarm as the agent does."""
    wall_ns = time.time_ns()
    return msgspec.json.encode(
        {
            "key": "light/brightness/press",
            "station": "press",
            "state": "unacknowledged" if index % 2 else "normal",
            "event": "raise" if index % 2 else "clear",
            "priority": "high",
            "text": f"{setup.life}-{index}",
            "time": clock.iso(wall_ns),
            "wall_ns": wall_ns,
            "mono_ns": time.monotonic_ns(),
            "boot": setup.boot,
        }
    )


def make(spool: Spool, setup: Setup, stop: threading.Event) -> None:
    """Append records at a rate until told to stop, and tell of each."""
    draw = random.Random(setup.life)
    index, due = 0, time.monotonic()
    while not stop.is_set():
        for _ in range(_BURST):
            index += 1
            if index % setup.alarm_every == 0:
                lane, record = ALARMS, alarm(setup, index)
            else:
                lane = NG if index % 10 == 0 else OK
                record = inspection(setup, index, draw)
            number = spool.append(lane, record)
            if lane == ALARMS:
                number = _announced(spool, number)
            told = f"{lane[0]} {number} {index} {time.monotonic_ns()}\n"
            os.write(1, told.encode("ascii"))
            due += 1 / setup.rate
        if index % 1000 < _BURST:
            while spool.backlog().records > setup.backlog_most and not stop.wait(_PAUSE_S):
                due = time.monotonic()
        late_s = time.monotonic() - due
        if late_s < 0:
            stop.wait(-late_s)
        elif late_s > 1:
            due += late_s  # what could not be made is not made up for


def _announced(spool: Spool, number: int) -> int:
    """Sync an alarm, as the agent does before it announces one; 0 if that failed."""
    try:
        spool.sync(ALARMS)
    except SpoolError:
        return 0
    return number


def birth(setup: Setup, *, online: bool) -> bytes:
    """Write a birth."""
    return wire.encode(wire.Birth(device=setup.name, online=online, boot=setup.boot))


def main(setup: Setup) -> None:
    """Make records until told to stop, then deliver what is left."""
    clock.boot_id = lambda: setup.boot  # type: ignore[assignment]  # a boot of the test's
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    spool = Spool(Path(setup.directory), LANES, msgspec.convert(setup.spool, SpoolSettings))
    uplink = Uplink(
        spool,
        Topics("edge/v1", setup.name),
        mqtt=MqttSettings(
            host=setup.host,
            port=setup.port,
            keepalive_s=setup.keepalive_s,
            allow_plaintext=Plaintext.ANYWHERE,
        ),
        settings=msgspec.convert(setup.uplink, UplinkSettings),
        birth=birth(setup, online=True),
        death=birth(setup, online=False),
    )
    spool.on_sealed = uplink.wake
    uplink.start()
    make(spool, setup, stop)
    end, rest = time.monotonic() + setup.drain_s, threading.Event()
    left = 1
    while left and time.monotonic() < end:
        try:
            spool.flush(max(0.1, end - time.monotonic()))
        except SpoolError:
            rest.wait(_PAUSE_S)
        uplink.drain(0.5)
        left = spool.backlog().records
    os.write(1, f"left {left}\n".encode("ascii"))
    uplink.stop()
    spool.close()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Setup))
