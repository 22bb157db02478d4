"""What the tests of the uplink play: a source in memory, and another client of the broker."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from edge_agent.topics import Topics
from edge_agent.uplink.client import Client, Identity, Message
from edge_agent.uplink.settings import MqttSettings, UplinkSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.broker import Broker

TOPICS = Topics("edge/v1", "dev1")
FAST = UplinkSettings(ack_timeout_ms=200, reconnect_min_ms=20, reconnect_max_ms=50)


class Batch(msgspec.Struct, frozen=True):
    batch: int
    kind: str
    stream: str
    data: bytes = b"data"
    content_type: str = "application/test"
    encoding: str = "none"


class Lane(msgspec.Struct, frozen=True):
    name: str
    urgent: bool
    share: float = 1.0


class Source:
    """Batches in memory."""

    def __init__(self) -> None:
        self.lanes = [Lane("slow", urgent=False), Lane("quick", urgent=True)]
        self.batches = {"slow": [Batch(n, "slow", "a1") for n in range(1, 6)], "quick": []}
        self.acknowledged: list[tuple[str, list[tuple[int, int]]]] = []
        self.broken = False
        self.is_readable = True

    def pending(self, lane: str, *, after: int, limit: int) -> Sequence[Batch]:
        if self.broken:
            raise OSError("the disk is gone")
        return [batch for batch in self.batches[lane] if batch.batch > after][:limit]

    def acknowledge(self, stream: str, ranges: Sequence[tuple[int, int]]) -> int:
        self.acknowledged.append((stream, list(ranges)))
        return sum(high - low + 1 for low, high in ranges)


class Peer:
    """Another client of the broker, on a thread of its own."""

    def __init__(self, broker: Broker, *subscriptions: str) -> None:
        self.inbox: queue.Queue[Message] = queue.Queue()
        self._subscriptions = subscriptions
        self._orders: queue.Queue[Callable[[], object]] = queue.Queue()
        self._stop = threading.Event()
        settings = MqttSettings(port=broker.port, session_expiry_s=0)
        self._client = Client(
            settings, Identity(client_id="peer"), self, reconnect_min_s=0.02, reconnect_max_s=0.05
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.inbox.get(timeout=5).topic == "probe"  # all subscriptions stand

    def connected(self) -> None:
        for topic in ("probe", *self._subscriptions):
            self._client.subscribe(topic)
        self._client.publish("probe", b"")

    def disconnected(self, reason: str) -> None:
        pass

    def received(self, message: Message) -> None:
        self.inbox.put(message)

    def send(self, topic: str, payload: bytes) -> None:
        self._orders.put(lambda: self._client.publish(topic, payload, qos=1))
        self._client.wake()

    def subscribe(self, topic: str) -> None:
        self._orders.put(lambda: self._client.subscribe(topic))
        self._client.wake()

    def get(self) -> Message:
        return self.inbox.get(timeout=5)

    def close(self) -> None:
        self._stop.set()
        self._client.wake()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._client.pump(0.1)
            while self._client.is_connected and not self._orders.empty():
                self._orders.get()()
        self._client.close()


def eventually(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)
