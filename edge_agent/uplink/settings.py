"""What may be set about the broker and the uplink."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent.errors import ConfigError
from edge_agent.topics import DEFAULT_ROOT


class Plaintext(StrEnum):
    """Where a connection without TLS may go."""

    LOOPBACK = "loopback"
    ANYWHERE = "anywhere"


class MqttSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the broker is reached (section `mqtt`)."""

    host: Annotated[str, Meta(min_length=1, description="Name or address of the MQTT broker.")] = (
        "127.0.0.1"
    )
    port: Annotated[
        int, Meta(ge=1, le=65_535, description="Its port: 8883 is usual with TLS, 1883 without.")
    ] = 1883
    root: Annotated[
        str,
        Meta(
            pattern=r"^[^/+#\x00$][^+#\x00]{0,99}$",
            description="First levels of every topic; the same on device and collector.",
        ),
    ] = DEFAULT_ROOT
    username: Annotated[str, Meta(description="User name; empty for none.")] = ""
    password_file: Annotated[
        str, Meta(description="File whose first line is the password; empty for none.")
    ] = ""
    tls_ca: Annotated[
        str,
        Meta(
            description="PEM file of the authority that signed the broker's certificate; TLS is "
            "used when this is set."
        ),
    ] = ""
    tls_cert: Annotated[str, Meta(description="PEM file of our own certificate.")] = ""
    tls_key: Annotated[str, Meta(description="PEM file of the key of our certificate.")] = ""
    keepalive_s: Annotated[
        int,
        Meta(
            ge=2,
            le=3600,
            description="A link that is silent this long is tested; half as long again, and it is "
            "given up.",
            extra={"unit": "s"},
        ),
    ] = 30
    session_expiry_s: Annotated[
        int,
        Meta(
            ge=0,
            le=2**31,
            description="How long the broker keeps messages for us while we are away.",
            extra={"unit": "s"},
        ),
    ] = 3600
    allow_plaintext: Annotated[
        Plaintext,
        Meta(
            description="Where a connection without TLS may go: to this machine only, or anywhere."
        ),
    ] = Plaintext.LOOPBACK


class AckBy(StrEnum):
    """Whose word lets the device forget a batch."""

    COLLECTOR = "collector"
    BROKER = "broker"


class UplinkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How batches are sent (section `uplink`)."""

    window: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Batches of one lane that may wait for their acknowledgement at once.",
            extra={"unit": "batches"},
        ),
    ] = 16
    ack: Annotated[
        AckBy,
        Meta(
            description="Whose word lets the device forget a batch: that of a collector, which has "
            "committed it, or that of the broker, for consumers that are not ours. What a broker "
            "loses then is lost."
        ),
    ] = AckBy.COLLECTOR
    budget_bytes_per_hour: Annotated[
        int,
        Meta(
            ge=0,
            le=10**12,
            description="For metered links: what may go over the link in an hour, both ways, "
            "headers included; 0 for no limit. Alarms go whatever is left; live verdicts and "
            "evidence wait first.",
            extra={"unit": "bytes"},
        ),
    ] = 0
    ack_timeout_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=600_000,
            description="Send a batch again that the broker has and nobody acknowledged in this "
            "time; each further time after twice as long.",
            extra={"unit": "ms"},
        ),
    ] = 5000
    ack_timeout_max_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=3_600_000,
            description="The longest pause between two sendings of a batch.",
            extra={"unit": "ms"},
        ),
    ] = 60_000
    live_queue: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Live messages (verdicts, alarm states) that may wait for the link; the "
            "oldest are dropped and counted beyond it.",
            extra={"unit": "messages"},
        ),
    ] = 1000
    commands: Annotated[
        Literal["on", "off"],
        Meta(
            description="Whether commands are taken over MQTT (changeover); who may publish them "
            "is the broker's to say."
        ),
    ] = "on"
    reconnect_min_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=60_000,
            description="First pause before connecting again.",
            extra={"unit": "ms"},
        ),
    ] = 250
    reconnect_max_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=3_600_000,
            description="Longest pause before connecting again.",
            extra={"unit": "ms"},
        ),
    ] = 30_000


_RISING = (("ack_timeout_ms", "ack_timeout_max_ms"), ("reconnect_min_ms", "reconnect_max_ms"))


def check_pauses(settings: UplinkSettings, *, origin: str) -> None:
    """Refuse a longest pause that is shorter than the first.

    Args:
        settings: How batches are sent.
        origin: Where the settings come from, for the error's text.

    Raises:
        ConfigError: Naming both keys.
    """
    for first, longest in _RISING:
        low, high = getattr(settings, first), getattr(settings, longest)
        if high < low:
            raise ConfigError(
                f"{origin}: uplink.{longest}: {high} is less than uplink.{first} ({low}): raise it,"
                f" or lower uplink.{first}"
            )


def check_security(settings: MqttSettings, *, origin: str) -> None:
    """Refuse what would send anything in clear to another machine, unless it was asked for.

    Args:
        settings: How the broker is reached.
        origin: Where the settings come from, for the error's text.

    Raises:
        ConfigError: No TLS to a host that is not this machine, or a certificate without its key.
    """
    if bool(settings.tls_cert) != bool(settings.tls_key):
        missing = "tls_key" if settings.tls_cert else "tls_cert"
        raise ConfigError(f"{origin}: mqtt.{missing}: a certificate and its key go together")
    if settings.tls_cert and not settings.tls_ca:
        raise ConfigError(f"{origin}: mqtt.tls_ca: needed to check the broker's certificate")
    encrypted, asked = bool(settings.tls_ca), settings.allow_plaintext is Plaintext.ANYWHERE
    if not (encrypted or asked or is_loopback(settings.host)):
        raise ConfigError(
            f"{origin}: mqtt.tls_ca: {settings.host} is not this machine and the link would be in "
            'clear; set tls_ca, tls_cert and tls_key, or allow_plaintext = "anywhere"'
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, without asking the network.

    >>> is_loopback("localhost"), is_loopback("127.0.0.9"), is_loopback("::1"), is_loopback("plc")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
