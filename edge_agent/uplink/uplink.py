"""The uplink: one thread that owns the link and keeps sending until the collector has it all.

Invariants, each held by a test of its name in tests/unit/uplink/test_uplink.py or
tests/integration/test_uplink_to_store.py:

1. *forgotten only when committed*: the source is told to forget a batch only by an acknowledgement
   from the collector; what the broker says about it changes nothing, unless `uplink.ack` says so.
2. *nobody waits*: `publish_live` and `wake` hand over and return, whatever the link does.
3. *never dies*: a fault in a round is counted, told and followed by the next round.
4. *a broker without memory is told again*: on every new connection birth and the last retained
   message of each topic are published, and what is in flight is sent again.

What is sent when is the business of `batches`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import WireError
from edge_agent.uplink import wire
from edge_agent.uplink.batches import LOOK_S, Batches
from edge_agent.uplink.budget import Budget
from edge_agent.uplink.client import Client, Identity, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.topics import Topics
    from edge_agent.uplink.batches import BatchSource
    from edge_agent.uplink.settings import MqttSettings, UplinkSettings

log = logging.getLogger(__name__)

_FAULT_PAUSE_S = 0.5
# Waking the thread costs the caller half a millisecond (the woken thread takes the interpreter
# from it), on the path of a part. So while live messages come it is not woken: it looks by itself.
_LIVE_ROUND_S = 0.02
_LIVE_FOR_S = 3.0
_LIVE_MARGIN_S = 0.2
_DRAIN_S = 0.02
_LIVE_SHARE = 0.25
"""How much of a byte budget verdicts may use that nobody misses: less than any record."""


class UplinkState(msgspec.Struct, frozen=True, kw_only=True):
    """How the uplink stands.

    Attributes:
        connected: Whether the broker has accepted us.
        connects: How often it did.
        in_flight: Batches sent and not acknowledged.
        sent_batches: Batches sent, repeated ones included.
        sent_bytes: Their payload bytes.
        resent_batches: Batches sent again.
        acked_batches: Batches that were acknowledged and the source then forgot.
        wants: Messages of a collector that misses batches, answered.
        unheard: Batches that the broker had nobody for, where its word counts.
        link_bytes: What the link has cost, both ways, headers included.
        hour_bytes: As much of it as fell into the last hour.
        budget_left: How full the bucket of the budget is, 0 to 1; less where something is owed.
        held: Lanes that wait for the budget.
        live_sent: Live messages sent.
        live_dropped: Live messages dropped: the link was down or slow, or the budget short.
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
    wants: int = 0
    unheard: int = 0
    link_bytes: int = 0
    hour_bytes: int = 0
    budget_left: float = 1.0
    held: tuple[str, ...] = ()
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
        self._budget = Budget(settings.budget_bytes_per_hour, now=time.monotonic())
        self._batches = Batches(
            source, self._client, topics, settings=settings, budget=self._budget
        )
        self._live: deque[_Live] = deque()
        self._live_lock = threading.Lock()
        self._retained: dict[str, _Live] = {}
        self._counts = dict.fromkeys(("live_sent", "live_dropped", "faults"), 0)
        self._fault = ""
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
        """Wait until all sealed batches are acknowledged; False if they were not in time."""
        end = time.monotonic() + timeout_s
        while any(self._source.pending(name, after=0, limit=1) for name in self._batches.lanes):
            if time.monotonic() >= end:
                return False
            self._stopping.wait(_DRAIN_S)
        return True

    def wake(self) -> None:
        """Look for new batches now (the spool's `on_sealed`)."""
        self._batches.look()
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
        batches, now = self._batches, time.monotonic()
        return UplinkState(
            connected=self._client.is_connected,
            connects=self._client.connects,
            in_flight=batches.in_flight,
            sent_batches=batches.sent,
            sent_bytes=batches.sent_bytes,
            resent_batches=batches.resent,
            acked_batches=batches.acked,
            wants=batches.wanted,
            unheard=batches.unheard,
            link_bytes=batches.charged_bytes,
            hour_bytes=self._budget.spent_bytes(now),
            budget_left=round(self._budget.left(now), 3),
            held=batches.held,
            error=self._client.error or batches.trouble or self._fault,
            **self._counts,
        )

    # --- what the client tells (on the uplink's thread) --------------------------------------

    def connected(self) -> None:
        """See `Listener`."""
        log.info("uplink is connected")
        self._client.subscribe(self._topics.ack)
        self._client.subscribe(self._topics.want)
        if self._on_command is not None:
            self._client.subscribe(self._topics.command)
        self._client.publish(self._topics.birth, self._birth, qos=1, retain=True)
        with self._live_lock:
            self._live.clear()  # what waits is either retained below or too late to be live
            self._live.extend(self._retained.values())
        self._batches.restart(time.monotonic())
        self._on_link(True, "")  # noqa: FBT003 - a callback's value

    def disconnected(self, reason: str) -> None:
        """See `Listener`."""
        log.warning("uplink is down: %s", reason)
        self._on_link(False, reason)  # noqa: FBT003 - a callback's value

    def received(self, message: Message) -> None:
        """See `Listener`."""
        if message.topic == self._topics.command and self._on_command is not None:
            self._on_command(message)
        try:
            if message.topic == self._topics.ack:
                self._batches.acknowledged(wire.decode_ack(message.payload))
            elif message.topic == self._topics.want:
                self._batches.missed(wire.decode_want(message.payload))
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
            self._send_live(time.monotonic())
            self._client.publish(self._topics.birth, self._death, qos=1, retain=True)
        self._client.close()

    def _pause_s(self) -> float:
        """How long there is nothing to do unless somebody wakes us."""
        if not self._client.is_connected:
            return LOOK_S
        if self._live and self._client.is_clear:
            return 0.0
        now = time.monotonic()
        longest = _LIVE_ROUND_S if now < self._attentive_until else LOOK_S
        return min(longest, self._batches.pause_s(now))

    def _round(self, now: float) -> None:
        self._batches.forget()
        if self._client.is_connected:
            self._send_live(now)
            self._batches.send(now)

    def _send_live(self, now: float) -> None:
        """Send what is live, as far as the link takes it at once, and the budget bears it."""
        while self._client.is_clear:
            with self._live_lock:
                if not self._live:
                    return
                self._attentive_until = now + _LIVE_FOR_S
                message = self._live.popleft()
            may_wait = not (message.retain or message.qos)
            if may_wait and not self._budget.allows(_LIVE_SHARE, now=now):
                self._counts["live_dropped"] += 1
                continue
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
