"""The uplink: one thread that owns the link and keeps sending until the collector has it all.

Invariants, each held by a test of its name in tests/unit/uplink/test_uplink.py or
tests/integration/test_uplink_to_store.py:

1. *forgotten only when committed*: the source is told to forget a batch only by an acknowledgement
   from the collector; what the broker says about it changes nothing.
2. *nobody waits*: `publish_live` and `wake` hand over and return, whatever the link does.
3. *never dies*: a fault in a round is counted, told and followed by the next round.
4. *a broker without memory is told again*: on every new connection birth and the last retained
   message of each topic are published, and what is in flight is sent again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec

from edge_agent import clock
from edge_agent.errors import WireError
from edge_agent.uplink import wire
from edge_agent.uplink.client import Client, Identity, Message
from edge_agent.uplink.window import Sealed, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.topics import Topics
    from edge_agent.uplink.settings import MqttSettings, UplinkSettings

log = logging.getLogger(__name__)

_ROUND_S = 0.5  # the longest sleep: also how soon a forgotten wake-up is made good
_FAULT_PAUSE_S = 0.5
# Waking the thread costs the caller half a millisecond (the woken thread takes the interpreter
# from it), on the path of a part. So while live messages come it is not woken: it looks by itself.
_LIVE_ROUND_S = 0.02
_LIVE_FOR_S = 3.0
_LIVE_MARGIN_S = 0.2
_DRAIN_S = 0.02


class Lane(Protocol):
    """A lane of the source."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def urgent(self) -> bool:
        """Whether it goes before others."""


