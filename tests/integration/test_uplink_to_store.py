"""Spool, uplink, a real Mosquitto, collector and SQLite, each killed in mid-load.

Every case ends with the same comparison: the record numbers that the device was given against the
rows of the database.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.broker import Broker, Memory
from tests.rigs import wall_clock
from tests.unit.uplink.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = [pytest.mark.broker, pytest.mark.processes]

RATE = 400.0
YEAR_NS = 365 * 86_400 * 10**9
DEVICE = Path(__file__).with_name("device.py")


class Plant:
    """A broker, a collector and a device, each a process that can be killed."""

    def __init__(self, directory: Path, *, memory: Memory) -> None:
        self.directory = directory
        self.broker = Broker(directory / "broker", memory=memory)
        self.database = directory / "collector.db"
        self.told: dict[str, list[int]] = {"inspections": [], "alarms": [], "left": []}
        self._readers: list[threading.Thread] = []
        self.device: subprocess.Popen[bytes] | None = None
        self.collector: subprocess.Popen[bytes] | None = None
        self.config = directory / "collector.toml"
        self.config.write_text(
            f'[mqtt]\nport = {self.broker.port}\n[store]\nurl = "sqlite:///{self.database}"\n',
            encoding="utf-8",
        )

    def start_device(self, *, rate: float = RATE, env: Mapping[str, str] | None = None) -> None:
        self.device = subprocess.Popen(
            [
                sys.executable,
                DEVICE,
                self.directory / "spool",
                str(self.broker.port),
                "dev1",
                str(rate),
            ],
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        reader = threading.Thread(target=self._listen, args=(self.device,))
        reader.start()
        self._readers.append(reader)

    def start_collector(self) -> None:
        command = [sys.executable, "-m", "edge_agent.cli.collector", "run", "-c", str(self.config)]
        with (self.directory / "collector.log").open("ab") as log:
            self.collector = subprocess.Popen(command, stderr=log)

    def _listen(self, device: subprocess.Popen[bytes]) -> None:
        assert device.stdout is not None
        with device.stdout as lines:
            for line in lines:
                name, number = line.split()
                self.told[name.decode()].append(int(number))

    def load(self, records: int) -> None:
        """Wait until the device has appended so many more."""
        target = len(self.told["inspections"]) + records
        wait_for(lambda: len(self.told["inspections"]) >= target)

    def finish(self) -> None:
        """Let the device deliver what it has, and stop everything in good order."""
        assert self.device is not None
        assert self.collector is not None
        self.device.send_signal(signal.SIGTERM)
        assert self.device.wait(30) == 0
        for reader in self._readers:
            reader.join()
        assert self.told["left"] == [0], "the device could not deliver everything"
        wait_for(self._seen_leaving)
        self.collector.send_signal(signal.SIGTERM)
        assert self.collector.wait(10) == 0

    def _seen_leaving(self) -> bool:
        """Whether the device's last word, which nobody answers, is in the database."""
        with sqlite3.connect(self.database) as database:
            states = database.execute("SELECT device, online FROM devices").fetchall()
        database.close()
        return states == [("dev1", 0)]

    def compare(self) -> None:
        """Hold what the device was told against what the database has."""
        with sqlite3.connect(self.database) as database:
            for kind in ("inspections", "alarms"):
                rows = database.execute(f"SELECT stream, number FROM {kind} ORDER BY number")
                stored = rows.fetchall()
                assert len({stream for stream, _ in stored}) == 1
                numbers = [number for _, number in stored]
                assert numbers == list(range(1, len(numbers) + 1)), "lost or doubled"
                told = set(self.told[kind])
                assert len(told) == len(self.told[kind]), "a number was given twice"
                assert told <= set(numbers), "lost"
                assert len(numbers) - len(told) <= 3, "more than was cut off in a kill"
            batches = database.execute("SELECT stream, batch, last - first + 1 FROM batches")
            by_stream: dict[str, list[int]] = {}
            for stream, batch, _ in batches:
                by_stream.setdefault(stream, []).append(batch)
            for numbers in by_stream.values():
                assert sorted(numbers) == list(range(1, len(numbers) + 1))
            assert database.execute("SELECT count(*) FROM quarantine").fetchone() == (0,)
            assert database.execute("SELECT count(*) FROM losses").fetchone() == (0,)
        database.close()

    def stop(self) -> None:
        for process in (self.device, self.collector):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for reader in self._readers:
            reader.join()
        self.broker.stop()


def wait_for(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path, memory=Memory.NONE)
    plant.broker.start()
    plant.start_collector()
    plant.start_device()
    yield plant
    plant.stop()


def test_all_arrives_once(plant: Plant) -> None:
    plant.load(500)
    plant.finish()
    plant.compare()
    assert len(plant.told["inspections"]) >= 500
    assert len(plant.told["alarms"]) >= 5


def test_a_broker_that_forgets_everything_loses_nothing(plant: Plant) -> None:
    for _ in range(3):
        plant.load(150)
        plant.broker.kill()
        plant.load(80)
        plant.broker.start()
    plant.load(150)
    plant.finish()
    plant.compare()


def test_a_killed_collector_loses_and_doubles_nothing(plant: Plant) -> None:
    for _ in range(3):
        plant.load(150)
        assert plant.collector is not None
        plant.collector.kill()
        plant.collector.wait()
        plant.load(50)
        plant.start_collector()
    plant.load(150)
    plant.finish()
    plant.compare()


def test_a_killed_device_loses_and_doubles_nothing(plant: Plant) -> None:
    for _ in range(3):
        plant.load(150)
        assert plant.device is not None
        plant.device.kill()
        plant.device.wait()
        plant.start_device()
    plant.load(150)
    plant.finish()
    plant.compare()


def _has(peer: Peer, messages: int) -> bool:
    return peer.inbox.qsize() >= messages


@pytest.mark.skipif(bool(wall_clock.missing()), reason=wall_clock.missing() or "it is here")
def test_a_clock_that_jumps_by_years_loses_doubles_and_reorders_nothing(tmp_path: Path) -> None:
    clock = wall_clock.WallClock(tmp_path / "clock")
    clock.set_off_s(-int(time.time()) + 86_400)  # no battery: it wakes in 1970
    plant = Plant(tmp_path, memory=Memory.NONE)
    plant.broker.start()
    peer = Peer(plant.broker, "edge/v1/dev1/batch/inspections")
    plant.start_collector()
    plant.start_device(rate=50, env=clock.env)
    try:
        for years in (0, 10, -20, 0):
            target = peer.inbox.qsize() + 3
            wait_for(partial(_has, peer, target))  # batches went by that clock
            clock.set_off_s(years * 365 * 86_400)
        plant.finish()
    finally:
        plant.stop()
        clock.close()
        peer.close()
    plant.compare()
    sent = [message.properties for message in peer.inbox.queue if message.properties]
    mono_ns = [int(each["sent_mono_ns"]) for each in sent]
    wall_ns = [int(each["sent_wall_ns"]) for each in sent]
    assert mono_ns == sorted(mono_ns)
    assert wall_ns != sorted(wall_ns)
    assert max(wall_ns) - min(wall_ns) > 60 * YEAR_NS  # it did jump
    batches = list(dict.fromkeys(int(each["batch"]) for each in sent))
    assert batches == list(range(1, len(batches) + 1))
    assert len({each["boot"] for each in sent}) == 1
