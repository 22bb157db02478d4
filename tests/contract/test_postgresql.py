"""What only the PostgreSQL store has to do: be shared, be cut by days, be away and come back."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
import sqlalchemy
from sqlalchemy import func, select, text
from sqlalchemy.pool import NullPool

from edge_agent.collector import migrations
from edge_agent.collector.housekeeping import housekeeping
from edge_agent.collector.reading import Reader
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.store import Group, Outcome, Store, StoreUnavailable, open_store
from edge_agent.collector.stores import partitions, postgresql
from edge_agent.collector.stores.retention import DAY_NS
from edge_agent.collector.tables import BATCHES, INSPECTIONS
from edge_agent.errors import StoreError
from tests.rigs.postgresql import ABSENT, PG_CTL, USER, Cluster
from tests.unit.collector.arrivals import delivery, inspection, sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from edge_agent.collector.messages import Delivery
    from edge_agent.collector.reading import Entry

pytestmark = [pytest.mark.postgresql, pytest.mark.skipif(PG_CTL is None, reason=ABSENT)]

_RECORDS = 5


@pytest.fixture
def url(postgresql: Cluster) -> str:
    return postgresql.database()


@contextmanager
def opened(url: str, count: int = 1, **settings: int | str) -> Iterator[list[Store]]:
    made = msgspec.convert({"url": url, **settings}, StoreSettings)
    stores = [open_store(made) for _ in range(count)]
    try:
        yield stores
    finally:
        for store in stores:
            store.close()


@contextmanager
def looking(url: str) -> Iterator[Connection]:
    engine = sqlalchemy.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool
    )
    with engine.begin() as connection:
        yield connection


def batch(number: int, device: str = "dev1", *, day: int | None = None) -> Delivery:
    first = (number - 1) * _RECORDS + 1
    records = [inspection(n) for n in range(first, first + _RECORDS)]
    found = delivery(sealed(number, records, first=first), device=device)
    if day is None:
        return found
    came = msgspec.structs.replace(found.arrival, received_ns=day * DAY_NS + 5)
    return msgspec.structs.replace(found, arrival=came)


def together(*work: Callable[[], None]) -> None:
    """Do things at the same time; what one of them raises is raised."""
    failed: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def patient(store: Store, group: Group) -> list[Outcome]:
    """Commit as the collector does: until it works."""
    end = time.monotonic() + 30
    while True:
        try:
            return store.commit(group)
        except StoreUnavailable:
            assert time.monotonic() < end
            time.sleep(0.02)


def check_once(url: str, devices: set[str], batches: int) -> None:
    """See that every record of the batches 1 to `batches` is there exactly once."""
    with looking(url) as connection:
        columns = INSPECTIONS.c
        rows = connection.execute(
            select(columns.device, columns.number).order_by(columns.device, columns.number)
        ).all()
        claimed = connection.execute(select(func.count()).select_from(BATCHES)).scalar_one()
    numbers = range(1, batches * _RECORDS + 1)
    assert [tuple(row) for row in rows] == [(d, n) for d in sorted(devices) for n in numbers]
    assert claimed == len(devices) * batches


# --- several collectors ---------------------------------------------------------------------------


def test_collectors_that_start_at_once_make_the_tables_once(url: str) -> None:
    stores: list[Store] = []
    together(*[lambda: stores.append(open_store(StoreSettings(url=url)))] * 5)
    assert stores[0].commit(Group([batch(1)], [], [])) == [Outcome.STORED]
    assert stores[4].commit(Group([batch(1)], [], [])) == [Outcome.REPEATED]
    for store in stores:
        store.close()


def test_a_store_of_before_is_brought_up_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(url) as (store,):
        store.commit(Group([batch(1)], [], []))
    steps = {3: ("ALTER TABLE inspections ADD COLUMN shift TEXT", "UPDATE devices SET version = 1")}
    monkeypatch.setattr(migrations, "POSTGRESQL", steps)
    monkeypatch.setattr(migrations, "VERSION", 3)
    monkeypatch.setattr(postgresql, "VERSION", 3)
    with pytest.raises(StoreError, match="start `edge-collector run` once"):
        Reader(url)
    stores: list[Store] = []
    together(*[lambda: stores.append(open_store(StoreSettings(url=url)))] * 4)
    assert stores[0].commit(Group([batch(1), batch(2)], [], [])) == [
        Outcome.REPEATED,
        Outcome.STORED,
    ]
    for store in stores:
        store.close()
    with looking(url) as connection:
        assert connection.execute(text("SELECT version FROM edge_store")).scalar_one() == 3


def test_twice_sent_is_once_stored_whoever_takes_it(url: str) -> None:
    devices = {"dev1", "dev2", "dev3"}
    work = [batch(n, device) for n in range(1, 41) for device in devices]
    outcomes: list[Outcome] = []

    def collector(store: Store, seed: int) -> None:
        mine = random.Random(seed).sample(work, len(work))
        for begin in range(0, len(mine), 7):
            outcomes.extend(patient(store, Group(mine[begin : begin + 7], [], [])))

    with opened(url, 3) as stores:
        together(*[lambda s=s, n=n: collector(s, n) for n, s in enumerate(stores)])
    assert outcomes.count(Outcome.STORED) == len(work)
    assert outcomes.count(Outcome.REPEATED) == 2 * len(work)
    check_once(url, devices, 40)


def test_alarms_are_a_feed_whoever_writes_them(url: str) -> None:
    count, seen = 60, list[tuple[str, int]]()

    def alarm(number: int, device: str) -> Group:
        one = sealed(number, [b'{"key":"k"}'], first=number, kind="alarms", stream="a")
        return Group([delivery(one, topic="batch/alarms", device=device)], [], [])

    def collector(store: Store, device: str) -> None:
        for number in range(1, count + 1):
            patient(store, alarm(number, device))

    def follow() -> None:
        reader, last, end = Reader(url), 0, time.monotonic() + 20
        while len(seen) < 2 * count and time.monotonic() < end:
            for entry in reader.alarms(after_id=last):
                seen.append((entry.device, entry.number))
                last = entry.id
        reader.close()

    with opened(url, 2) as (one, two):
        together(lambda: collector(one, "a"), lambda: collector(two, "b"), follow)
    assert sorted(seen) == [(device, n) for device in "ab" for n in range(1, count + 1)]


# --- away and back --------------------------------------------------------------------------------


@pytest.mark.processes
def test_a_server_that_crashes_loses_and_doubles_nothing() -> None:
    cluster = Cluster(settings="fsync = off")
    try:
        cluster.start()
        url, done = cluster.database(), threading.Event()
        devices, batches = {"dev1", "dev2"}, 60

        def collector(store: Store) -> None:
            for number in range(1, batches + 1):
                group = Group([batch(number, device) for device in sorted(devices)], [], [])
                patient(store, group)
            done.set()

        def crash() -> None:
            while not done.wait(0.15):
                cluster.stop("immediate")
                cluster.start()

        with opened(url, 2) as (one, two):
            together(lambda: collector(one), lambda: collector(two), crash)
            assert cluster.log().count("immediate shutdown request") >= 2
        check_once(url, devices, batches)
    finally:
        cluster.remove()


def test_what_the_server_cannot_do_now_is_tried_again(postgresql: Cluster, url: str) -> None:
    with opened(url) as (store,):
        name = url.rpartition("/")[2]
        postgresql.order(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        postgresql.order(_END_OTHERS)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                store.commit(Group([batch(1)], [], []))
        postgresql.order(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        postgresql.order(_END_OTHERS)
        assert patient(store, Group([batch(1)], [], [])) == [Outcome.STORED]
    check_once(url, {"dev1"}, 1)


_END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname LIKE 'edge%' AND pid <> pg_backend_pid()"
)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts: run as root")
@pytest.mark.processes
def test_a_full_disk_is_away_not_broken(tmp_path: Path) -> None:
    cluster = Cluster(settings="fsync = off")
    small = cluster.folder / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m,uid=postgres,gid=postgres", "none", str(small)]
    subprocess.run(mount, check=True)
    try:
        cluster.start()
        url = cluster.database()
        cluster.order(f"CREATE TABLESPACE small LOCATION '{small}'")
        name = url.rpartition("/")[2]
        cluster.order(f"ALTER DATABASE {name} SET default_tablespace = small")
        with opened(url) as (store,):
            groups = [
                Group([batch(n) for n in range(begin, begin + 50)], [], [])
                for begin in range(1, 2000, 50)
            ]
            done = list[Outcome]()
            with pytest.raises(StoreUnavailable, match="No space left"):
                done.extend(each for group in groups for each in store.commit(group))
            stored = len(done) // 50
            assert stored
            check_once(url, {"dev1"}, stored * 50)
            subprocess.run(["mount", "-o", "remount,size=30m", str(small)], check=True)
            assert set(store.commit(groups[stored])) == {Outcome.STORED}
            assert set(store.commit(groups[stored])) == {Outcome.REPEATED}
        check_once(url, {"dev1"}, stored * 50 + 50)
    finally:
        cluster.stop("immediate")
        subprocess.run(["umount", str(small)], check=True)
        cluster.remove()


def test_what_is_wrong_at_the_start_is_one_clear_line(postgresql: Cluster, tmp_path: Path) -> None:
    url = postgresql.database()
    with looking(url) as connection:
        connection.execute(text("CREATE ROLE guest LOGIN PASSWORD 'right'"))
    postgresql.demand_password("guest")
    guest = url.replace(f"{USER}@", "guest@")
    wrong = tmp_path / "password"
    wrong.write_text("wrong\n")
    for there, password, said in (
        (guest, str(wrong), "check store.url and store.password_file"),
        (guest, str(tmp_path / "none"), r"store\.password_file .*none: cannot be read"),
        (url + "x", "", "does not exist; make it as an administrator"),
        (url + "?sslmode=require", "", "does not support SSL.*check sslmode"),
        (url + "?sslmode=much", "", "check what stands behind the"),
        (url + "?colour=red", "", "check what stands behind the"),
        (url.replace(str(postgresql.port), "http"), "", "store.url: cannot be read"),
        (url.replace(str(postgresql.port), "1"), "", "see that PostgreSQL runs there"),
    ):
        with pytest.raises(StoreError, match=said) as caught:
            open_store(StoreSettings(url=there, password_file=password))
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, StoreUnavailable) == ("runs there" in said)
        with pytest.raises(StoreError, match=said):
            Reader(there, password_file=password)
    wrong.write_text("right\nsecond line\n")
    with pytest.raises(
        StoreError, match=r"permission denied.*let the collector's user own"
    ) as denied:
        open_store(StoreSettings(url=guest, password_file=str(wrong)))
    assert "right" not in str(denied.value)


@pytest.mark.processes
def test_a_server_is_trusted_by_its_certificate_only(tmp_path: Path) -> None:
    servers = Cluster(settings="fsync = off"), Cluster(settings="fsync = off")
    try:
        authorities = []
        for server in servers:
            server.start()
            authorities.append(tmp_path / f"{server.port}.pem")
            shutil.copyfile(server.encrypt(), authorities[-1])
        url = servers[0].database() + "?sslmode=verify-full&sslrootcert="
        end = time.monotonic() + 5
        with opened(_when_encrypted(url, authorities[0], end)) as (store,):
            assert store.commit(Group([batch(1)], [], [])) == [Outcome.STORED]
        with pytest.raises(StoreError, match=r"certificate verify failed.*check sslmode"):
            open_store(StoreSettings(url=f"{url}{authorities[1]}"))
        with pytest.raises(StoreError, match=r"does not exist.*check sslmode"):
            open_store(StoreSettings(url=f"{url}{tmp_path}/none.pem"))
    finally:
        for server in servers:
            server.remove()


def _when_encrypted(url: str, authority: Path, end: float) -> str:
    """Wait until the server has read its settings anew."""
    while True:
        try:
            open_store(StoreSettings(url=f"{url}{authority}")).close()
        except StoreError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return f"{url}{authority}"


@pytest.mark.processes
def test_a_server_that_hangs_is_waited_for() -> None:
    cluster, done = Cluster(settings="fsync = off"), threading.Event()
    try:
        cluster.start()
        url = cluster.database()

        def hang() -> None:
            while not done.wait(0.1):
                cluster.pause()
                time.sleep(0.2)
                cluster.resume()

        def collector(store: Store) -> None:
            for number in range(1, 41):
                patient(store, Group([batch(number)], [], []))
            done.set()

        with opened(url) as (store,):
            together(lambda: collector(store), hang)
        check_once(url, {"dev1"}, 40)
    finally:
        cluster.remove()


# --- days -----------------------------------------------------------------------------------------


def days_of(url: str, table: str = "inspections") -> set[int]:
    with looking(url) as connection:
        return {day for name, day in partitions.existing(connection) if name == table}


def test_no_failure_at_midnight(url: str) -> None:
    today = partitions.day_of(time.time_ns())
    with opened(url) as (store,):
        assert days_of(url) == {today, today + 1, today + 2, today + 3}
        assert days_of(url, "alarms") == days_of(url, "health") == days_of(url)
        for number, day in enumerate((today, today + 1, today + 9, today - 400, 0), 1):
            assert store.commit(Group([batch(number, day=day)], [], [])) == [Outcome.STORED]
        across = [batch(6, day=today + 10), batch(7, day=today + 11)]
        assert store.commit(Group(across, [], [])) == [Outcome.STORED] * 2
        store.tidy((today + 20) * DAY_NS)
        assert days_of(url) >= {today + 20, today + 21, today + 22, today + 23}
    check_once(url, {"dev1"}, 7)


def test_a_day_that_another_collector_dropped_is_made_again(url: str) -> None:
    with opened(url, 2, keep_days=1) as (one, two):
        one.commit(Group([batch(1, day=10)], [], []))
        assert two.tidy(100 * DAY_NS).records == _RECORDS
        assert 10 not in days_of(url)
        assert one.commit(Group([batch(2, day=10)], [], [])) == [Outcome.STORED]
        assert [each.number for each in _entries(url)] == list(range(6, 11))


def _entries(url: str) -> list[Entry]:
    reader = Reader(url)
    found = reader.inspections(last=1000)
    reader.close()
    return found


def test_housekeeping_goes_on_while_collectors_write(url: str) -> None:
    """Days are dropped and batches folded while two collectors write; nothing is doubled."""
    today = partitions.day_of(time.time_ns())
    outcomes: list[Outcome] = []

    def collector(store: Store) -> None:
        for number in range(1, 31):
            day = today - 5 if number <= 15 else today
            outcomes.extend(patient(store, Group([batch(number, day=day)], [], [])))
            patient(store, Group([batch(max(1, number - 10), day=today)], [], []))
            if number % 10 == 0:
                store.sweep(time.time_ns(), grace_s=0)

    with opened(url, 2, keep_days=2) as (one, two), housekeeping(two, every_s=0.05):
        together(lambda: collector(one), lambda: collector(two))
        two.sweep(time.time_ns(), grace_s=0)
        two.tidy(time.time_ns())
    assert outcomes.count(Outcome.STORED) == 30
    numbers = [entry.number for entry in _entries(url)]
    assert numbers == sorted(set(numbers))
    assert set(numbers) == set(range(15 * _RECORDS + 1, 30 * _RECORDS + 1))
    reader = Reader(url)
    (device,) = reader.devices()
    assert (device.batches, device.records) == (30, 30 * _RECORDS)
    reader.close()
    with looking(url) as connection:
        folded = connection.execute(text("SELECT first_batch, last_batch FROM folded")).all()
    assert [tuple(row) for row in folded] == [(1, 15)]
    assert all(a < b for a, b in pairwise(numbers))