class BatchSource(Protocol):
    """Where sealed batches come from and are forgotten: the spool, by shape."""

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes, the most important first."""

    def pending(self, lane: str, *, after: int, limit: int) -> Sequence[Sealed]:
        """Return the oldest batches of a lane whose number is above `after`."""

    def acknowledge(self, stream: str, ranges: Sequence[tuple[int, int]]) -> int:
        """Forget batches."""


class UplinkState(msgspec.Struct, frozen=True, kw_only=True):
    """How the uplink stands.

    Attributes:
        connected: Whether the broker has accepted us.
        connects: How often it did.
        in_flight: Batches sent and not acknowledged.
        sent_batches: Batches sent, repeated ones included.
        sent_bytes: Their payload bytes.
        resent_batches: Batches sent again.
        acked_batches: Batches the collector acknowledged and the source then forgot.
        live_sent: Live messages sent.
        live_dropped: Live messages dropped: the link was down or slow.
        faults: Rounds that failed, and messages to us that could not be read.
        error: Why the link is down, or the last fault; empty if all is well.
    """

    connected: bool = False
    connects: int = 0
    in_flight: int = 0
    sent_batches: int = 0
    sent_bytes: int = 0
    resent_batches: int = 0
    acked_batches: int = 0
    live_sent: int = 0
    live_dropped: int = 0
    faults: int = 0
    error: str = ""


class _Live(msgspec.Struct, frozen=True):
    topic: str
    payload: bytes
    retain: bool
    qos: int
    correlation: bytes = b""


class Uplink:
    """Sends batches and live messages. Any thread may call its public methods."""

    def __init__(
        self,
        source: BatchSource,
        topics: Topics,
        *,
        mqtt: MqttSettings,
        settings: UplinkSettings,
        birth: bytes,
        death: bytes,
        on_fault: Callable[[str], None] = lambda _text: None,
        on_link: Callable[[bool, str], None] = lambda _up, _reason: None,
        on_command: Callable[[Message], None] | None = None,
    ) -> None:
        """Make an uplink; `start` starts it.

        Args:
            source: Where batches come from.
            topics: The device's topics.
            mqtt: How the broker is reached.
            settings: How batches are sent.
            birth: Retained on every connection.
            death: Retained after a clean stop, and the will.
            on_fault: Called on the uplink's thread with the text of each fault.
            on_link: Called on the uplink's thread when the link comes up or goes down.
            on_command: Called on the uplink's thread with each command; must return at once. None
                takes no commands.
        """
        self._source = source
        self._topics = topics
        self._settings = settings
        self._birth = birth
        self._death = death
        self._on_fault = on_fault
        self._on_link = on_link
        self._on_command = on_command
        self._client = Client(
            mqtt,
            Identity(
                client_id=f"edge-agent-{topics.device}",
                will_topic=topics.birth,
                will_payload=death,
            ),
            self,
            reconnect_min_s=settings.reconnect_min_ms / 1000,
            reconnect_max_s=settings.reconnect_max_ms / 1000,
        )
        urgent_first = sorted(source.lanes, key=lambda lane: not lane.urgent)
        self._windows = {
            lane.name: Window(
                settings.window,
                timeout_s=settings.ack_timeout_ms / 1000,
                timeout_max_s=settings.ack_timeout_max_ms / 1000,
            )
            for lane in urgent_first
        }
        self._streams: dict[str, Window] = {}
        self._acks: list[wire.Ack] = []
        self._live: deque[_Live] = deque()
        self._live_lock = threading.Lock()
        self._retained: dict[str, _Live] = {}
        self._counts = dict.fromkeys(UplinkState.__struct_fields__[3:-1], 0)
        self._fault = ""
        self._looked_at = 0.0
        self._attentive_until = 0.0  # until then the thread looks for live messages by itself
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Start the uplink's thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 3.0) -> None:
        """Say goodbye to the broker and stop. What is not acknowledged stays in the source."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def drain(self, timeout_s: float) -> bool:
        """Wait until the collector has all sealed batches; False if it had not in time."""
        end = time.monotonic() + timeout_s
        while any(self._source.pending(name, after=0, limit=1) for name in self._windows):
            if time.monotonic() >= end:
                return False
            self._stopping.wait(_DRAIN_S)
        return True

    def wake(self) -> None:
        """Look for new batches now (the spool's `on_sealed`)."""
        self._looked_at = 0.0
        self._client.wake()

    def publish_live(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        qos: int = 0,
        correlation: bytes = b"",
    ) -> None:
        """Hand over a message that need not arrive; returns at once, and it goes within 20 ms.

        A retained one stands for its topic: it is sent again on every new connection. Others are
        dropped, and counted, while the link is down or when too many wait.
        """
        message = _Live(topic, payload, retain, qos, correlation)
        with self._live_lock:
            if retain:
                self._retained[topic] = message
            if not self._client.is_connected:
                self._counts["live_dropped"] += not retain
                return
            if len(self._live) >= self._settings.live_queue:
                self._live.popleft()
                self._counts["live_dropped"] += 1
            self._live.append(message)
        if self._attentive_until < time.monotonic() + _LIVE_MARGIN_S:
            self._client.wake()

    def state(self) -> UplinkState:
        """Tell how the uplink stands."""
        return UplinkState(
            connected=self._client.is_connected,
            connects=self._client.connects,
            in_flight=sum(len(window) for window in self._windows.values()),
            error=self._client.error or self._fault,
            **self._counts,
        )

    # --- what the client tells (on the uplink's thread) --------------------------------------

    def connected(self) -> None:
        """See `Listener`."""
        log.info("uplink is connected")
        self._client.subscribe(self._topics.ack)
        if self._on_command is not None:
            self._client.subscribe(self._topics.command)
        self._client.publish(self._topics.birth, self._birth, qos=1, retain=True)
        with self._live_lock:
            self._live.clear()  # what waits is either retained below or too late to be live
            self._live.extend(self._retained.values())
        now = time.monotonic()
        for window in self._windows.values():
            window.restart(now)
        self._looked_at = 0.0
        self._on_link(True, "")  # noqa: FBT003 - a callback's value

    def disconnected(self, reason: str) -> None:
        """See `Listener`."""
        log.warning("uplink is down: %s", reason)
        self._on_link(False, reason)  # noqa: FBT003 - a callback's value

    def received(self, message: Message) -> None:
        """See `Listener`."""
        if message.topic == self._topics.command and self._on_command is not None:
            self._on_command(message)
        if message.topic != self._topics.ack:
            return
        try:
            self._acks.append(wire.decode_ack(message.payload))
        except WireError as error:
            self._note_fault(error)

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._client.pump(self._pause_s())
                self._round(time.monotonic())
            except Exception as error:  # noqa: BLE001 - supervised: counted, told, tried again
                self._note_fault(error)
                self._stopping.wait(_FAULT_PAUSE_S)
        if self._client.is_connected:
            self._send_live()
            self._client.publish(self._topics.birth, self._death, qos=1, retain=True)
        self._client.close()

    def _pause_s(self) -> float:
        """How long there is nothing to do unless somebody wakes us."""
        if self._live or self._acks or not self._looked_at:
            return 0.0 if self._client.is_connected else _ROUND_S
        dues = [window.next_due_at() for window in self._windows.values()]
        next_due = min((due for due in dues if due is not None), default=float("inf"))
        now = time.monotonic()
        longest = _LIVE_ROUND_S if now < self._attentive_until else _ROUND_S
        return min(longest, max(0.0, next_due - now))

    def _round(self, now: float) -> None:
        self._take_acks()
        if not self._client.is_connected:
            return
        self._send_live()
        for window in self._windows.values():
            for batch in window.due(now):
                self._counts["resent_batches"] += 1
                self._send(batch)
        if now - self._looked_at >= _ROUND_S:
            self._looked_at = now
            self._fill(now)

    def _fill(self, now: float) -> None:
        """Send what the windows have room for, the urgent lanes first."""
        for name, window in self._windows.items():
            if window.room <= 0:
                continue
            for batch in self._source.pending(name, after=window.cursor, limit=window.room):
                self._streams[batch.stream] = window
                window.take(batch, now)
                self._send(batch)

    def _take_acks(self) -> None:
        """Let the source forget what the collector has, in one go for each stream."""
        acks, self._acks = self._acks, []
        by_stream: dict[str, list[tuple[int, int]]] = {}
        for ack in acks:
            by_stream.setdefault(ack.stream, []).extend(ack.batches)
        for stream, ranges in by_stream.items():
            self._counts["acked_batches"] += self._source.acknowledge(stream, ranges)
            window = self._streams.get(stream)
            if window is not None:
                for low, high in ranges:
                    window.acknowledge(low, high)
                self._looked_at = 0.0

    def _send(self, batch: Sealed) -> None:
        self._client.publish(
            self._topics.batch(batch.kind),
            batch.data,
            qos=1,
            content_type=batch.content_type,
            properties={
                "encoding": batch.encoding,
                "stream": batch.stream,
                "batch": str(batch.batch),
            },
            stamp=_sending,
            expiry_s=wire.EXPIRY_S,
        )
        self._counts["sent_batches"] += 1
        self._counts["sent_bytes"] += len(batch.data)

    def _send_live(self) -> None:
        while self._client.is_connected:
            with self._live_lock:
                if not self._live:
                    return
                self._attentive_until = time.monotonic() + _LIVE_FOR_S
                message = self._live.popleft()
            self._client.publish(
                message.topic,
                message.payload,
                qos=message.qos,
                retain=message.retain,
                correlation=message.correlation,
            )
            self._counts["live_sent"] += 1

    def _note_fault(self, error: Exception) -> None:
        self._counts["faults"] += 1
        self._fault = f"{type(error).__name__}: {error}"
        log.error("uplink: %s", self._fault)
        self._on_fault(self._fault)


def _sending() -> dict[str, str]:
    return wire.sending_properties(clock.boot_id(), clock.now())
