"""A client for tests: a process that keeps a link to a broker and prints how it stands.

    python link_watch.py SETTINGS RECONNECT_MIN_S RECONNECT_MAX_S

SETTINGS are those of `mqtt`, as JSON. It prints a line, `up` or `down REASON`, at each change, also
of the reason, and ends with SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys

import msgspec

from edge_agent.uplink.client import Client, Identity, Message
from edge_agent.uplink.settings import MqttSettings


class _Silent:
    def connected(self) -> None:
        pass

    def disconnected(self, reason: str) -> None:
        pass

    def received(self, message: Message) -> None:
        pass


def main(settings: MqttSettings, reconnect_min_s: float, reconnect_max_s: float) -> None:
    """Keep the link until told to stop."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))
    client = Client(
        settings,
        Identity(client_id="link-watch"),
        _Silent(),
        reconnect_min_s=reconnect_min_s,
        reconnect_max_s=reconnect_max_s,
    )
    said = ""
    while not stop:
        client.pump(0.1)
        now = "up" if client.is_connected else f"down {client.error}"
        if now != said:
            said = now
            os.write(1, f"{now}\n".encode())
    client.close()


if __name__ == "__main__":
    main(
        msgspec.json.decode(sys.argv[1].encode(), type=MqttSettings),
        float(sys.argv[2]),
        float(sys.argv[3]),
    )
