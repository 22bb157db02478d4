from __future__ import annotations

import pytest

from edge_agent.errors import ConfigError
from edge_agent.uplink.settings import (
    MqttSettings,
    Plaintext,
    UplinkSettings,
    check_pauses,
    check_security,
)


@pytest.mark.parametrize(
    "settings",
    [
        MqttSettings(),
        MqttSettings(host="localhost"),
        MqttSettings(host="::1"),
        MqttSettings(host="10.0.0.7", tls_ca="ca.pem", tls_cert="c.pem", tls_key="k.pem"),
        MqttSettings(host="10.0.0.7", tls_ca="ca.pem"),
        MqttSettings(host="broker", allow_plaintext=Plaintext.ANYWHERE),
    ],
)
def test_what_is_safe_or_asked_for_may_be(settings: MqttSettings) -> None:
    check_security(settings, origin="agent.toml")
    assert settings.host


@pytest.mark.parametrize("host", ["10.0.0.7", "broker", "127.0.0.1.example.com", "localhost.evil"])
def test_nothing_leaves_the_device_in_clear(host: str) -> None:
    with pytest.raises(ConfigError, match=r"agent.toml: mqtt.tls_ca: .* would be in clear"):
        check_security(MqttSettings(host=host), origin="agent.toml")


def test_a_certificate_needs_its_key_and_its_authority() -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.tls_key"):
        check_security(MqttSettings(tls_ca="a", tls_cert="b"), origin="x")
    with pytest.raises(ConfigError, match=r"mqtt\.tls_cert"):
        check_security(MqttSettings(tls_ca="a", tls_key="b"), origin="x")
    with pytest.raises(ConfigError, match=r"mqtt\.tls_ca"):
        check_security(MqttSettings(tls_cert="a", tls_key="b"), origin="x")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            UplinkSettings(ack_timeout_ms=5000, ack_timeout_max_ms=4000),
            r"uplink\.ack_timeout_max_ms: 4000 is less than uplink\.ack_timeout_ms \(5000\)",
        ),
        (
            UplinkSettings(reconnect_min_ms=500, reconnect_max_ms=499),
            r"uplink\.reconnect_max_ms: 499 is less than uplink\.reconnect_min_ms \(500\)",
        ),
    ],
)
def test_the_longest_pause_is_not_the_shortest(settings: UplinkSettings, said: str) -> None:
    with pytest.raises(ConfigError, match=f"agent.toml: {said}: raise it, or lower"):
        check_pauses(settings, origin="agent.toml")
    check_pauses(UplinkSettings(reconnect_min_ms=500, reconnect_max_ms=500), origin="x")
