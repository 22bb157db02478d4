"""What is sent of the batches, and when: over a real broker, the collector played by the test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import msgspec
import pytest

from edge_agent.uplink import wire
from edge_agent.uplink.settings import AckBy, MqttSettings, UplinkSettings
from edge_agent.uplink.uplink import Uplink
from tests.unit.uplink.peer import FAST, TOPICS, Batch, Lane, Peer, Source, eventually
from tests.unit.uplink.slow_link import SlowLink

if TYPE_CHECKING:
    from tests.broker import Broker

pytestmark = pytest.mark.broker

PATIENT = msgspec.structs.replace(FAST, ack_timeout_ms=60_000)
BY_BROKER = msgspec.structs.replace(FAST, ack=AckBy.BROKER)


class Start(Protocol):
    """Starts an uplink, which the fixture stops."""

    def __call__(self, settings: UplinkSettings, port: int = 0) -> Uplink: ...


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def start(broker: Broker, source: Source) -> Iterator[Start]:
    started: list[Uplink] = []

    def start(settings: UplinkSettings, port: int = 0) -> Uplink:
        uplink = Uplink(
            source,
            TOPICS,
            mqtt=MqttSettings(port=port or broker.port),
            settings=settings,
            birth=b"birth",
            death=b"death",
        )
        uplink.start()
        started.append(uplink)
        return uplink

    yield start
    for uplink in started:
        uplink.stop()


def want(*ranges: tuple[int, int], stream: str = "a1") -> bytes:
    return wire.encode(wire.Want(stream=stream, batches=list(ranges)))


def numbers(peer: Peer, count: int) -> list[int]:
    return [int(peer.get().properties["batch"]) for _ in range(count)]


# --- forgotten only when acknowledged ------------------------------------------------------------


def test_forgotten_only_when_acknowledged(broker: Broker, source: Source, start: Start) -> None:
    peer = Peer(broker, TOPICS.batch("+"))
    uplink = start(FAST)
    assert numbers(peer, 7)[:5] == [1, 2, 3, 4, 5]  # the broker has them, and that is not enough
    assert source.acknowledged == []
    assert uplink.state().in_flight == 5
    peer.close()


def test_the_word_of_the_broker_counts_where_it_is_asked_for(
    broker: Broker, source: Source, start: Start
) -> None:
    consumer = Peer(broker, TOPICS.batch("+"))
    uplink = start(BY_BROKER)
    got = [consumer.get() for _ in range(5)]
    assert [each.payload for each in got] == [b"data"] * 5
    assert got[0].expiry_s is not None
    assert got[0].expiry_s > 100 * wire.EXPIRY_S  # nobody else has it any more
    eventually(lambda: uplink.state().in_flight == 0)
    assert wire.ranges(
        n for _, each in source.acknowledged for low, high in each for n in range(low, high + 1)
    ) == [(1, 5)]
    assert uplink.state().resent_batches == 0
    consumer.close()


def test_a_broker_that_has_nobody_for_a_batch_does_not_make_it_forgotten(
    broker: Broker, source: Source, start: Start
) -> None:
    uplink = start(BY_BROKER)
    eventually(lambda: uplink.state().unheard >= 10)
    assert "nobody has subscribed" in uplink.state().error
    assert source.acknowledged == []
    consumer = Peer(broker, TOPICS.batch("+"))
    eventually(lambda: uplink.state().in_flight == 0)
    assert sorted(set(numbers(consumer, 5))) == [1, 2, 3, 4, 5]
    assert uplink.state().error == ""
    consumer.close()


# --- urgent overtakes ----------------------------------------------------------------------------


def test_urgent_overtakes(broker: Broker, source: Source, start: Start) -> None:
    link = SlowLink(broker.port, 100_000)
    source.batches["slow"] = [
        Batch(n, "slow", "a1", data=bytes(50_000)) for n in range(1, 17)
    ]  # eight seconds' worth
    peer = Peer(broker, TOPICS.batch("+"))
    uplink = start(PATIENT, link.port)
    assert peer.get().topic == TOPICS.batch("slow")
    source.batches["quick"] = [Batch(1, "quick", "b2")]
    uplink.wake()
    before = 0
    while peer.get().topic == TOPICS.batch("slow"):
        before += 1
    assert before <= 5, "the urgent one waited behind the others"
    assert uplink.state().resent_batches == 0
    link.bytes_per_s = 10**9
    uplink.stop()
    link.close()
    peer.close()


def test_on_a_slow_link_nothing_is_sent_twice(broker: Broker, source: Source, start: Start) -> None:
    link = SlowLink(broker.port, 100_000)
    source.batches["slow"] = [Batch(1, "slow", "a1", data=bytes(100_000))]
    peer = Peer(broker, TOPICS.batch("+"))
    uplink = start(UplinkSettings(ack_timeout_ms=100), link.port)
    assert len(peer.get().payload) == 100_000  # after ten times the timeout
    assert uplink.state().sent_batches == 1
    link.bytes_per_s = 10**9
    uplink.stop()
    link.close()
    peer.close()


# --- within the budget ---------------------------------------------------------------------------


def test_within_the_budget(broker: Broker, source: Source, start: Start) -> None:
    source.lanes = [
        Lane("quick", urgent=True),
        Lane("ng", urgent=False),
        Lane("slow", urgent=False, share=0.5),
    ]
    source.batches["quick"] = [Batch(1, "quick", "b2", data=bytes(5_000))]
    source.batches["ng"] = []
    peer = Peer(broker, TOPICS.batch("+"), TOPICS.verdict("+"))
    uplink = start(msgspec.structs.replace(FAST, budget_bytes_per_hour=3_600_000))
    assert peer.get().topic == TOPICS.batch("quick")  # asks for nothing, again and again
    assert peer.get().topic == TOPICS.batch("quick")
    eventually(lambda: uplink.state().held == ("slow",))
    uplink.publish_live(TOPICS.verdict("s"), b"ok")
    eventually(lambda: uplink.state().live_dropped == 1)
    state = uplink.state()
    assert state.sent_batches == state.resent_batches + 1
    assert state.sent_bytes < state.hour_bytes == state.link_bytes < state.sent_bytes + 20_000
    assert state.budget_left < 0
    source.batches["ng"] = [Batch(1, "ng", "c3")]
    uplink.wake()
    eventually(lambda: uplink.state().held == ("ng", "slow"))
    peer.close()


def test_what_may_use_all_of_the_budget_goes_as_soon_as_there_is_any(
    broker: Broker, source: Source, start: Start
) -> None:
    source.lanes = [Lane("ng", urgent=False), Lane("slow", urgent=False, share=0.9)]
    source.batches["ng"] = [Batch(n, "ng", "c3") for n in range(1, 4)]
    peer = Peer(broker, TOPICS.batch("+"))
    start(msgspec.structs.replace(PATIENT, budget_bytes_per_hour=36_000_000))
    assert {peer.get().topic for _ in range(3)} == {TOPICS.batch("ng")}
    peer.close()


def test_where_bytes_are_dear_a_new_link_does_not_begin_again(
    broker: Broker, source: Source, start: Start
) -> None:
    link = SlowLink(broker.port, 10**9)
    uplink = start(msgspec.structs.replace(PATIENT, budget_bytes_per_hour=36_000_000), link.port)
    eventually(lambda: uplink.state().sent_batches == 5)
    time.sleep(0.5)  # the broker's answers are here
    link.cut()
    eventually(lambda: uplink.state().connects == 2)
    time.sleep(0.3)
    assert uplink.state().resent_batches == 0  # the broker knows us still, and what it has of us
    broker.kill()
    broker.start()
    eventually(lambda: uplink.state().resent_batches == 5)  # it has forgotten all
    uplink.stop()
    link.close()


def test_without_a_budget_nothing_is_held(broker: Broker, source: Source, start: Start) -> None:
    peer = Peer(broker, TOPICS.batch("+"))
    uplink = start(PATIENT)
    assert numbers(peer, 5) == [1, 2, 3, 4, 5]
    assert uplink.state().held == ()
    assert uplink.state().budget_left == 1.0
    peer.close()


# --- what the collector misses -------------------------------------------------------------------


def test_what_is_missed_is_sent_again_and_what_is_gone_is_said(
    broker: Broker, source: Source, start: Start
) -> None:
    source.batches["slow"] = [Batch(n, "slow", "a1") for n in (3, 4, 6)]
    peer = Peer(broker, TOPICS.batch("+"), TOPICS.gone)
    uplink = start(PATIENT)
    assert numbers(peer, 3) == [3, 4, 6]
    time.sleep(0.25)  # what went a moment ago is not sent again
    peer.send(TOPICS.want, want((1, 4), (6, 6)))
    answers = [peer.get() for _ in range(4)]
    gone = [wire.decode_gone(each.payload) for each in answers if each.topic == TOPICS.gone]
    assert gone == [wire.Gone(stream="a1", batches=[(1, 2)])]
    again = [each.properties["batch"] for each in answers if each.topic != TOPICS.gone]
    assert again == ["3", "4", "6"]
    assert uplink.state().resent_batches == 3
    peer.send(TOPICS.want, want((1, 9), stream="never heard of"))
    assert wire.decode_gone(peer.get().payload) == wire.Gone(
        stream="never heard of", batches=[(1, 9)]
    )
    assert uplink.state().wants == 2
    peer.close()


def test_an_answer_costs_little(broker: Broker, source: Source, start: Start) -> None:
    peer = Peer(broker, TOPICS.batch("+"), TOPICS.gone)
    uplink = start(PATIENT)
    assert numbers(peer, 5) == [1, 2, 3, 4, 5]
    time.sleep(0.25)
    began = time.monotonic()
    many = [(low, low + 10**9) for low in range(1, 10_001)]
    for _ in range(50):
        peer.send(TOPICS.want, want(*many))
    assert numbers(peer, 5) == [1, 2, 3, 4, 5]
    eventually(lambda: uplink.state().wants >= 3)
    assert uplink.state().wants <= 2 + (time.monotonic() - began) / 0.1
    assert uplink.state().resent_batches <= 5 * (1 + (time.monotonic() - began) / 0.2)
    assert uplink.state().faults == 0
    peer.close()


def test_nothing_is_called_gone_while_the_disk_does_not_work(
    broker: Broker, source: Source, start: Start
) -> None:
    source.is_readable = False
    peer = Peer(broker, TOPICS.batch("+"), TOPICS.gone)
    uplink = start(PATIENT)
    assert numbers(peer, 5) == [1, 2, 3, 4, 5]
    peer.send(TOPICS.want, want((1, 1), stream="x9"))
    time.sleep(0.5)
    assert peer.inbox.empty()
    source.is_readable = True
    uplink.wake()
    assert wire.decode_gone(peer.get().payload).stream == "x9"
    peer.close()


def test_an_acknowledgement_that_comes_while_the_disk_does_not_work_counts_later(
    broker: Broker, source: Source, start: Start
) -> None:
    source.is_readable = False
    peer = Peer(broker, TOPICS.batch("+"))
    uplink = start(PATIENT)
    assert numbers(peer, 5) == [1, 2, 3, 4, 5]
    peer.send(TOPICS.ack, wire.encode(wire.Ack(stream="a1", batches=[(1, 5)])))
    eventually(lambda: bool(source.acknowledged))
    source.acknowledged.clear()  # it forgot nothing
    source.is_readable = True
    uplink.wake()
    eventually(lambda: ("a1", [(1, 5)]) in source.acknowledged)
    time.sleep(0.2)
    assert len(source.acknowledged) <= 2, "again and again"
    peer.close()


def test_a_lane_that_a_mended_disk_brings_is_sent(
    broker: Broker, source: Source, start: Start
) -> None:
    peer = Peer(broker, TOPICS.batch("+"))
    start(PATIENT)
    assert numbers(peer, 5) == [1, 2, 3, 4, 5]
    source.batches["slow~a0"] = [Batch(7, "slow", "a0")]
    source.lanes.append(Lane("slow~a0", urgent=False))
    assert peer.get().properties["stream"] == "a0"
    peer.close()
