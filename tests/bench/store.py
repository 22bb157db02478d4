"""What the collector stores a second: payloads into rows, into both databases.

python -m tests.bench.store [--records N] [--rounds 3] [--from FILE] [--store NAME]

The records are those of the agent's own path (see tests/bench/wire.py), in batches of 500 of two
devices, and in groups of 20 batches as the collector commits them. Beside it, in the same run and
with the very same rows: a bare COPY by one client that has them ready, into a table like the one
that the collector fills, and into one without indexes. PostgreSQL syncs every commit. Client and
server share the cores of this machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import psycopg

from edge_agent.collector import messages
from edge_agent.collector.messages import Arrival, Delivery
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.store import Group, Outcome, open_store
from edge_agent.collector.stores import copying, partitions
from edge_agent.collector.tables import INSPECTIONS
from edge_agent.config import Lighting
from edge_agent.record.inspection import InspectionRecord, encode
from edge_agent.spool import batch
from tests.bench.wire import judge
from tests.rigs.postgresql import Cluster

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BATCH, _GROUP, _ROOT = 500, 20, "edge/v1"
_NAMES = [column.name for column in INSPECTIONS.columns if column.name != "id"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3, help="of each the best of so many is told")
    parser.add_argument("--from", dest="source", type=Path, help="records, one a line")
    parser.add_argument("--store", choices=["postgresql", "sqlite"], help="only this one")
    options = parser.parse_args()
    if options.source:
        records = options.source.read_bytes().splitlines()
    else:
        records = [encode(record) for record in judge(1200, Lighting().figures_every)]
    arrivals = list(made(records, options.records))
    say(f"{len(arrivals) * _BATCH} records, {sum(map(len, records)) / len(records):.0f} bytes each")
    read_cost(arrivals)
    if options.store != "sqlite":
        cluster = Cluster()
        try:
            cluster.start()
            measure_postgresql(cluster, arrivals, options.rounds)
        finally:
            cluster.remove()
    if options.store != "postgresql":
        with tempfile.TemporaryDirectory(prefix="edge-store-") as folder:
            measure_sqlite(f"sqlite:///{folder}/c.db", arrivals)


def made(records: Sequence[bytes], count: int) -> Iterator[Arrival]:
    """Seal records into batches of two devices; each batch number once."""
    now_ns = time.time_ns()
    parts = [records[at : at + _BATCH] for at in range(0, len(records) - _BATCH, _BATCH)]
    payloads = [
        (*sealed(part), msgspec.json.decode(part[-1], type=InspectionRecord)) for part in parts
    ]
    for number in range(1, count // _BATCH + 1):
        header, body, newest = payloads[number % len(payloads)]
        first = (number - 1) * _BATCH + 1
        told = msgspec.structs.replace(header, batch=number, first=first, last=first + _BATCH - 1)
        payload = zstd.compress(msgspec.json.encode(told) + body, 3)
        topic = f"{_ROOT}/device-{number % 2}/batch/inspections"
        yield Arrival(topic, payload, now_ns, boot=newest.boot, sent_mono_ns=newest.mono_ns + 10**9)


def sealed(records: Sequence[bytes]) -> tuple[batch.Header, bytes]:
    """Seal records as a device does; return the header, and what stands behind it."""
    header = batch.Header(
        schema="", stream="9f86d081884c7d65", batch=1, kind="inspections", first=1,
        last=len(records), count=len(records),
    )  # fmt: skip
    payload = batch.encode(header, records, level=3)
    line, end, body = zstd.decompress(payload).partition(b"\n")
    return msgspec.json.decode(line, type=batch.Header), end + body


def read(arrival: Arrival) -> Delivery:
    """Read a payload as the collector does."""
    found = messages.read(_ROOT, arrival, limit_bytes=64 * 2**20)
    assert isinstance(found, Delivery)
    return found


def read_cost(arrivals: Sequence[Arrival]) -> None:
    """Say what the collector's own work costs, in time of one core."""
    some = arrivals[:_GROUP]
    times = {
        "unpack, check the digest": lambda: [batch.decode(each.payload) for each in some],
        "the same, into columns": lambda: [read(each) for each in some],
    }
    for name, work in times.items():
        say(f"{name:<44} {cpu_us(work, len(some)):>6.2f} us of CPU a record")
    deliveries = [read(each) for each in some]
    us = cpu_us(lambda: list(copying.lines(deliveries, _NAMES)), len(some))
    say(f"{'columns into the text of COPY':<44} {us:>6.2f} us of CPU a record")


