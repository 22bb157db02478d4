"""A broker that does not let us subscribe is told of: nothing would come, for no visible reason."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from edge_agent.uplink.client import Client, Identity, Message
from edge_agent.uplink.settings import MqttSettings

_CONNACK = bytes([0x20, 3, 0, 0, 0])
_SHARED_NOT_SUPPORTED = 0x9E


class Heard:
    def __init__(self) -> None:
        self.client: Client | None = None

    def connected(self) -> None:
        assert self.client is not None
        self.client.subscribe("$share/plant/edge/v1/+/batch/+")

    def disconnected(self, reason: str) -> None:
        pass

    def received(self, message: Message) -> None:
        pass


def refuse(server: socket.socket) -> None:
    """Play a broker that knows no shared subscriptions: two answers, then silence."""
    link, _ = server.accept()
    with link:
        link.recv(1000)
        link.sendall(_CONNACK)
        asked = link.recv(1000)
        link.sendall(bytes([0x90, 4, asked[2], asked[3], 0, _SHARED_NOT_SUPPORTED]))
        link.recv(1000)


def test_a_subscription_that_is_refused_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = threading.Thread(target=refuse, args=(server,))
        broker.start()
        heard = Heard()
        port = server.getsockname()[1]
        client = heard.client = Client(MqttSettings(port=port), Identity(client_id="c"), heard)
        end = time.monotonic() + 5
        while "refuses" not in client.error and time.monotonic() < end:
            client.pump(0.05)
        assert "the subscription to $share/plant/edge/v1/+/batch/+" in client.error
        assert "Shared subscription not supported" in client.error
        client.close()
        broker.join(5)
    assert "refuses the subscription" in caplog.text
