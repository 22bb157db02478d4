"""Commands over MQTT: the invariants of `edge_agent.agent.commands`, over a real broker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from edge_agent.agent.commands import Commands
from edge_agent.errors import UsageError
from edge_agent.topics import Topics
from edge_agent.uplink import wire
from edge_agent.uplink.client import Client, Identity, Message
from edge_agent.uplink.settings import MqttSettings, UplinkSettings
from edge_agent.uplink.uplink import Uplink
from tests.broker import Broker

TOPICS = Topics("edge/v1", "dev1")


class NoBatches:
    """A source without batches."""

    lanes: Sequence[Any] = ()
    is_readable = True

    def pending(self, lane: str, *, after: int, limit: int) -> Sequence[Any]:
        return ()

    def acknowledge(self, stream: str, ranges: Sequence[tuple[int, int]]) -> int:
        return 0


class Scada:
    """Whoever gives commands: another client, on a thread of its own."""

    def __init__(self, broker: Broker, *answers: str) -> None:
        self.inbox: queue.Queue[Message] = queue.Queue()
        self._topics = answers
        self._orders: queue.Queue[tuple[bytes, str, bytes, bool]] = queue.Queue()
        self._stop = threading.Event()
        settings = MqttSettings(port=broker.port, session_expiry_s=0)
        self._client = Client(settings, Identity(client_id="scada"), self)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.inbox.get(timeout=5).topic == "probe"

    def connected(self) -> None:
        for topic in ("probe", TOPICS.birth, *self._topics):
            self._client.subscribe(topic)
        self._client.publish("probe", b"")

    def disconnected(self, reason: str) -> None:
        pass

    def received(self, message: Message) -> None:
        self.inbox.put(message)

    def order(
        self, payload: bytes, topic: str = "", correlation: bytes = b"", *, retain: bool = False
    ) -> None:
        self._orders.put((payload, topic, correlation, retain))
        self._client.wake()

    def answer(self) -> tuple[Message, wire.Answer]:
        message = self.inbox.get(timeout=5)
        return message, msgspec.json.decode(message.payload, type=wire.Answer)

    def close(self) -> None:
        self._stop.set()
        self._client.wake()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._client.pump(0.1)
            while self._client.is_connected and not self._orders.empty():
                payload, topic, correlation, retain = self._orders.get()
                self._client.publish(
                    TOPICS.command, payload, qos=1, retain=retain,
                    response_topic=topic, correlation=correlation,
                )  # fmt: skip
        self._client.close()


def changeover(command: wire.Command) -> dict[str, str]:
    if command.station != "press":
        raise UsageError(f"station {command.station!r}: unknown; there are press")
    if command.part_number == "fault":
        raise RuntimeError("nobody foresaw this")
    return {"part_number": command.part_number}


def command(**fields: Any) -> bytes:
    return wire.encode(wire.Command(**({"verb": "changeover", "station": "press"} | fields)))


@pytest.fixture
def device(broker: Broker) -> Iterator[Uplink]:
    def publish(topic: str, payload: bytes, correlation: bytes) -> None:
        uplink.publish_live(topic, payload, qos=1, correlation=correlation)

    commands = Commands(TOPICS, {"changeover": changeover}, publish)
    uplink = Uplink(
        NoBatches(),
        TOPICS,
        mqtt=MqttSettings(port=broker.port),
        settings=UplinkSettings(reconnect_min_ms=20, reconnect_max_ms=50),
        birth=b"birth",
        death=b"death",
        on_command=commands.take,
    )
    commands.start()
    yield uplink
    uplink.stop()
    commands.close()


@pytest.fixture
def scada(broker: Broker, device: Uplink) -> Iterator[Scada]:
    """Have a SCADA system that listens, and a device that has said it is there."""
    scada = Scada(broker, "scada/answers", TOPICS.answer, TOPICS.answer + "/#", TOPICS.alarm)
    device.start()
    assert scada.inbox.get(timeout=5).payload == b"birth"
    yield scada
    scada.close()


pytestmark = pytest.mark.broker


def test_a_command_is_answered_where_and_as_it_asks(scada: Scada) -> None:
    scada.order(command(part_number="4711-B"), "scada/answers", b"order 7")
    message, answer = scada.answer()
    assert (message.topic, message.correlation) == ("scada/answers", b"order 7")
    assert answer == wire.Answer(ok=True, result={"part_number": "4711-B"})


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "cannot be read"),
        (b"[" * 5000, "cannot be read"),
        (b'{"verb":"changeover","schema":"edge/command/2"}', "is not 'edge/command/1'"),
        (command(verb="explode"), "verb 'explode' is not known; there is changeover"),
        (command(station="nowhere"), "station 'nowhere': unknown"),
        (command(part_number="fault"), "fault in the agent: RuntimeError"),
        (b'{"verb":"changeover","part_number":"' + b"x" * 300 + b'"}', "cannot be read"),
    ],
)
def test_a_bad_command_is_answered_with_what_is_wrong(
    scada: Scada, payload: bytes, words: str
) -> None:
    scada.order(payload, "scada/answers", b"1")
    message, answer = scada.answer()
    assert (message.correlation, answer.ok) == (b"1", False)
    assert words in answer.error
    scada.order(command(part_number="next"), "scada/answers")
    assert scada.answer()[1].ok


@pytest.mark.parametrize("topic", ["", TOPICS.alarm, "edge/v1", "edge/v1/other/batch/inspections"])
def test_an_answer_never_goes_where_it_would_mean_something_else(scada: Scada, topic: str) -> None:
    scada.order(command(part_number="a"), topic, b"2")
    message, answer = scada.answer()
    assert (message.topic, message.correlation, answer.ok) == (TOPICS.answer, b"2", True)


def test_an_answer_may_go_below_the_devices_own_topic(scada: Scada) -> None:
    scada.order(command(part_number="a"), TOPICS.answer + "/scada")
    assert scada.answer()[0].topic == TOPICS.answer + "/scada"


def test_a_retained_command_is_refused(broker: Broker, device: Uplink) -> None:
    scada = Scada(broker, "scada/answers")
    try:
        scada.order(command(part_number="a"), "scada/answers", retain=True)
        scada.order(b"", retain=False)
        device.start()
        found = [scada.inbox.get(timeout=5) for _ in range(2)]
        (answer,) = [each for each in found if each.topic == "scada/answers"]
        assert b"retained ones are not carried out" in answer.payload
    finally:
        scada.close()


def test_what_comes_while_too_many_wait_is_refused() -> None:
    answers: list[bytes] = []
    commands = Commands(
        TOPICS, {"changeover": changeover}, lambda _topic, payload, _data: answers.append(payload)
    )
    for number in range(70):
        commands.take(Message(TOPICS.command, command(part_number=str(number)), False, 1, 1, 1))
    assert len(answers) == 6  # nobody carries them out yet
    assert all(b"busy: 64 commands wait" in answer for answer in answers)
    commands.start()
    commands.close()
    assert len(answers) == 70
