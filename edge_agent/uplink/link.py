"""What a client of the broker is told, and tells: values and one protocol, without a library."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec


class Acknowledge(Enum):
    """Who tells the broker that a message is dealt with."""

    AT_ONCE = "at once"
    BY_HAND = "by hand"


class Taken(Enum):
    """What the broker made of a message."""

    TAKEN = "taken"
    UNHEARD = "nobody has subscribed to it"
    REFUSED = "refused"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who connects, and how.

    Attributes:
        client_id: Unique at the broker; a second client with the same id throws the first out.
        will_topic: Where the broker says (retained) that we are gone; empty for no will.
        will_payload: What it says there.
        acknowledge: Whether messages are acknowledged by hand, with `Client.acknowledge`.
        receive_maximum: How many messages the broker may have unacknowledged towards us.
    """

    client_id: str
    will_topic: str = ""
    will_payload: bytes = b""
    acknowledge: Acknowledge = Acknowledge.AT_ONCE
    receive_maximum: int = 100


class Message(msgspec.Struct, frozen=True):
    """A message that came in; `response_topic` and `correlation` are for whoever answers.

    Attributes:
        properties: The MQTT 5 user properties; of a name that comes twice, the last value.
        expiry_s: What is left of the message's expiry interval: the broker counts the time off
            that the message waited there. None if the sender set none.
    """

    topic: str
    payload: bytes
    retain: bool
    qos: int
    mid: int
    connection: int
    response_topic: str = ""
    correlation: bytes = b""
    properties: dict[str, str] = {}
    expiry_s: int | None = None


class Listener(Protocol):
    """Who is told; always on the thread that pumps, and free to raise nothing."""

    def connected(self) -> None:
        """Hear that the link is up: subscribe, publish."""

    def disconnected(self, reason: str) -> None:
        """Hear that the link is down."""

    def received(self, message: Message) -> None:
        """Hear a message."""
