"""The collector against a real broker, with a store that can be made to fail."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from typing import TYPE_CHECKING

import pytest

from edge_agent.collector.ingest import Ingest
from edge_agent.collector.reading import Reader
from edge_agent.collector.settings import CollectorConfig, IngestSettings, StoreSettings
from edge_agent.collector.store import Group, Outcome, Store, StoreUnavailable, Tidied, open_store
from edge_agent.errors import StoreError
from edge_agent.topics import Topics
from edge_agent.uplink import wire
from edge_agent.uplink.client import Client, Identity, Message
from edge_agent.uplink.settings import MqttSettings
from tests.broker import Broker
from tests.unit.collector import poison
from tests.unit.collector.arrivals import birth, inspection, sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edge_agent.collector.gaps import Gap

pytestmark = pytest.mark.broker

TOPICS = Topics("edge/v1", "dev1")
BATCH = TOPICS.batch("inspections")


class Flaky:
    """A store that fails as it is told to before it does its work."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.away = threading.Event()
        self.poison = -1
        self.commits = 0

    def commit(self, group: Group) -> list[Outcome]:
        if self.away.is_set():
            raise StoreUnavailable("away")
        if any(d.header.batch == self.poison for d in group.deliveries):
            raise StoreError("cannot be stored")
        self.commits += 1
        return self.store.commit(group)

    def sweep(self, now_ns: int, *, grace_s: float) -> list[Gap]:
        return self.store.sweep(now_ns, grace_s=grace_s)

    def gone(
        self, device: str, stream: str, batches: Sequence[tuple[int, int]], now_ns: int
    ) -> None:
        self.store.gone(device, stream, batches, now_ns)

    def tidy(self, now_ns: int) -> Tidied:
        return self.store.tidy(now_ns)

    def close(self) -> None:
        self.store.close()


class Device:
    """A device played by the test: sends what it is given, keeps the acknowledgements."""

    def __init__(self, port: int) -> None:
        settings = MqttSettings(port=port, session_expiry_s=0)
        self._client = Client(settings, Identity(client_id="dev"), self)
        self.acks: list[wire.Ack] = []

    def connected(self) -> None:
        self._client.subscribe(TOPICS.ack)

    def disconnected(self, reason: str) -> None:
        pass

    def received(self, message: Message) -> None:
        self.acks.append(wire.decode_ack(message.payload))

    def send(self, topic: str, *payloads: bytes) -> None:
        self.until(lambda: self._client.is_connected)
        for payload in payloads:
            self._client.publish(topic, payload, qos=1)

    def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        end = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end, "not in time"
            self._client.pump(0.02)

    @property
    def told(self) -> list[int]:
        """The batch numbers that the collector says it has, in order."""
        return [n for ack in self.acks for low, high in ack.batches for n in range(low, high + 1)]

    def close(self) -> None:
        self._client.close()


class Rig:
    """A running collector and a device."""

    def __init__(self, directory: Path) -> None:
        self.broker = Broker(directory / "broker")
        self.broker.start()
        self.url = f"sqlite:///{directory}/collector.db"
        self.store = Flaky(open_store(StoreSettings(url=self.url)))
        config = CollectorConfig(
            mqtt=MqttSettings(port=self.broker.port),
            ingest=IngestSettings(batch_limit_bytes=2**20),
        )
        self.ingest = Ingest(config, self.store)
        self.thread = threading.Thread(target=self.ingest.run)
        self.thread.start()
        self.device = Device(self.broker.port)
        self.reader = Reader(self.url)
        self.device.until(lambda: self.ingest._client.is_connected)
        # Retained, so that it is stored whenever the collector's subscription stands.
        self.device.until(lambda: self.device._client.is_connected)
        self.device._client.publish(TOPICS.birth, birth(), qos=1, retain=True)
        self.device.until(lambda: bool(self.reader.devices()))

    def numbers(self) -> list[int]:
        return [entry.number for entry in self.reader.inspections(last=1000)]

    def close(self) -> None:
        self.ingest.stop()
        self.thread.join(5)
        self.device.close()
        self.reader.close()
        self.store.close()
        self.broker.stop()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_stored_batches_are_told_again_and_again(rig: Rig) -> None:
    batch = sealed(1, [inspection(1)])
    for times in (1, 2, 3):
        rig.device.send(BATCH, batch)
        rig.device.until(lambda n=times: len(rig.device.told) == n)  # type: ignore[misc]  # bound now
    assert rig.device.told == [1, 1, 1]
    assert rig.numbers() == [1]
    assert (rig.ingest.counts.stored, rig.ingest.counts.repeated) == (1, 2)


