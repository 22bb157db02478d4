"""An MQTT 5 client that one thread drives: the only file that imports the MQTT library.

Every connection gets a library client of its own, so that nothing that an old connection left
behind (queued packets, message ids) can reach a new one: who wants a message sent again sends it.
"""

from __future__ import annotations

import logging
import os
import random
import select
import socket
import ssl
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent import clock
from edge_agent.uplink import sockets
from edge_agent.uplink.backoff import Retry
from edge_agent.uplink.link import Acknowledge, Identity, Listener, Message, Taken
from edge_agent.uplink.network import NetworkWatch, is_stranded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paho.mqtt.reasoncodes import ReasonCode

    from edge_agent.uplink.settings import MqttSettings

log = logging.getLogger(__name__)

__all__ = ["Acknowledge", "Client", "Identity", "Listener", "Message", "Taken"]

_CONNECT_TIMEOUT_S = 5.0
_CONNACK_TIMEOUT_S = 10.0
_OVERHEAD_BYTES = 200  # of a message: headers of MQTT, TCP and IP, until the kernel has counted
_TEND_S = 5.0
_JUMP_S = 60.0
_NO_SUBSCRIBERS = 0x10  # MQTT 5, 3.4.2.1
_BY_CLOCK = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED (openssl/x509_vfy.h)
_RECEIVE_MAXIMUM = 65_535  # MQTT 5, 3.2.2.3.3: what holds when the broker names none


class _Outgoing(msgspec.Struct, frozen=True):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    extra: Properties
    stamp: Callable[[], Mapping[str, str]] | None = None
    on_taken: Callable[[Taken], None] | None = None


