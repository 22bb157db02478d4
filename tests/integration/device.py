"""A device for tests: a process with a real spool and a real uplink that writes made-up records.

    python device.py DIRECTORY PORT NAME RATE [ACK]

It prints `lane number` once `append` returned, so that the test knows what must arrive, and ends
with SIGTERM, or with SIGKILL like the real thing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool
from edge_agent.topics import Topics
from edge_agent.uplink import wire
from edge_agent.uplink.settings import AckBy, MqttSettings, UplinkSettings
from edge_agent.uplink.uplink import Uplink

LANES = (Lane("alarms", "alarms", urgent=True), Lane("inspections", "inspections"))
ALARM_EVERY = 50


def inspection(index: int) -> bytes:
    """Write an inspection record as the agent does."""
    return msgspec.json.encode(
        {
            "station": "press",
            "part": f"{os.getpid()}-{index}",
            "sequence": index,
            "time": "2026-05-01T06:00:00.000Z",
            "wall_ns": time.time_ns(),
            "mono_ns": time.monotonic_ns(),
            "boot": "b" * 32,
            "verdict": "ng" if index % 10 == 0 else "ok",
            "causes": [],
            "scores": {"anomaly": index % 100 / 100},
            "model": "0123456789ab",
        }
    )


def alarm(index: int) -> bytes:
    """Write a transition of an alarm as the agent does."""
    return msgspec.json.encode(
        {
            "key": "light/press",
            "station": "press",
            "state": "unacknowledged" if index % 2 else "normal",
            "event": "raise" if index % 2 else "clear",
            "priority": "high",
            "text": f"too dark [{index}]",
            "time": "2026-05-01T06:00:00.000Z",
        }
    )


def birth(name: str, *, online: bool) -> bytes:
    """Write a birth."""
    return wire.encode(wire.Birth(device=name, online=online, boot="b" * 32, version="test"))


def main(directory: Path, port: int, name: str, rate: float, ack: AckBy) -> None:
    """Append at a rate until told to stop; then say goodbye."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    spool = Spool(directory, LANES, SpoolSettings(batch_records=100, batch_age_ms=200))
    uplink = Uplink(
        spool,
        Topics("edge/v1", name),
        mqtt=MqttSettings(port=port),
        settings=UplinkSettings(
            ack=ack, ack_timeout_ms=500, reconnect_min_ms=20, reconnect_max_ms=200
        ),
        birth=birth(name, online=True),
        death=birth(name, online=False),
    )
    spool.on_sealed = uplink.wake
    uplink.start()
    index, due = 0, time.monotonic()
    while not stop.is_set():
        index += 1
        lane, record = "inspections", inspection(index)
        if index % ALARM_EVERY == 0:
            lane, record = "alarms", alarm(index // ALARM_EVERY)
        number = spool.append(lane, record)
        os.write(1, f"{lane} {number}\n".encode())
        due += 1 / rate
        stop.wait(max(0.0, due - time.monotonic()))
    spool.flush()
    uplink.drain(20)
    left = spool.backlog().records
    os.write(1, f"left {left}\n".encode())
    uplink.stop()
    spool.close()


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(sys.argv[2]),
        sys.argv[3],
        float(sys.argv[4]),
        AckBy(sys.argv[5]) if len(sys.argv) > 5 else AckBy.COLLECTOR,
    )