def cpu_us(work: Callable[[], object], batches: int) -> float:
    """Time something that handles so many batches, in microseconds of CPU a record."""
    took = []
    for _ in range(5):
        began = time.thread_time()
        work()
        took.append(time.thread_time() - began)
    return min(took) / (batches * _BATCH) * 1e6


def measure_postgresql(cluster: Cluster, arrivals: Sequence[Arrival], rounds: int) -> None:
    """Measure bare COPYs, then the store; each a few times in turn, the best of each."""
    deliveries = [read(each) for each in arrivals]
    rows = [
        b"".join(copying.lines(deliveries[at : at + _GROUP], _NAMES))
        for at in range(0, len(deliveries), _GROUP)
    ]
    ways: dict[str, Callable[[str], float]] = {
        "bare COPY, the same table": lambda url: bare(url, rows, like=True),
        "bare COPY, no index, no days": lambda url: bare(url, rows, like=False),
        "postgresql: commit alone": lambda url: timed_commits(url, deliveries),
        "postgresql: payload to committed, in turn": lambda url: timed_sequence(url, arrivals),
        "postgresql: payload to committed": lambda url: timed_path(url, arrivals),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):  # in turn: what else the machine does meets all of them
        for name, way in ways.items():
            best[name] = min(best[name], way(cluster.database()))
    yardstick = best["bare COPY, the same table"]
    for name, seconds in best.items():
        show(name, len(arrivals), seconds, f"{yardstick / seconds:>6.0%} of the bare COPY")


def bare(url: str, rows: Sequence[bytes], *, like: bool) -> float:
    """Copy rows, a group in each transaction; return the seconds."""
    open_store(StoreSettings(url=url)).close()
    names = ", ".join(f'"{name}"' for name in _NAMES)
    table = "inspections"
    with psycopg.connect(url) as connection:
        if not like:
            table = "bare"
            connection.execute(
                f"CREATE TABLE bare (LIKE {partitions.name_of('inspections', _today())})"
            )
            connection.execute("ALTER TABLE bare ALTER COLUMN id DROP NOT NULL")
            connection.commit()
        began = time.perf_counter()
        for some in rows:
            with connection.cursor() as cursor:
                with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                    copy.write(some)
                connection.commit()
        return time.perf_counter() - began


def _today() -> int:
    return partitions.day_of(time.time_ns())


def measure_sqlite(url: str, arrivals: Sequence[Arrival]) -> None:
    """Measure SQLite: half of the batches one way, half of them the other."""
    half = len(arrivals) // 2
    deliveries = [read(each) for each in arrivals[:half]]
    show("sqlite: commit alone", half, timed_commits(url, deliveries))
    show("sqlite: payload to committed", half, timed_path(url, arrivals[half : 2 * half]))


def timed_commits(url: str, deliveries: Sequence[Delivery]) -> float:
    """Commit what was read before; return the seconds."""
    store = open_store(StoreSettings(url=url))
    began = time.perf_counter()
    for at in range(0, len(deliveries), _GROUP):
        outcomes = store.commit(Group(list(deliveries[at : at + _GROUP]), [], []))
        assert set(outcomes) == {Outcome.STORED}
    took = time.perf_counter() - began
    store.close()
    return took


def timed_path(url: str, arrivals: Sequence[Arrival]) -> float:
    """Read a group while the one before is committed, as the collector does; return seconds."""
    store = open_store(StoreSettings(url=url))
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as committer:
        before: Future[list[Outcome]] | None = None
        for at in range(0, len(arrivals), _GROUP):
            some = [read(each) for each in arrivals[at : at + _GROUP]]
            assert before is None or set(before.result()) == {Outcome.STORED}
            before = committer.submit(store.commit, Group(some, [], []))
        assert before is not None
        assert set(before.result()) == {Outcome.STORED}
    took = time.perf_counter() - began
    store.close()
    return took


def timed_sequence(url: str, arrivals: Sequence[Arrival]) -> float:
    """Read and commit in turn; return the seconds."""
    store = open_store(StoreSettings(url=url))
    began = time.perf_counter()
    for at in range(0, len(arrivals), _GROUP):
        some = [read(each) for each in arrivals[at : at + _GROUP]]
        outcomes = store.commit(Group(some, [], []))
        assert set(outcomes) == {Outcome.STORED}
    took = time.perf_counter() - began
    store.close()
    return took


def show(name: str, batches: int, seconds: float, note: str = "") -> None:
    """Print one figure."""
    say(f"{name:<44} {batches * _BATCH / seconds:>8.0f} records/s {note}")


def say(line: str) -> None:
    """Print a line now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
