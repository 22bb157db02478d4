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
from edge_agent.collector.tables import BATCHES, FOLDED, QUARANTINE
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


def test_what_cannot_stand_in_a_column_is_kept_in_the_record(store: Store, reader: Reader) -> None:
    odd = ["a\tb\\.\n\\N", "\\.", "\x00\x01\x7f", "ü🙂\u2028", "", "\\N", "x\r\n"]
    records = [inspection(n, part=part, boot=None) for n, part in enumerate(odd, 1)]
    records.append(b'{\t"part"\r:"tab" ,"verdict":"a\\\\b\\u0000"}')
    assert store.commit(group(sealed(1, records))) == [Outcome.STORED]
    entries = reader.inspections(last=10)
    assert [e.record["part"] for e in entries] == [*odd, "tab"]
    assert entries[-1].record["verdict"] == "a\\b\x00"


def test_what_is_old_is_dropped_and_still_known(url: str) -> None:
    settings = StoreSettings(url=url, keep_days=3)
    store = open_store(settings)
    day_ns = 86_400_000_000_000
    now_ns = 20_000 * day_ns + 1000

    def aged(number: int, days: int, kind: str = "inspections") -> Group:
        record = inspection(number) if kind == "inspections" else b'{"key":"k"}'
        made = group(
            sealed(number, [record], first=number, kind=kind, stream=kind), topic=f"batch/{kind}"
        )
        came = msgspec.structs.replace(
            made.deliveries[0].arrival, received_ns=now_ns - days * day_ns
        )
        return Group([msgspec.structs.replace(made.deliveries[0], arrival=came)], [], [])

    work = [aged(n, days) for n, days in enumerate((9, 9, 8, 4, 3, 2, 0), 1)]
    work += [aged(1, 9, "alarms"), aged(2, 1, "alarms"), aged(1, 8, "health")]
    for each in work:
        assert store.commit(each) == [Outcome.STORED]
    store.sweep(now_ns, grace_s=0)
    assert store.tidy(now_ns).records == 6
    assert store.tidy(now_ns).records == 0
    reader = Reader(url)
    assert [entry.number for entry in reader.inspections(last=10)] == [5, 6, 7]
    assert [entry.number for entry in reader.alarms()] == [2]
    (device,) = reader.devices()
    assert (device.batches, device.records) == (10, 10)
    for each in work:
        assert store.commit(each) == [Outcome.REPEATED]
    assert [entry.number for entry in reader.inspections(last=10)] == [5, 6, 7]
    reader.close()
    with looking(url) as connection:
        folded = connection.execute(select(FOLDED).order_by(FOLDED.c.stream)).all()
        left = connection.execute(select(BATCHES.c.batch).order_by(BATCHES.c.batch)).scalars().all()
    assert [(row.stream, row.first_batch, row.last_batch) for row in folded] == [
        ("alarms", 1, 1),
        ("inspections", 1, 4),
    ]
    assert left == [1, 2, 5, 6, 7]
    store.close()


def test_nothing_is_dropped_unless_that_is_asked_for(store: Store, reader: Reader) -> None:
    store.commit(group(sealed(1, [inspection(1)])))
    assert store.tidy(2**62).records == 0
    assert len(reader.inspections(last=10)) == 1


def test_a_record_is_shown_with_when_it_happened(store: Store, reader: Reader) -> None:
    record = inspection(1, boot="b", mono_ns=2_000_000_000, wall_ns=5, time="1970-01-01T00:00:00Z")
    late = inspection(2, boot="b", mono_ns=1_000_000_000)
    sent = group(sealed(1, [record, late, inspection(3, boot="a")]))
    came = msgspec.structs.replace(
        sent.deliveries[0].arrival, boot="b", sent_mono_ns=61_500_000_000
    )
    item = messages.read(ROOT, came, limit_bytes=LIMIT_BYTES)
    assert isinstance(item, Delivery)
    store.commit(Group([item], [], []))
    found = reader.inspections(last=10)
    assert [entry.mark for entry in found] == ["", "late", "historical"]
    assert found[0].happened == "2023-11-14T22:12:20.500Z"
    assert found[2].happened == ""
    assert b'"happened":"2023-11-14T22:12:20.500Z"' in found[0].as_json()
