"""The network changes under a link: it is noticed at once, and so is that it came back.

The link runs through a network namespace of its own; the broker is on this side.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.uplink.settings import MqttSettings, Plaintext
from tests.broker import Broker
from tests.integration.watched_link import WatchedLink
from tests.rigs import link as links

pytestmark = [
    pytest.mark.broker,
    pytest.mark.root,
    pytest.mark.processes,
    pytest.mark.skipif(bool(links.missing()), reason=links.missing() or "all is here"),
]

LATE_S = 60.0  # the first pause before trying again: what comes sooner does not come of waiting


@pytest.fixture
def link() -> Iterator[links.Link]:
    link = links.Link()
    yield link
    link.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker", extra="listener {port} 0.0.0.0\nallow_anonymous true\n")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def watched(link: links.Link, broker: Broker) -> Iterator[WatchedLink]:
    settings = MqttSettings(host=link.near, port=broker.port, allow_plaintext=Plaintext.ANYWHERE)
    watched = WatchedLink(settings, reconnect_s=(LATE_S, LATE_S), prefix=link.prefix)
    watched.hears("up", within_s=10)
    yield watched
    watched.close()


def test_a_route_that_goes_and_comes_is_noticed_at_once(
    link: links.Link, watched: WatchedLink
) -> None:
    for _ in range(2):
        began = time.monotonic()
        link.refuse()
        assert "the network has changed" in watched.hears("down", within_s=2)
        link.allow()
        watched.hears("up", within_s=5)
        assert time.monotonic() - began < 5  # a tenth of the pause is its least: 6 seconds
    assert watched.is_silent


def test_what_changes_elsewhere_does_not_cut_the_link(
    link: links.Link, watched: WatchedLink
) -> None:
    for order in ("add", "delete"):
        route = ["ip", "route", order, "203.0.113.0/24", "via", link.near]
        subprocess.run([*link.prefix, *route], check=True)
    time.sleep(0.5)
    assert watched.is_silent
    assert link.carried > 0


@pytest.mark.slow
def test_a_dead_link_is_given_up_long_before_mqtt_would(
    link: links.Link, watched: WatchedLink
) -> None:
    time.sleep(1)
    link.is_up = False  # nobody is told; MQTT would take 45 seconds
    began = time.monotonic()
    watched.hears("down", within_s=30)
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_bad_link_is_kept(link: links.Link, watched: WatchedLink) -> None:
    link.delay_ms, link.loss = 1000, 0.1
    time.sleep(20)
    assert watched.is_silent
    assert link.dropped > 0
