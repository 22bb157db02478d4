"""`uplink.ack = "broker"`: a consumer that is not ours gets all, killed and away as it may be."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.unit.spool import second_decoder

pytestmark = [pytest.mark.broker, pytest.mark.processes]

HERE = Path(__file__).parent


class Plant:
    """A broker, a device that takes its word, and a foreign consumer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = folder / "kept"
        self.kept.mkdir()
        self.broker = Broker(folder / "broker")
        self.told: list[int] = []
        self.left: list[int] = []
        self._readers: list[threading.Thread] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def start_device(self) -> subprocess.Popen[bytes]:
        arguments = [str(self.folder / "spool"), str(self.broker.port), "dev1", "100", "broker"]
        device = self._start("device.py", *arguments)
        reader = threading.Thread(target=self._listen, args=(device,))
        reader.start()
        self._readers.append(reader)
        return device

    def start_consumer(self) -> subprocess.Popen[bytes]:
        consumer = self._start("foreign_consumer.py", str(self.kept), str(self.broker.port))
        assert consumer.stdout is not None
        assert consumer.stdout.readline() == b"ready\n"
        return consumer

    def load(self, records: int) -> None:
        target, end = len(self.told) + records, time.monotonic() + 20
        while len(self.told) < target:
            assert time.monotonic() < end, "not in time"
            time.sleep(0.01)

    def finish(self, device: subprocess.Popen[bytes]) -> None:
        device.send_signal(signal.SIGTERM)
        assert device.wait(30) == 0
        for reader in self._readers:
            reader.join()

    def numbers(self) -> list[int]:
        found: set[int] = set()
        for path in self.kept.glob("inspections-*"):
            if not path.suffix:
                header, _ = second_decoder.decode(path.read_bytes())
                found.update(range(header["first"], header["last"] + 1))
        return sorted(found)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
        for reader in self._readers:
            reader.join()
        for process in self.processes:
            assert process.stdout is not None
            process.stdout.close()
        self.broker.stop()

    def _start(self, script: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(HERE / script), *arguments]
        self.processes.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        return self.processes[-1]

    def _listen(self, device: subprocess.Popen[bytes]) -> None:
        assert device.stdout is not None
        for line in device.stdout:
            name, number = line.split()
            if name == b"inspections":
                self.told.append(int(number))
            elif name == b"left":
                self.left.append(int(number))


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path)
    plant.broker.start()
    yield plant
    plant.stop()


def test_a_killed_consumer_misses_nothing_and_the_device_keeps_nothing(plant: Plant) -> None:
    consumer = plant.start_consumer()
    device = plant.start_device()
    for _ in range(3):
        plant.load(60)
        consumer.kill()
        consumer.wait()
        plant.load(40)  # the broker keeps what it confirmed
        consumer = plant.start_consumer()
    plant.load(40)
    plant.finish(device)
    assert plant.left == [0]
    end = time.monotonic() + 10
    while len(plant.numbers()) < max(plant.told) and time.monotonic() < end:
        time.sleep(0.05)
    assert plant.numbers() == list(range(1, max(plant.told) + 1))
    assert sorted(plant.told) == plant.numbers()


def test_what_nobody_subscribed_to_stays_on_the_device(plant: Plant) -> None:
    device = plant.start_device()
    plant.load(100)
    consumer = plant.start_consumer()  # the first there ever was
    plant.load(50)
    plant.finish(device)
    end = time.monotonic() + 10
    while len(plant.numbers()) < max(plant.told) and time.monotonic() < end:
        time.sleep(0.05)
    assert sorted(plant.told) == plant.numbers()
    assert consumer.poll() is None
