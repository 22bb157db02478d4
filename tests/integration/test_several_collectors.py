"""Several collectors on one broker share the load of a fleet; one of them dies, or hangs.

Each case ends with the same comparison: what the devices made against the rows of the store.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from edge_agent.collector.audit import Audit
from edge_agent.collector.simulation.check import check
from edge_agent.collector.simulation.fleet import Fleet, Load
from edge_agent.uplink.settings import MqttSettings, UplinkSettings
from tests.broker import MOSQUITTO, Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.rigs.postgresql import Cluster

pytestmark = [pytest.mark.broker, pytest.mark.processes]

RESEND_S = UplinkSettings().ack_timeout_ms / 1000


def wait_for(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


class Plant:
    """A broker, a store, and collectors of one group."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.broker = Broker(folder / "broker")
        self.broker.start()
        self.mqtt = MqttSettings(port=self.broker.port)
        self._config = folder / "collector.toml"
        self._config.write_text(
            f'[mqtt]\nport = {self.broker.port}\n[store]\nurl = "{url}"\n'
            '[ingest]\ngroup = "plant"\n',
            encoding="utf-8",
        )
        self.collectors: list[subprocess.Popen[bytes]] = []

    def start_collector(self) -> subprocess.Popen[bytes]:
        log = self.folder / f"collector-{len(self.collectors)}.log"
        command = [sys.executable, "-m", "edge_agent.cli.collector", "run", "-c"]
        with log.open("ab") as file:
            collector = subprocess.Popen([*command, str(self._config)], stderr=file)
        wait_for(lambda: "is connected" in log.read_text(encoding="utf-8"))
        self.collectors.append(collector)
        return collector

    def fleet(self, load: Load) -> Fleet:
        return Fleet(load, self.mqtt, UplinkSettings())

    def compare(self, fleet: Fleet) -> None:
        audit = Audit(self.url)
        found = check(fleet, audit)
        devices = {each.device: each for each in audit.devices()}
        audit.close()
        assert found.is_right, found
        assert found.stored == sum(source.made for source in fleet.sources)
        assert set(fleet.names) <= set(devices)

    def stop(self) -> None:
        for collector in self.collectors:
            if collector.poll() is None:
                collector.send_signal(signal.SIGCONT)
                collector.kill()
            collector.wait()
        self.broker.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    if MOSQUITTO is None:
        pytest.skip("Mosquitto absent: install the package 'mosquitto'")
    url = f"sqlite:///{tmp_path}/c.db"
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        url = cluster.database()
    plant = Plant(tmp_path, url)
    yield plant
    plant.stop()


def run(fleet: Fleet, *, until_s: float) -> None:
    wait_for(lambda: fleet.standing().seconds >= until_s)


def deliver(fleet: Fleet, within_s: float) -> None:
    """Let the fleet stop making, and wait for the last acknowledgement."""
    fleet.stop_making()
    wait_for(lambda: fleet.is_done, within_s)


def test_a_killed_collector_loses_and_doubles_nothing(plant: Plant) -> None:
    """Births are there too, though a shared subscription hears of none that is retained."""
    with plant.fleet(Load(devices=10, rate=40.0, batch=20, lines=2)) as fleet:
        assert fleet.wait_for_links(10)
        victim = plant.start_collector()
        plant.start_collector()
        fleet.begin()
        run(fleet, until_s=1.5)
        victim.kill()
        victim.wait()
        run(fleet, until_s=3)
        plant.start_collector()
        run(fleet, until_s=4)
        deliver(fleet, within_s=4 * RESEND_S)
        assert sum(source.made for source in fleet.sources) >= 800
        plant.compare(fleet)


def test_a_collector_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    """What the broker had dealt to it is committed and acknowledged: nobody sends again."""
    if MOSQUITTO is None:
        pytest.skip("Mosquitto absent: install the package 'mosquitto'")
    plant = Plant(tmp_path, f"sqlite:///{tmp_path}/c.db")
    try:
        leaving = plant.start_collector()
        plant.start_collector()
        with plant.fleet(Load(devices=10, rate=100.0, batch=10, lines=5)) as fleet:
            assert fleet.wait_for_links(10)
            fleet.begin()
            run(fleet, until_s=1)
            leaving.terminate()
            assert leaving.wait(10) == 0
            run(fleet, until_s=3)
            deliver(fleet, within_s=2 * RESEND_S)
            assert fleet.account().resent_batches == 0
            plant.compare(fleet)
    finally:
        plant.stop()


@pytest.mark.slow
def test_a_collector_that_hangs_does_not_stall_the_fleet(plant: Plant) -> None:
    victim = plant.start_collector()
    plant.start_collector()
    with plant.fleet(Load(devices=20, rate=20.0, batch=20, lines=4)) as fleet:
        assert fleet.wait_for_links(10)
        fleet.begin()
        run(fleet, until_s=2)
        victim.send_signal(signal.SIGSTOP)
        run(fleet, until_s=2 + 3 * RESEND_S)
        now = fleet.standing()
        # By now the broker has let go of it: what comes is acknowledged at once.
        assert now.backlog < 20 * 20 * 2
        deliver(fleet, within_s=3 * RESEND_S)
        # Sent again twice, at most: the second time it goes to the one that lives.
        assert fleet.account().longest_ms < (3 * RESEND_S + 4) * 1000
        victim.send_signal(signal.SIGCONT)
        time.sleep(1)
        plant.compare(fleet)


@pytest.mark.slow
def test_collectors_that_are_killed_over_and_over_lose_and_double_nothing(plant: Plant) -> None:
    for _ in range(3):
        plant.start_collector()
    with plant.fleet(Load(devices=60, rate=20.0, batch=40, lines=6)) as fleet:
        assert fleet.wait_for_links(20)
        fleet.begin()
        for turn in range(8):
            run(fleet, until_s=2.5 * (turn + 1))
            victim = plant.collectors[turn]
            victim.kill()
            victim.wait()
            plant.start_collector()
        deliver(fleet, within_s=8 * RESEND_S)
        plant.compare(fleet)
