"""How a collector stands at the broker."""

from __future__ import annotations

import msgspec

from edge_agent.clock import Stamp
from edge_agent.collector.link import GoneSeen, arrival_of, client_id_of, link_of, read_gone
from edge_agent.collector.messages import Rejected
from edge_agent.collector.settings import IngestSettings
from edge_agent.uplink import wire
from edge_agent.uplink.client import Message
from edge_agent.uplink.settings import MqttSettings, UplinkSettings
from tests.unit.collector.arrivals import ROOT, arrival

ALONE = IngestSettings()
GROUPED = IngestSettings(group="plant")


def message(properties: dict[str, str], *, expiry_s: int | None = None) -> Message:
    return Message(
        "edge/v1/d/batch/health", b"x", False, 1, 1, 1,
        properties=properties, expiry_s=expiry_s,
    )  # fmt: skip


def test_in_a_group_each_has_a_name_of_its_own_and_nothing_is_kept_for_it() -> None:
    assert client_id_of(ALONE) == "edge-collector"
    assert client_id_of(GROUPED) != client_id_of(GROUPED)
    mqtt = MqttSettings(port=7)
    assert link_of(mqtt, ALONE) == mqtt
    grouped = link_of(mqtt, GROUPED)
    assert (grouped.session_expiry_s, grouped.keepalive_s, grouped.port) == (0, 3, 7)
    assert link_of(MqttSettings(keepalive_s=2), GROUPED).keepalive_s == 2


def test_a_silent_one_is_let_go_of_before_a_device_sends_again_twice() -> None:
    broker_looks_every_s = 5  # Mosquitto 2.0
    silent_s = 1.5 * link_of(MqttSettings(), GROUPED).keepalive_s + broker_looks_every_s
    first_s = UplinkSettings().ack_timeout_ms / 1000
    assert silent_s < first_s + 2 * first_s


def test_what_comes_with_a_message_is_noted() -> None:
    said = wire.sending_properties("b1", Stamp(wall_ns=5, mono_ns=7), expiry_s=100)
    found = arrival_of(message(said, expiry_s=98), 1000)
    assert (found.boot, found.sent_wall_ns, found.sent_mono_ns) == ("b1", 5, 7)
    assert (found.waited_s, found.received_ns) == (2, 1000)


def test_what_strangers_say_is_believed_within_limits() -> None:
    for odd in ("", "x", "-1", "9" * 19, "9" * 5000, "²", "1e9"):
        found = arrival_of(message({"sent_mono_ns": odd, "expiry_s": odd}, expiry_s=5), 1)
        assert (found.sent_mono_ns, found.waited_s) == (0, 0)
    assert arrival_of(message({}), 1).boot == ""
    assert arrival_of(message({"expiry_s": "9" * 18}, expiry_s=None), 1).waited_s == 0


def test_gone_is_read_or_refused() -> None:
    gone = wire.Gone(stream="s", batches=[(1, 2)])
    assert read_gone(ROOT, arrival(wire.encode(gone), topic="gone")) == GoneSeen("dev1", gone)
    for payload, topic in ((b"{}", "gone"), (wire.encode(gone), "batch/gone"), (b"", "gone")):
        assert isinstance(read_gone(ROOT, arrival(payload, topic=topic)), Rejected)
    huge = msgspec.structs.replace(gone, batches=[(n, n) for n in range(1, 20_000)])
    assert isinstance(read_gone(ROOT, arrival(wire.encode(huge), topic="gone")), Rejected)
