"""What a collector misses: a real spool, uplink, broker, collector and store, with a hole made.

The device never sends again by itself here: what fills a gap was asked for.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import pytest

from edge_agent.collector.audit import Audit
from edge_agent.collector.gaps import GapState
from edge_agent.collector.ingest import Ingest
from edge_agent.collector.settings import CollectorConfig, IngestSettings, StoreSettings
from edge_agent.collector.store import open_store
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool
from edge_agent.topics import Topics
from edge_agent.uplink.settings import MqttSettings, UplinkSettings
from edge_agent.uplink.uplink import Uplink
from tests.unit.collector.arrivals import birth, inspection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_agent.uplink.client import Message
    from tests.broker import Broker

pytestmark = pytest.mark.broker


def wait_for(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


class Plant:
    """A device and a collector in this process."""

    def __init__(self, folder: Path, port: int) -> None:
        self.database = folder / "c.db"
        self.url = f"sqlite:///{self.database}"
        self.deaf_to: set[str] = set()  # batches that the collector does not hear of, once
        mqtt = MqttSettings(port=port)
        self.spool = Spool(folder / "spool", [Lane("ok", "inspections")], SpoolSettings())
        self.uplink = Uplink(
            self.spool,
            Topics("edge/v1", "dev1"),
            mqtt=mqtt,
            settings=UplinkSettings(ack_timeout_ms=600_000, ack_timeout_max_ms=600_000),
            birth=birth(),
            death=birth(online=False),
        )
        self.spool.on_sealed = self.uplink.wake
        self.config = CollectorConfig(
            mqtt=mqtt, ingest=IngestSettings(gap_grace_s=1.0, group="plant")
        )
        self.start_collector()
        self.uplink.start()
        wait_for(lambda: bool(self.audit.devices()))
        self._sequence = 0

    def start_collector(self) -> None:
        self.store = open_store(StoreSettings(url=self.url))
        self.ingest = Ingest(self.config, self.store)
        self.hear, self.ingest.received = self.ingest.received, self._receive  # type: ignore[method-assign]  # a message that gets lost between broker and store
        self._thread = threading.Thread(target=self.ingest.run)
        self._thread.start()
        wait_for(lambda: self.ingest._client.is_connected)
        self.audit = Audit(self.url)

    def stop_collector(self) -> None:
        self.ingest.stop()
        self._thread.join(10)
        self.audit.close()
        self.store.close()

    def _receive(self, message: Message) -> None:
        if message.properties.get("batch") in self.deaf_to:
            self.deaf_to.discard(message.properties["batch"])
            self.ingest._client.acknowledge(message)
            return
        self.hear(message)

    def seal(self, batches: int) -> None:
        """Write and seal batches of ten records."""
        for _ in range(batches):
            for _ in range(10):
                self._sequence += 1
                self.spool.append("ok", inspection(self._sequence))
            self.spool.flush()

    def numbers(self) -> list[int]:
        stream = self.spool.stats().lanes["ok"].stream
        return self.audit.numbers("dev1", stream)

    def execute(self, *statements: str) -> None:
        with sqlite3.connect(self.database) as database:
            for statement in statements:
                database.execute(statement)
        database.close()

    def close(self) -> None:
        self.uplink.stop()
        self.spool.close()
        self.stop_collector()


@pytest.fixture
def plant(tmp_path: Path, broker: Broker) -> Iterator[Plant]:
    plant = Plant(tmp_path, broker.port)
    yield plant
    plant.close()


def test_what_the_device_still_has_comes_at_once(plant: Plant) -> None:
    plant.deaf_to = {"3", "4"}
    plant.seal(6)
    wait_for(lambda: plant.spool.backlog().batches == 2)
    assert len(plant.numbers()) == 40
    wait_for(lambda: len(plant.numbers()) == 60)
    assert plant.numbers() == list(range(1, 61))
    wait_for(lambda: plant.spool.backlog().batches == 0)
    wait_for(lambda: [gap.state for gap in plant.audit.gaps()] == [GapState.FILLED])
    (gap,) = plant.audit.gaps()
    assert (gap.first_batch, gap.last_batch, gap.first, gap.last, gap.asked) == (3, 4, 21, 40, 1)
    assert (gap.device, gap.kind) == ("dev1", "inspections")


def test_what_the_device_has_no_more_is_gone(plant: Plant) -> None:
    plant.seal(5)
    wait_for(lambda: plant.spool.backlog().batches == 0)
    plant.execute(
        "DELETE FROM batches WHERE batch IN (2, 3)",
        "DELETE FROM inspections WHERE number BETWEEN 11 AND 30",
        "UPDATE streams SET complete_to = 0",
    )
    wait_for(lambda: [gap.state for gap in plant.audit.gaps()] == [GapState.GONE])
    (gap,) = plant.audit.gaps()
    assert (gap.first_batch, gap.last_batch, gap.first, gap.last) == (2, 3, 11, 30)
    assert plant.ingest.counts.gone == 1
    plant.seal(1)
    wait_for(lambda: max(plant.numbers()) == 60)
    assert len(plant.audit.gaps()) == 1


def test_a_store_that_was_put_back_says_what_it_lacks(plant: Plant) -> None:
    """A backup is an earlier state: what came after it was acknowledged, and is gone."""
    plant.seal(3)
    wait_for(lambda: plant.spool.backlog().batches == 0)
    plant.stop_collector()
    backup = plant.database.with_suffix(".backup")
    with sqlite3.connect(plant.database) as database, sqlite3.connect(backup) as copy:
        database.backup(copy)
    database.close()
    copy.close()
    plant.start_collector()
    plant.seal(2)
    wait_for(lambda: plant.spool.backlog().batches == 0)
    plant.stop_collector()
    for leftover in plant.database.parent.glob("c.db-*"):
        leftover.unlink()
    backup.replace(plant.database)
    plant.start_collector()
    assert max(plant.numbers()) == 30
    plant.seal(1)
    wait_for(lambda: [gap.state for gap in plant.audit.gaps()] == [GapState.GONE])
    (gap,) = plant.audit.gaps()
    assert (gap.first_batch, gap.last_batch, gap.first, gap.last) == (4, 5, 31, 50)
    assert plant.numbers() == [*range(1, 31), *range(51, 61)]