def test_commit_before_word(rig: Rig) -> None:
    rig.store.away.set()
    rig.device.send(BATCH, sealed(1, [inspection(1)]))
    end = time.monotonic() + 0.3
    rig.device.until(lambda: time.monotonic() > end)
    assert rig.device.told == []
    assert rig.numbers() == []


def test_a_database_that_is_away_stops_nothing(rig: Rig) -> None:
    rig.store.away.set()
    for number in (1, 2, 3):
        rig.device.send(BATCH, sealed(number, [inspection(number)], first=number))
    rig.store.away.clear()
    rig.device.until(lambda: rig.device.told == [1, 2, 3])
    assert rig.numbers() == [1, 2, 3]


def test_all_is_answered(rig: Rig) -> None:
    bad = [b"garbage", sealed(1, [b"{"]), sealed(9, [inspection(1)], kind="maps")]
    rig.device.send(BATCH, *bad, sealed(2, [inspection(2)], first=2))
    rig.device.until(lambda: rig.device.told == [2])
    assert rig.ingest.counts.rejected == 3
    assert rig.numbers() == [2]
    rig.device.until(lambda: not rig.ingest._done)
    log = rig.broker.log()
    assert "protocol error" not in log.lower()


def test_never_dies(rig: Rig) -> None:
    rig.store.poison = 2
    batches = [sealed(n, [inspection(n)], first=n) for n in (1, 2, 3)]
    rig.device.send(BATCH, *batches)
    rig.device.until(lambda: sorted(rig.device.told) == [1, 3])
    assert sorted(rig.numbers()) == [1, 3]
    assert rig.ingest.counts.rejected == 1
    assert rig.thread.is_alive()


def test_many_batches_share_a_transaction(rig: Rig) -> None:
    rig.store.away.set()
    rig.device.send(BATCH, *[sealed(n, [inspection(n)], first=n) for n in range(1, 61)])
    end = time.monotonic() + 0.5
    rig.device.until(lambda: time.monotonic() > end)
    before = rig.store.commits
    rig.store.away.clear()
    rig.device.until(lambda: len(rig.device.told) == 60)
    assert rig.store.commits - before <= 20
    assert len(rig.device.acks) < 60


def test_a_clean_stop_ends_the_thread(rig: Rig) -> None:
    rig.ingest.stop()
    rig.thread.join(5)
    assert not rig.thread.is_alive()


def test_bounded(rig: Rig) -> None:
    """Poison of every kind goes to quarantine with its reason, and what is good is stored."""
    good = sealed(1, [inspection(1)])
    huge = bytes(40 * 2**20)
    rig.device.send(BATCH, *poison.PAYLOADS.values(), huge, good)
    rig.device.until(lambda: rig.device.told == [1], within_s=30)
    assert rig.thread.is_alive()
    refused = {each.digest: each for each in rig.reader.quarantine(last=100)}
    assert len(refused) == len(poison.PAYLOADS) + 1
    large = refused.pop(_digest(huge))
    assert large.reason == f"message: {len(huge)} bytes where 33554432 are the most"
    assert (large.bytes, large.kept) == (len(huge), False)
    for name, payload in poison.PAYLOADS.items():
        reason = refused[_digest(payload)].reason
        assert re.search(poison.REASONS[name] + "|more than 1048576 bytes", reason), name


def _digest(payload: bytes) -> str:
    return hashlib.blake2b(payload, digest_size=16).hexdigest()
