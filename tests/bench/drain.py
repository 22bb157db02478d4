"""How fast a backlog drains: a full spool, a real Mosquitto, a real collector with SQLite.

python -m tests.bench.drain [--records 200000] [--to collector|peer] [--batch-records 500]

`--to peer` acknowledges each batch as it comes and stores nothing: what is left is the device's
part. The clock runs from the uplink's start to the last acknowledgement; where the time went is
told in seconds of CPU of each process.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_agent.agent.lanes import LANES, OK
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Spool
from edge_agent.topics import Topics
from edge_agent.uplink import wire
from edge_agent.uplink.client import Client, Identity, Message
from edge_agent.uplink.settings import MqttSettings, UplinkSettings
from edge_agent.uplink.uplink import Uplink
from tests.bench.append import inspection
from tests.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEVICE = "bench"
_PATIENCE_S = 600.0
_FILL = 20_000
_TICK_S = os.sysconf("SC_CLK_TCK")


class Drained(msgspec.Struct, frozen=True):
    """What the device says at its end."""

    seconds: float
    cpu_s: float
    sent: int
    resent: int
    left: int


class Peer:
    """Acknowledges whatever comes, and keeps nothing."""

    def __init__(self, port: int) -> None:
        self._client = Client(MqttSettings(port=port), Identity(client_id="peer"), self)

    def connected(self) -> None:
        """Subscribe to all batches."""
        self._client.subscribe(Topics("edge/v1", "+").batch("+"))

    def disconnected(self, reason: str) -> None:
        """Hear that the link is down."""

    def received(self, message: Message) -> None:
        """Acknowledge a batch by what its properties say."""
        number = int(message.properties["batch"])
        ack = wire.Ack(stream=message.properties["stream"], batches=[(number, number)])
        self._client.publish(Topics("edge/v1", _DEVICE).ack, wire.encode(ack), qos=1)

    def run(self) -> None:
        """Go on until the process is ended."""
        while True:
            self._client.pump(1.0)


def fill(folder: Path, records: int, batch_records: int) -> None:
    """Put records into a new spool, and seal them."""
    settings = SpoolSettings(batch_records=batch_records, quota_bytes=2**34, batch_age_ms=600_000)
    spool, draw = Spool(folder, LANES, settings), random.Random(1)
    for index in range(records):
        spool.append(OK, inspection(index, draw))
        if index % _FILL == _FILL - 1:
            spool.flush(120)
    spool.close()


def drain(folder: Path, port: int) -> Drained:
    """Send what a spool holds, as an agent does, and say how that went."""
    spool = Spool(folder, LANES, SpoolSettings(quota_bytes=2**34))
    birth = wire.encode(wire.Birth(device=_DEVICE, online=True, boot="0", version="bench"))
    began, cpu = time.monotonic(), time.process_time()
    uplink = Uplink(
        spool,
        Topics("edge/v1", _DEVICE),
        mqtt=MqttSettings(port=port),
        settings=UplinkSettings(),
        birth=birth,
        death=birth,
    )
    uplink.start()
    uplink.drain(_PATIENCE_S)
    took = Drained(
        time.monotonic() - began,
        time.process_time() - cpu,
        uplink.state().sent_batches,
        uplink.state().resent_batches,
        spool.backlog().records,
    )
    uplink.stop()
    spool.close()
    return took


def measure(folder: Path, options: argparse.Namespace) -> str:
    """Fill, drain, and say how it went."""
    fill(folder / "spool", options.records, options.batch_records)
    broker = Broker(folder / "broker")
    broker.start()
    if options.to == "peer":
        other = _start(["-m", "tests.bench.drain", "--peer", str(broker.port)])
    else:
        config = folder / "collector.toml"
        config.write_text(
            f'[mqtt]\nport = {broker.port}\n[store]\nurl = "sqlite:///{folder}/store.db"\n',
            encoding="utf-8",
        )
        other = _start(["-m", "edge_agent.cli.collector", "run", "-c", str(config)])
    try:
        time.sleep(3.0)  # it starts and subscribes; a bench may wait for that without knowing
        before = [_cpu_s(_pid(folder)), _cpu_s(other.pid)]
        arguments = ["-m", "tests.bench.drain", "--device", str(folder / "spool")]
        command = [sys.executable, *arguments, "--peer", str(broker.port)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        took = msgspec.json.decode(done.stdout, type=Drained)
        after = [_cpu_s(_pid(folder)), _cpu_s(other.pid)]
    finally:
        other.terminate()
        other.wait(30)
        broker.stop()
    return (
        f"{options.records:,} records in batches of {options.batch_records} to a {options.to}: "
        f"{took.seconds:.2f} s, {(options.records - took.left) / took.seconds:,.0f} records/s "
        f"({took.left} left; {took.sent} batches sent, {took.resent} of them again)\n"
        f"CPU: device {took.cpu_s:.2f} s, broker {after[0] - before[0]:.2f} s, "
        f"{options.to} {after[1] - before[1]:.2f} s\n"
    )


def _start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL)


def _pid(folder: Path) -> int:
    return int((folder / "broker" / "mosquitto.pid").read_text(encoding="ascii"))


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK_S


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--batch-records", type=int, default=500)
    parser.add_argument("--to", choices=("collector", "peer"), default="collector")
    parser.add_argument("--peer", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--device", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device:
        sys.stdout.write(msgspec.json.encode(drain(options.device, options.peer)).decode())
    elif options.peer:
        Peer(options.peer).run()
    else:
        with tempfile.TemporaryDirectory(prefix="edge-drain-") as folder:
            sys.stdout.write(measure(Path(folder), options))


if __name__ == "__main__":
    main()
