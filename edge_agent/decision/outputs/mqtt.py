"""Live verdicts over MQTT: for screens and for whoever wants to listen; QoS 0, never retained."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edge_agent.decision.outputs import VerdictMessage

Publish = Callable[[str, bytes], None]
"""Takes a topic and a payload and returns at once."""


class MqttOutput:
    """Publish each verdict on the station's live topic.

    Args:
        publish: Hands the message to the uplink.
        topic: Of the station.
    """

    def __init__(self, publish: Publish, topic: str) -> None:
        self._publish = publish
        self._topic = topic
        self._encoder = msgspec.json.Encoder()

    def emit(self, message: VerdictMessage) -> None:
        """Hand a verdict on; see `Output.emit`."""
        self._publish(self._topic, self._encoder.encode(message))
