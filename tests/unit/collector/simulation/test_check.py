"""What devices made is held against what the store has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from edge_agent.clock import Stamp
from edge_agent.collector.audit import Audit
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.simulation.check import Finding, check
from edge_agent.collector.simulation.fleet import Fleet, Load
from edge_agent.collector.simulation.lines import Line, encode_body
from edge_agent.collector.store import open_store
from edge_agent.collector.tables import INSPECTIONS
from edge_agent.errors import UsageError
from edge_agent.uplink.settings import MqttSettings, UplinkSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOAD = Load(devices=2, rate=1.0)


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    url = f"sqlite:///{tmp_path}/c.db"
    open_store(StoreSettings(url=url)).close()
    audit = Audit(url)
    yield audit
    audit.close()


@pytest.fixture
def fleet() -> Fleet:
    """Return two devices that made two batches of ten records each and never connect."""
    fleet = Fleet(LOAD, MqttSettings(port=1), UplinkSettings())
    body = encode_body(Line("l", seed=1).inspect(10, since=Stamp(1, 1), until=Stamp(999, 999)))
    for source in fleet.sources:
        source.add(body)
        source.add(body)
    return fleet


def put(tmp_path: Path, fleet: Fleet, device: int, *numbers: int) -> None:
    store = open_store(StoreSettings(url=f"sqlite:///{tmp_path}/c.db"))
    origin = {
        "device": fleet.names[device],
        "stream": fleet.sources[device].stream,
        "received_ns": 1,
        "record": "{}",
    }
    with store._engine.begin() as connection:  # type: ignore[attr-defined]  # of SQLite's store
        connection.execute(insert(INSPECTIONS), [origin | {"number": n} for n in numbers])
    store.close()


def test_all_is_there(tmp_path: Path, fleet: Fleet, audit: Audit) -> None:
    for device in (0, 1):
        put(tmp_path, fleet, device, *range(1, 21))
    assert check(fleet, audit) == Finding(stored=40)
    assert check(fleet, audit).is_right


def test_what_was_acknowledged_and_is_not_there_is_lost(
    tmp_path: Path, fleet: Fleet, audit: Audit
) -> None:
    fleet.sources[0].acknowledge(fleet.sources[0].stream, [(1, 1)])
    put(tmp_path, fleet, 0, *range(1, 9))
    found = check(fleet, audit)
    assert found == Finding(stored=8, lost=2)
    assert not found.is_right


def test_what_was_never_made_is_strange(tmp_path: Path, fleet: Fleet, audit: Audit) -> None:
    put(tmp_path, fleet, 1, *range(1, 21), 77)
    assert check(fleet, audit) == Finding(stored=20, strange=1)


def test_a_fleet_that_needs_too_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 256))
    with pytest.raises(UsageError, match=r"--devices 1000: needs 4100 open files.*at most 39"):
        Fleet(Load(devices=1000, rate=1.0), MqttSettings(), UplinkSettings())