class Client:
    """The link to a broker. One thread calls everything but `wake`.

    Attributes:
        is_connected: Whether the broker has accepted us.
        error: Why the link is down, or the broker's last refusal; empty if all is well.
        connects: How often it came up.
        is_known: Whether the broker still had our session when the link came up.
        receive_maximum: How many messages with QoS 1 the broker takes at once.
    """

    def __init__(
        self,
        settings: MqttSettings,
        identity: Identity,
        listener: Listener,
        *,
        reconnect_min_s: float = 0.25,
        reconnect_max_s: float = 30.0,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._listener = listener
        self._retry = Retry(minimum_s=reconnect_min_s, maximum_s=reconnect_max_s)
        self._random = random.Random()
        self._paho: paho.Client | None = None
        self._give_up_at = 0.0
        self._waiting: deque[_Outgoing] = deque()
        self._in_flight: dict[int, _Outgoing] = {}
        self._asked: dict[int, str] = {}  # subscriptions that the broker has not answered
        self.receive_maximum = _RECEIVE_MAXIMUM
        self._network: NetworkWatch | None = None
        self._tend_at = 0.0
        self._clock_offset_s = 0.0
        self._spent_bytes = 0  # over the connections before this one
        self._handed_bytes = 0  # to this connection
        self._wake_lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.is_connected = False
        self.error = "not connected yet"
        self.connects = 0
        self.is_known = False

    # --- driving it --------------------------------------------------------------------------

    def wake(self) -> None:
        """Make a `pump` that waits return. Any thread may call this, also after `close`."""
        with self._wake_lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def pump(self, timeout_s: float) -> None:
        """Do what the link needs, and wait at most so long for something to happen."""
        if self._network is None:
            self._network = NetworkWatch()
        if self._paho is None:
            pause_s = 0.0 if self._clock_was_set() else self._retry.at - time.monotonic()
            if pause_s <= 0:
                self._connect()
            else:
                self._poll(min(timeout_s, pause_s), None)
            return
        client, sock = self._paho, self._socket()
        if sock is None:
            self._down("the broker closed the connection")
            return
        ready = self._poll(0.0 if _has_pending(sock) else timeout_s, sock)
        if self._paho is not client:
            return
        if ready & ~select.POLLOUT or _has_pending(sock):
            client.loop_read()
        if client.want_write():
            client.loop_write()
        client.loop_misc()
        self._tend(client)

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what is waiting and say goodbye, so that the broker does not publish the will."""
        end = time.monotonic() + timeout_s
        while self.is_connected and (self._in_flight or self._waiting) and time.monotonic() < end:
            self.pump(0.05)
        if self._paho is not None and self.is_connected:
            self._paho.on_disconnect = None
            self._paho.disconnect()
        self.is_connected = False  # nobody needs to hear of it
        self._down("closed")
        if self._network is not None:
            self._network.close()
        with self._wake_lock:
            os.close(self._wake)
            self._wake = -1

    # --- sending -----------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many messages with QoS 1 the broker would take at once."""
        return self.receive_maximum - len(self._in_flight) - len(self._waiting)

    @property
    def is_clear(self) -> bool:
        """Whether the kernel took all that was sent: what comes next goes without delay."""
        return self._paho is not None and not self._paho.want_write()

    @property
    def spent_bytes(self) -> int:
        """What the link has cost so far, both ways: as the kernel counts, or what is to come."""
        sock = self._socket()
        traffic = sockets.read(sock) if sock is not None else None
        return self._spent_bytes + max(self._handed_bytes, traffic.bytes if traffic else 0)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        content_type: str = "application/json",
        properties: Mapping[str, str] | None = None,
        stamp: Callable[[], Mapping[str, str]] | None = None,
        on_taken: Callable[[Taken], None] | None = None,
        expiry_s: int | None = None,
        response_topic: str = "",
        correlation: bytes = b"",
    ) -> bool:
        """Send a message; False, and nothing is sent, while the link is down.

        Args:
            topic: Where to.
            payload: What.
            qos: 0 or 1.
            retain: Whether the broker keeps it as the topic's last message.
            content_type: What the payload is.
            properties: User properties.
            stamp: Asked for more of them when the message goes, which may be later: no more go at
                once than the broker takes.
            on_taken: With QoS 1: told what the broker made of it, unless the link goes down.
            expiry_s: How long the broker keeps it for who is away; None for as long as it likes.
            response_topic: Where the answer is to go.
            correlation: What the answer is to carry.
        """
        if self._paho is None or not self.is_connected:
            return False
        extra = _properties(PacketTypes.PUBLISH)
        extra.ContentType = content_type
        if properties:
            extra.UserProperty = list(properties.items())
        if expiry_s is not None:
            extra.MessageExpiryInterval = expiry_s
        if response_topic:
            extra.ResponseTopic = response_topic
        if correlation:
            extra.CorrelationData = correlation
        message = _Outgoing(topic, payload, qos, retain, extra, stamp, on_taken)
        if qos and len(self._in_flight) >= self.receive_maximum:
            self._waiting.append(message)
        else:
            self._send(message)
        return True

    def subscribe(self, topic: str, *, qos: int = 1) -> None:
        """Ask for the messages of a topic, on this connection and session."""
        assert self._paho is not None
        mid = self._paho.subscribe(topic, qos)[1]
        if mid is not None:
            self._asked[mid] = topic

    def unsubscribe(self, topic: str) -> None:
        """Ask for no more messages of a topic; those that are on their way still come."""
        if self._paho is not None and self.is_connected:
            self._paho.unsubscribe(topic)

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that a message is dealt with (only of the present connection)."""
        if self._paho is not None and message.qos and message.connection == self.connects:
            self._paho.ack(message.mid, message.qos)

    def _send(self, message: _Outgoing) -> None:
        assert self._paho is not None
        if message.stamp is not None:
            message.extra.UserProperty = list(message.stamp().items())  # the library appends them
        self._handed_bytes += len(message.payload) + _OVERHEAD_BYTES
        info = self._paho.publish(
            message.topic, message.payload, message.qos, message.retain, message.extra
        )
        if message.qos and info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._in_flight[info.mid] = message

    # --- the connection ----------------------------------------------------------------------

    def _connect(self) -> None:
        self._clock_offset_s = _clock_offset_s()
        try:
            self._paho = self._new_client()
            self._paho.connect(
                self._settings.host,
                self._settings.port,
                keepalive=self._settings.keepalive_s,
                clean_start=False,
                properties=self._connect_properties(),
            )
        except (OSError, ValueError) as error:  # unreachable, refused, TLS, unreadable files
            self._down(_reason(error))
        else:
            self._give_up_at = time.monotonic() + _CONNACK_TIMEOUT_S
            self._tend_at = 0.0

    def _tend(self, client: paho.Client) -> None:
        """Give up a broker that does not answer; keep the kernel's patience by its delay."""
        now = time.monotonic()
        if self._paho is not client:
            return
        if not self.is_connected and now > self._give_up_at:
            self._down("the broker does not answer")
            return
        sock = self._socket()
        if sock is not None and now >= self._tend_at:
            self._tend_at = now + _TEND_S
            traffic = sockets.read(sock)
            if traffic is not None:
                sockets.tune(sock, keepalive_s=self._settings.keepalive_s, rtt_s=traffic.rtt_s)

    def _network_changed(self) -> None:
        """Let go of a connection that lost its way, and try again soon."""
        sock = self._socket()
        if sock is not None:
            if not is_stranded(sock):
                return
            self._down("the network has changed: the broker is not reached that way any more")
        self._retry.hurry(time.monotonic(), self._random.random())

    def _clock_was_set(self) -> bool:
        """Tell whether the wall clock jumped since the last attempt: it decides on certificates."""
        return bool(self._settings.tls_ca) and (
            abs(_clock_offset_s() - self._clock_offset_s) > _JUMP_S
        )

    def _new_client(self) -> paho.Client:
        settings, identity = self._settings, self._identity
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            identity.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=identity.acknowledge is Acknowledge.BY_HAND,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.max_inflight_messages = 0  # the limit is kept here, by what the broker asks for
        if identity.will_topic:
            client.will_set(identity.will_topic, identity.will_payload, qos=1, retain=True)
        if settings.username:
            client.username_pw_set(settings.username, _password(settings.password_file))
        if settings.tls_ca:
            client.tls_set(settings.tls_ca, settings.tls_cert or None, settings.tls_key or None)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def _connect_properties(self) -> Properties:
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self._settings.session_expiry_s
        properties.ReceiveMaximum = self._identity.receive_maximum
        return properties

    def _down(self, reason: str) -> None:
        """Let go of the connection, and plan the next attempt."""
        client, sock, was_connected = self._paho, self._socket(), self.is_connected
        self._paho, self.is_connected, self.error = None, False, reason
        self._waiting.clear()
        self._in_flight.clear()
        self._asked.clear()
        if client is not None:
            client.on_disconnect = None
            if sock is not None:
                traffic = sockets.read(sock)
                self._handed_bytes = max(self._handed_bytes, traffic.bytes if traffic else 0)
                sock.close()
        self._spent_bytes += self._handed_bytes
        self._handed_bytes = 0
        self._retry.failed(time.monotonic(), self._random.random())
        if was_connected:
            self._listener.disconnected(reason)

    def _socket(self) -> socket.socket | None:
        sock = self._paho.socket() if self._paho is not None else None
        assert sock is None or isinstance(sock, socket.socket)
        return sock

    def _poll(self, timeout_s: float, sock: socket.socket | None) -> int:
        """Wait for the socket, `wake` or the network; return the socket's events."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        fd = sock.fileno() if sock is not None else -1
        network = self._network.fd if self._network is not None else None
        if fd >= 0:
            wants = self._paho is not None and self._paho.want_write()
            poll.register(fd, select.POLLIN | (select.POLLOUT if wants else 0))
        if network is not None:
            poll.register(network, select.POLLIN)
        events = dict(poll.poll(max(0.0, timeout_s) * 1000))
        if events.pop(self._wake, 0):
            os.eventfd_read(self._wake)
        if network in events and self._network is not None and self._network.changed():
            self._network_changed()
        return events.get(fd, 0)

    # --- what the library tells --------------------------------------------------------------

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._down(f"the broker refuses us: {reason}")
            return
        assert client is self._paho
        self.receive_maximum = getattr(properties, "ReceiveMaximum", _RECEIVE_MAXIMUM)
        self.is_connected, self.error = True, ""
        self._retry.succeeded()
        self.is_known = flags.session_present
        self.connects += 1
        self._listener.connected()

    def _on_disconnect(
        self,
        client: paho.Client,
        _userdata: object,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if client is self._paho:
            self._down(f"the link is lost: {reason}")

    def _on_message(
        self, client: paho.Client, _userdata: object, message: paho.MQTTMessage
    ) -> None:
        if client is self._paho:
            self._listener.received(
                Message(
                    message.topic,
                    bytes(message.payload),
                    message.retain,
                    message.qos,
                    message.mid,
                    self.connects,
                    getattr(message.properties, "ResponseTopic", ""),
                    getattr(message.properties, "CorrelationData", b""),
                    dict(getattr(message.properties, "UserProperty", ())),
                    getattr(message.properties, "MessageExpiryInterval", None),
                )
            )

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reason: ReasonCode,
        _properties: Properties,
    ) -> None:
        sent = self._in_flight.pop(mid, None)
        self.error = f"the broker refuses a message: {reason}" if reason.is_failure else ""
        if sent is not None and sent.on_taken is not None:
            sent.on_taken(_taken(reason))
        if self._waiting and self._paho is not None:
            self._send(self._waiting.popleft())

    def _on_subscribe(
        self,
        client: paho.Client,
        _userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        _properties: Properties,
    ) -> None:
        topic = self._asked.pop(mid, "")
        refused = next((reason for reason in reasons if reason.is_failure), None)
        if client is self._paho and refused is not None:
            self.error = f"the broker refuses the subscription to {topic}: {refused}"
            log.error("%s", self.error)


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # the library leaves it untyped


def _has_pending(sock: object) -> bool:
    """Tell whether TLS holds bytes that the kernel no longer announces."""
    pending = getattr(sock, "pending", None)
    return pending is not None and pending() > 0


def _password(path: str) -> str | None:
    if not path:
        return None
    return Path(path).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")


def _taken(reason: ReasonCode) -> Taken:
    if reason.is_failure:
        return Taken.REFUSED
    return Taken.UNHEARD if reason.value == _NO_SUBSCRIBERS else Taken.TAKEN


def _clock_offset_s() -> float:
    return time.time() - time.monotonic()


def _reason(error: OSError | ValueError) -> str:
    """Say why a connection failed, in one line."""
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _BY_CLOCK:
        return (
            f"{error}; by this device's clock it is {clock.iso(time.time_ns())}: set the clock "
            "(NTP), or have the certificate renewed"
        )
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
