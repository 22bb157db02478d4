"""How a collector stands at the broker, and what comes with a message beside its payload.

Collectors of one group share a subscription. The broker deals messages out to all of them in turn,
to those that are away too as long as it keeps their sessions, and it gives no message to another
one afterwards. So in a group nothing is kept for who is away, and who is silent is soon let go of:
what was dealt to a dead collector goes to one that lives when the device sends it again.
docs/scale.md has the measurements.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from edge_agent import topics
from edge_agent.collector import messages
from edge_agent.collector.messages import Arrival, Rejected
from edge_agent.errors import WireError
from edge_agent.uplink import wire

if TYPE_CHECKING:
    from edge_agent.collector.settings import IngestSettings
    from edge_agent.uplink.client import Message
    from edge_agent.uplink.settings import MqttSettings

# Half as long again, and a silent collector is let go of (MQTT 5, 3.1.2.10); Mosquitto 2.0 looks
# every 5 s, so shorter gains nothing.
_GROUP_KEEPALIVE_S = 3
_DIGITS = 18  # whatever they are, the number fits into 64 bits


class GoneSeen(msgspec.Struct, frozen=True):
    """A device has batches no more that it was asked for."""

    device: str
    gone: wire.Gone


def client_id_of(settings: IngestSettings) -> str:
    """Return the name of a collector at the broker; in a group each has one of its own.

    Two clients of one name throw each other out, over and over. Nothing is kept under the name of
    one in a group, so it may be new each time.
    """
    return f"{settings.client_id}-{secrets.token_hex(4)}" if settings.group else settings.client_id


def link_of(mqtt: MqttSettings, settings: IngestSettings) -> MqttSettings:
    """Return how the broker is to treat a collector: in a group, let go of it when it is dead."""
    if not settings.group:
        return mqtt
    keepalive_s = min(mqtt.keepalive_s, _GROUP_KEEPALIVE_S)
    return msgspec.structs.replace(mqtt, session_expiry_s=0, keepalive_s=keepalive_s)


def arrival_of(message: Message, received_ns: int) -> Arrival:
    """Note what came, when, and what its sender and the broker say about the time before."""
    said = message.properties
    expiry_s = _number(said.get("expiry_s", ""))
    waited_s = 0 if message.expiry_s is None else max(0, expiry_s - message.expiry_s)
    return Arrival(
        message.topic,
        message.payload,
        received_ns,
        boot=said.get("boot", ""),
        sent_mono_ns=_number(said.get("sent_mono_ns", "")),
        sent_wall_ns=_number(said.get("sent_wall_ns", "")),
        waited_s=waited_s,
    )


def _number(text: str) -> int:
    """Read a number of a stranger; 0 for what is none that a database can hold."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0


def read_gone(root: str, arrival: Arrival) -> GoneSeen | Rejected:
    """Check what a device says it has no more."""
    try:
        device, rest = topics.parse(root, arrival.topic)
        gone = wire.decode_gone(arrival.payload)
    except WireError as error:
        return messages.reject(arrival, str(error))
    if rest != "gone":
        return messages.reject(
            arrival, f"topic {arrival.topic!r}: not of the form {root}/DEVICE/gone"
        )
    return GoneSeen(device, gone)
