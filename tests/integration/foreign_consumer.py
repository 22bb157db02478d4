"""A consumer that is not ours: it knows docs/wire.md and the MQTT library, and nothing else.

    python foreign_consumer.py FOLDER PORT

It keeps each payload in a file, and acknowledges it to the broker after that; it cannot publish
`edge/ack/1`. It prints `ready` when its session and its subscription stand.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def main(folder: Path, port: int) -> None:
    """Keep what comes until killed."""
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        "foreign",
        protocol=MQTTProtocolVersion.MQTTv5,
        manual_ack=True,
    )

    def on_connect(*_arguments: Any) -> None:
        client.subscribe("edge/v1/+/batch/+", 1)

    def on_subscribe(*_arguments: Any) -> None:
        os.write(1, b"ready\n")

    def on_message(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        properties = dict(message.properties.UserProperty)  # type: ignore[union-attr]  # always there with MQTT 5
        kind = message.topic.rpartition("/")[2]
        target = folder / f"{kind}-{properties['stream']}-{properties['batch']}"
        fresh = target.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(message.payload)
        fresh.rename(target)
        client.ack(message.mid, message.qos)

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # the library leaves it untyped
    properties.SessionExpiryInterval = 3600
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    client.loop_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
