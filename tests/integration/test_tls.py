"""TLS with client certificates against a real Mosquitto; the certificates are made by openssl."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from edge_agent.uplink.client import Client, Identity, Message
from edge_agent.uplink.settings import MqttSettings
from tests.broker import Broker
from tests.integration.watched_link import WatchedLink
from tests.rigs import wall_clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.broker


class Silent:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def connected(self) -> None:
        pass

    def disconnected(self, reason: str) -> None:
        pass

    def received(self, message: Message) -> None:
        self.messages.append(message.payload)


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def make_authority(directory: Path, name: str) -> None:
    openssl(
        directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
    )  # fmt: skip


def make_certificate(directory: Path, name: str, *, authority: str) -> None:
    (directory / "ext").write_text("subjectAltName=IP:127.0.0.1", encoding="ascii")
    openssl(
        directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr",
    )  # fmt: skip
    openssl(
        directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-days", "2",
        "-CAkey", f"{authority}.key", "-CAcreateserial", "-extfile", "ext", "-out", f"{name}.pem",
    )  # fmt: skip


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    for authority in ("plant", "stranger"):
        make_authority(directory, authority)
    make_certificate(directory, "broker", authority="plant")
    make_certificate(directory, "device", authority="plant")
    make_certificate(directory, "intruder", authority="stranger")
    return directory


@pytest.fixture
def broker(tmp_path: Path, keys: Path) -> Iterator[Broker]:
    extra = f"""listener {{port}} 127.0.0.1
allow_anonymous false
cafile {keys}/plant.pem
certfile {keys}/broker.pem
keyfile {keys}/broker.key
require_certificate true
use_identity_as_username true
"""
    broker = Broker(tmp_path / "broker", extra=extra)
    broker.start()
    yield broker
    broker.stop()


def settings(broker: Broker, keys: Path, *, authority: str, own: str) -> MqttSettings:
    return MqttSettings(
        port=broker.port,
        tls_ca=str(keys / f"{authority}.pem"),
        tls_cert=str(keys / f"{own}.pem") if own else "",
        tls_key=str(keys / f"{own}.key") if own else "",
    )


def pump(client: Client, for_s: float) -> None:
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        client.pump(0.05)


def test_a_device_with_its_certificate_is_let_in(broker: Broker, keys: Path) -> None:
    heard = Silent()
    who = Identity(client_id="a")
    client = Client(settings(broker, keys, authority="plant", own="device"), who, heard)
    end = time.monotonic() + 5
    while not client.is_connected and time.monotonic() < end:
        client.pump(0.05)
    assert client.is_connected, client.error
    client.subscribe("big")
    payload = bytes(range(256)) * 4096  # 1 MiB: many TLS records
    for _ in range(3):
        client.publish("big", payload, qos=1)
    while len(heard.messages) < 3 and time.monotonic() < end:
        client.pump(0.05)
    assert heard.messages == [payload] * 3
    client.close()


@pytest.mark.parametrize(("authority", "own"), [("plant", ""), ("plant", "intruder")])
def test_a_stranger_is_kept_out(broker: Broker, keys: Path, authority: str, own: str) -> None:
    client = Client(
        settings(broker, keys, authority=authority, own=own),
        Identity(client_id="a"),
        Silent(),
        reconnect_max_s=0.05,
    )
    pump(client, 0.4)
    assert client.connects == 0
    assert client.error
    client.close()


# The MQTT library leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_device_does_not_talk_to_a_strange_broker(broker: Broker, keys: Path) -> None:
    client = Client(
        settings(broker, keys, authority="stranger", own="device"),
        Identity(client_id="a"),
        Silent(),
        reconnect_max_s=0.05,
    )
    pump(client, 0.3)
    assert client.connects == 0
    assert "certificate verify failed" in client.error
    client.close()


@pytest.mark.processes
@pytest.mark.skipif(bool(wall_clock.missing()), reason=wall_clock.missing() or "it is here")
def test_a_device_in_1970_says_so_and_comes_back_once_its_clock_is_right(
    broker: Broker, keys: Path, tmp_path: Path
) -> None:
    clock = wall_clock.WallClock(tmp_path / "clock")
    clock.set_off_s(-int(time.time()) + 86_400)
    tls = settings(broker, keys, authority="plant", own="device")
    link = WatchedLink(tls, reconnect_s=(60, 60), env=clock.env)
    try:
        said = link.hears("down [SSL", within_s=10)
        assert "certificate is not yet valid" in said
        assert "by this device's clock it is 1970-01-02T" in said
        assert said.endswith("set the clock (NTP), or have the certificate renewed")
        clock.set_off_s(0)
        link.hears("up", within_s=5)  # not after the pause, which is 6 seconds at least
        clock.set_off_s(20 * 365 * 86_400)  # a link that stands bears any jump
        time.sleep(0.5)
        assert link.is_silent
    finally:
        link.close()
        clock.close()


def test_a_missing_certificate_is_named(broker: Broker, keys: Path) -> None:
    missing = MqttSettings(port=broker.port, tls_ca=str(keys / "none.pem"))
    client = Client(missing, Identity(client_id="a"), Silent(), reconnect_max_s=0.05)
    pump(client, 0.2)
    assert "No such file" in client.error
    client.close()


def test_user_and_password_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "passwords").touch(0o600)
    subprocess.run(
        ["mosquitto_passwd", "-b", str(tmp_path / "passwords"), "press-4", "s3cret"],
        check=True,
        capture_output=True,
    )
    extra = (
        f"listener {{port}} 127.0.0.1\nallow_anonymous false\npassword_file {tmp_path}/passwords"
    )
    broker = Broker(tmp_path / "broker", extra=extra)
    broker.start()
    for password, accepted in (("s3cret\n", True), ("wrong\n", False)):
        (tmp_path / "password").write_text(password, encoding="utf-8")
        login = MqttSettings(
            port=broker.port, username="press-4", password_file=str(tmp_path / "password")
        )
        client = Client(login, Identity(client_id="a"), Silent(), reconnect_max_s=0.05)
        pump(client, 0.3)
        assert client.is_connected is accepted
        assert accepted or "Not authorized" in client.error
        client.close()
    broker.stop()
