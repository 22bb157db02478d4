"""The uplink against a real broker, with a source in memory and a collector played by the test."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from edge_agent import clock
from edge_agent.uplink import wire
from edge_agent.uplink.settings import MqttSettings
from edge_agent.uplink.uplink import Uplink
from tests.unit.uplink.peer import FAST, TOPICS, Batch, Peer, Source, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.broker import Broker

pytestmark = pytest.mark.broker


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def faults() -> list[str]:
    return []


@pytest.fixture
def uplink(broker: Broker, source: Source, faults: list[str]) -> Iterator[Uplink]:
    uplink = Uplink(
        source,
        TOPICS,
        mqtt=MqttSettings(port=broker.port),
        settings=FAST,
        birth=b"birth",
        death=b"death",
        on_fault=faults.append,
    )
    yield uplink
    uplink.stop()


def test_forgotten_only_when_committed(broker: Broker, source: Source, uplink: Uplink) -> None:
    peer = Peer(broker, TOPICS.batch("+"))
    uplink.start()
    got = [peer.get().topic for _ in range(5)]
    assert got == ["edge/v1/dev1/batch/slow"] * 5
    again = [peer.get() for _ in range(5)]  # the broker took them, the collector did not say so
    assert len(again) == 5
    assert source.acknowledged == []
    peer.send(TOPICS.ack, wire.encode(wire.Ack(stream="a1", batches=[(1, 4)])))
    eventually(lambda: uplink.state().in_flight == 1)
    assert source.acknowledged == [("a1", [(1, 4)])]
    assert uplink.state().acked_batches == 4
    assert uplink.state().resent_batches >= 5
    assert uplink.state().sent_bytes == 4 * uplink.state().sent_batches
    peer.close()


def test_each_sending_says_when_it_was(broker: Broker, source: Source, uplink: Uplink) -> None:
    source.batches["slow"] = source.batches["slow"][:1]
    peer = Peer(broker, TOPICS.batch("+"))
    before_ns = time.monotonic_ns()
    uplink.start()
    first, again = peer.get(), peer.get()
    assert list(first.properties) == [
        "encoding", "stream", "batch", "boot", "sent_wall_ns", "sent_mono_ns", "expiry_s",
    ]  # fmt: skip
    assert first.properties["boot"] == clock.boot_id()
    sent_ns = [int(each.properties["sent_mono_ns"]) for each in (first, again)]
    assert before_ns < sent_ns[0] < sent_ns[1] < time.monotonic_ns()
    assert first.properties["expiry_s"] == str(wire.EXPIRY_S)
    assert first.expiry_s == wire.EXPIRY_S  # it did not wait at the broker
    assert first.payload == again.payload
    peer.close()


def test_urgent_lanes_go_first(broker: Broker, source: Source, uplink: Uplink) -> None:
    source.batches["quick"] = [Batch(1, "quick", "b2")]
    peer = Peer(broker, TOPICS.batch("+"))
    uplink.start()
    assert peer.get().topic == TOPICS.batch("quick")
    peer.close()


def test_nobody_waits(broker: Broker, uplink: Uplink) -> None:
    broker.kill()
    uplink.start()
    began = time.monotonic()
    for index in range(5000):
        uplink.publish_live(TOPICS.verdict("s"), b"%d" % index)
    assert time.monotonic() - began < 1
    assert uplink.state().live_dropped == 5000
    assert not uplink.state().connected
    eventually(lambda: "refused" in uplink.state().error)


def test_live_messages_arrive(broker: Broker, uplink: Uplink) -> None:
    peer = Peer(broker, TOPICS.verdict("+"))
    uplink.start()
    eventually(lambda: uplink.state().connected)

    def arrives() -> bool:
        uplink.publish_live(TOPICS.verdict("s"), b"ok")
        return not peer.inbox.empty()

    eventually(arrives)
    assert peer.get().payload == b"ok"
    peer.close()


def test_never_dies(broker: Broker, source: Source, uplink: Uplink, faults: list[str]) -> None:
    source.broken = True
    peer = Peer(broker, TOPICS.batch("+"))
    uplink.start()
    eventually(lambda: len(faults) >= 2)
    assert "the disk is gone" in faults[0]
    peer.send(TOPICS.ack, b"not an ack")
    eventually(lambda: any("WireError" in fault for fault in faults))
    source.broken = False
    assert peer.get().topic == TOPICS.batch("slow")
    assert uplink.state().faults == len(faults)
    peer.close()


def test_a_broker_without_memory_is_told_again(broker: Broker, uplink: Uplink) -> None:
    uplink.start()
    eventually(lambda: uplink.state().connected)
    uplink.publish_live(TOPICS.alarm_state("light"), b"raised", retain=True, qos=1)
    eventually(lambda: uplink.state().live_sent == 1)
    broker.kill()
    eventually(lambda: not uplink.state().connected)
    broker.start()
    eventually(lambda: uplink.state().connects == 2)
    eventually(lambda: uplink.state().live_sent == 2)
    peer = Peer(broker)
    for topic in (TOPICS.birth, TOPICS.alarm_state("+")):
        peer.subscribe(topic)
    got = {message.topic: message for message in (peer.get(), peer.get())}
    assert got[TOPICS.birth].payload == b"birth"
    assert got[TOPICS.alarm_state("light")].payload == b"raised"
    assert all(message.retain for message in got.values())
    peer.close()


def test_a_clean_stop_leaves_the_death(broker: Broker, uplink: Uplink) -> None:
    uplink.start()
    eventually(lambda: uplink.state().connected)
    uplink.stop()
    uplink.publish_live("x", b"too late")
    peer = Peer(broker)
    peer.subscribe(TOPICS.birth)
    assert peer.get().payload == b"death"
    peer.close()
