"""What every store must do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool

from edge_agent.clock import iso
from edge_agent.collector import messages
from edge_agent.collector.messages import BirthSeen, Delivery, Rejected
from edge_agent.collector.reading import Reader
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.store import Group, Outcome, Store, StoreUnavailable, open_store
from edge_agent.collector.stores import writing
from edge_agent.collector.tables import QUARANTINE
from edge_agent.errors import StoreError
from edge_agent.spool.batch import Loss
from tests.unit.collector import arrivals
from tests.unit.collector.arrivals import LIMIT_BYTES, ROOT, arrival, inspection, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.rigs.postgresql import Cluster


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sub/collector.db"
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = open_store(StoreSettings(url=url))
    yield store
    store.close()


@pytest.fixture
def reader(store: Store, url: str) -> Iterator[Reader]:
    reader = Reader(url)
    yield reader
    reader.close()


def group(*payloads: bytes, topic: str = "batch/inspections", device: str = "dev1") -> Group:
    found = Group([], [], [])
    for payload in payloads:
        item = messages.read(
            ROOT, arrival(payload, topic=topic, device=device), limit_bytes=LIMIT_BYTES
        )
        if isinstance(item, Delivery):
            found.deliveries.append(item)
        elif isinstance(item, BirthSeen):
            found.births.append(item)
        else:
            assert isinstance(item, Rejected)
            found.rejects.append(item)
    return found


@contextmanager
def looking(url: str) -> Iterator[Connection]:
    """Look into a store beside the collector."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


def test_twice_sent_is_once_stored(store: Store, reader: Reader) -> None:
    one, two = sealed(1, [inspection(1), inspection(2)]), sealed(2, [inspection(3)], first=3)
    assert store.commit(group(one, two, one)) == [Outcome.STORED, Outcome.STORED, Outcome.REPEATED]
    assert store.commit(group(two)) == [Outcome.REPEATED]
    assert [entry.number for entry in reader.inspections(last=10)] == [1, 2, 3]
    (device,) = reader.devices()
    assert (device.batches, device.records) == (2, 3)


def test_devices_and_streams_do_not_mix(store: Store, reader: Reader) -> None:
    store.commit(group(sealed(1, [inspection(1)])))
    assert store.commit(group(sealed(1, [inspection(1)]), device="dev2")) == [Outcome.STORED]
    other = sealed(1, [inspection(1)], stream="fedcba9876543210")
    assert store.commit(group(other)) == [Outcome.STORED]
    assert len(reader.inspections(last=10)) == 3
    assert [each.device for each in reader.devices()] == ["dev1", "dev2"]


def test_a_number_with_other_content_is_a_contradiction(store: Store, reader: Reader) -> None:
    store.commit(group(sealed(1, [inspection(1)])))
    assert store.commit(group(sealed(1, [inspection(99)]))) == [Outcome.CONTRADICTED]
    (entry,) = reader.inspections(last=10)
    assert entry.record["sequence"] == 1


def test_a_record_is_kept_as_it_was_written(store: Store, reader: Reader) -> None:
    record = inspection(1, text="Prüfung ✓ \x00", deep={"a": [None, 1.5, {"b": "c"}]})
    store.commit(group(sealed(1, [record])))
    (entry,) = reader.inspections(last=1)
    assert entry.record["text"] == "Prüfung ✓ \x00"
    assert entry.record["deep"] == {"a": [None, 1.5, {"b": "c"}]}
    assert b'"number":1' in entry.as_json()


def test_inspections_can_be_chosen(store: Store, reader: Reader) -> None:
    records = [inspection(n, verdict="ng" if n % 3 == 0 else "ok") for n in range(1, 11)]
    store.commit(group(sealed(1, records)))
    assert [e.record["sequence"] for e in reader.inspections(last=3)] == [8, 9, 10]
    assert [e.record["sequence"] for e in reader.inspections(last=2, verdict="ng")] == [6, 9]


def test_alarms_are_a_feed(store: Store, reader: Reader) -> None:
    raised = [b'{"key":"light/press","state":"unacknowledged","text":"dark"}']
    store.commit(group(sealed(1, raised, kind="alarms"), topic="batch/alarms"))
    (entry,) = reader.alarms()
    assert entry.record["text"] == "dark"
    assert reader.alarms(after_id=entry.id) == []
    assert reader.alarms(since_ns=1_700_000_000_000_000_001) == []
    store.commit(group(sealed(2, raised, kind="alarms", first=2), topic="batch/alarms"))
    assert [e.number for e in reader.alarms(after_id=entry.id)] == [2]


def test_births_set_online_and_offline(store: Store, reader: Reader) -> None:
    store.commit(group(sealed(1, [inspection(1)])))
    assert reader.devices()[0].online is None
    store.commit(group(arrivals.birth(), topic="birth"))
    assert (reader.devices()[0].online, reader.devices()[0].version) == (True, "0.1")
    store.commit(group(arrivals.birth(online=False), topic="birth"))
    assert reader.devices()[0].online is False


def test_losses_are_kept(store: Store, reader: Reader) -> None:
    lost = (Loss(1, 4, "evicted"), Loss(5, 5, "damaged"))
    store.commit(group(sealed(3, [inspection(1)], first=6, lost=lost)))
    assert reader.devices()[0].lost == 5


def test_the_quarantine_counts_what_comes_again(store: Store, url: str) -> None:
    store.commit(group(b"garbage", sealed(1, [inspection(1)])))
    store.commit(group(b"garbage"))
    with looking(url) as connection:
        rows = connection.execute(select(QUARANTINE)).all()
    (row,) = rows
    assert (row.device, row.payload, row.seen) == ("dev1", b"garbage", 2)
    assert "not a zstd frame" in row.reason


def test_a_group_is_stored_whole_or_not_at_all(store: Store, reader: Reader) -> None:
    batch = group(sealed(1, [inspection(1)]), sealed(2, [inspection(2)], first=2))
    batch.deliveries[1].columns["score"][0] = object()  # what a driver cannot store
    with pytest.raises(StoreError) as caught:
        store.commit(batch)
    assert not isinstance(caught.value, StoreUnavailable)
    assert reader.inspections(last=10) == []
    assert reader.devices() == []


def test_a_newer_store_is_refused(url: str) -> None:
    open_store(StoreSettings(url=url)).close()
    with looking(url) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA user_version = 99")
        else:
            connection.exec_driver_sql("UPDATE edge_store SET version = 99")
    with pytest.raises(StoreError, match="use the newer collector"):
        open_store(StoreSettings(url=url))
    with pytest.raises(StoreError, match="use the newer collector"):
        Reader(url)


def test_the_quarantine_is_bounded_and_keeps_the_newest(
    store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "KEPT_ROWS", 5)
    monkeypatch.setattr(writing, "KEPT_BYTES", 400)
    for number in range(20):
        bad = group(b"x" * 100 + b"%d" % number).rejects[0]
        came = msgspec.structs.replace(bad.arrival, received_ns=number)
        store.commit(Group([], [], [msgspec.structs.replace(bad, arrival=came)]))
    kept = reader.quarantine(last=100)
    assert [each.last for each in kept] == [iso(number) for number in (17, 18, 19)]
    bare = messages.too_large(ROOT, arrival(b"y" * 10_000), 10)
    store.commit(Group([], [], [bare]))
    (large,) = [each for each in reader.quarantine(last=100) if not each.kept]
    assert (large.bytes, large.device) == (10_000, "dev1")
    assert reader.payload(large.digest) is None
    assert reader.payload(kept[-1].digest) == b"x" * 100 + b"19"
