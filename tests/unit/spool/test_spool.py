from __future__ import annotations

import os
import resource
import signal
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_agent.errors import SpoolError
from edge_agent.spool import batch, journal
from edge_agent.spool.database import Database
from edge_agent.spool.kept import Kept
from edge_agent.spool.segment import Segment
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LANES = (Lane("alarms", "alarms", urgent=True), Lane("inspections", "inspections"))
QUIET = SpoolSettings(batch_age_ms=3_600_000, sync_ms=50)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", LANES, QUIET)
    yield spool
    spool.close()


def records(spool: Spool, lane: str = "inspections") -> dict[int, bytes]:
    """Everything in the sealed batches of a lane, by record number; batches are in order."""
    found: dict[int, bytes] = {}
    last_batch = 0
    for sealed in spool.pending(lane, limit=10**6):
        header, lines = batch.decode(sealed.data)
        assert (header.stream, header.batch) == (sealed.stream, sealed.batch)
        assert header.batch == last_batch + 1
        last_batch = header.batch
        for number, line in enumerate(lines, header.first):
            assert number not in found
            found[number] = line
    return found


def open_segment(spool: Spool) -> Segment:
    """The segment that takes the inspections now."""
    segment = spool._sealing.ends["inspections"].segment
    assert segment is not None
    return segment


def eventually(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


def _nothing(*, force: bool) -> None:
    pass


def crash(spool: Spool) -> None:
    """Let go of a spool as a killed process does: nothing is sealed, nothing is told."""
    spool._sealing._round = _nothing  # type: ignore[method-assign]  # it does nothing more
    spool._sealing.stop()
    spool._thread.join()
    spool._sealing.close()


def test_each_lane_counts_for_itself(spool: Spool) -> None:
    assert [spool.append("inspections", b"a"), spool.append("inspections", b"b")] == [1, 2]
    assert spool.append("alarms", b"c") == 1
    streams = {name: lane.stream for name, lane in spool.stats().lanes.items()}
    assert len(set(streams.values())) == 2
    spool.flush()
    assert records(spool) == {1: b"a", 2: b"b"}
    assert spool.backlog().records == 3


def test_a_batch_is_sealed_by_count(tmp_path: Path) -> None:
    told = threading.Event()
    settings = SpoolSettings(batch_records=10, batch_age_ms=3_600_000)
    spool = Spool(tmp_path, LANES, settings, on_sealed=told.set)
    for _ in range(10):
        spool.append("inspections", b"x")
    assert told.wait(5)
    (sealed,) = spool.pending("inspections")
    assert (sealed.batch, sealed.first, sealed.last, sealed.count) == (1, 1, 10, 10)
    spool.close()


def test_a_batch_is_sealed_by_bytes_by_age_and_by_urgency(tmp_path: Path) -> None:
    for name, settings, lane, record in (
        (
            "bytes",
            SpoolSettings(batch_bytes=1024, batch_age_ms=3_600_000),
            "inspections",
            b"x" * 1024,
        ),
        ("age", SpoolSettings(batch_age_ms=20), "inspections", b"x"),
        ("urgency", QUIET, "alarms", b"x"),
    ):
        spool = Spool(tmp_path / name, LANES, settings)
        spool.append(lane, record)
        eventually(lambda s=spool, n=lane: bool(s.pending(n)))  # type: ignore[misc]  # bound now
        spool.close()


def test_appended_is_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    for index in range(100):
        spool.append("inspections", b"%d" % index)
    crash(spool)
    again = Spool(tmp_path, LANES, QUIET)
    assert records(again) == {index + 1: b"%d" % index for index in range(100)}
    assert again.append("inspections", b"next") == 101
    again.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: what the disk takes of a write is then cut short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_without_memory_what_the_disk_does_not_take_is_refused(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(QUIET, memory_bytes=0)
    spool = Spool(tmp_path, LANES, settings)
    spool.append("inspections", b"before")
    size = open_segment(spool).size
    for room in (0, 1, 16, 200):  # nothing fits; a part of the head; the head; a part of it
        with files_of_at_most(size + room), pytest.raises(SpoolError, match="free the disk"):
            spool.append("inspections", b"y" * 1000)
    assert spool.append("inspections", b"after") == 2
    crash(spool)
    again = Spool(tmp_path, LANES, QUIET)
    assert records(again) == {1: b"before", 2: b"after"}
    assert again.stats().torn_bytes == 0
    again.close()


def test_numbers_have_no_holes_when_the_disk_is_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    spool.append("inspections", b"before")
    with files_of_at_most(open_segment(spool).size + 16):
        for index in range(3):
            assert spool.append("inspections", b"meanwhile %d" % index) == 0
        eventually(lambda: "3 records wait in memory" in spool.stats().error)
        assert spool.stats().lanes["inspections"].in_memory == 3
        assert spool.backlog().records == 4
    eventually(lambda: spool.append("inspections", b"after") > 0)
    spool.flush()
    kept = records(spool)
    assert [kept[number] for number in range(1, 5)] == [
        b"before", b"meanwhile 0", b"meanwhile 1", b"meanwhile 2"
    ]  # fmt: skip
    assert set(list(kept.values())[4:]) == {b"after"}
    assert list(kept) == list(range(1, len(kept) + 1))
    assert spool.stats().error == ""
    spool.close()


def test_what_found_no_room_in_memory_has_a_notice(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(QUIET, memory_bytes=1000)
    spool = Spool(tmp_path, LANES, settings)
    spool.append("inspections", b"before")
    with files_of_at_most(open_segment(spool).size + 16):
        for index in range(10):
            assert spool.append("inspections", b"%d" % index * 136) == 0  # 200 bytes with its place
        assert spool.append("alarms", b"a" * 136) == 0
    spool.flush()
    kept = records(spool)
    assert sorted(kept) == [1, 8, 9, 10, 11]
    assert kept[8] == b"6" * 136
    spool.append("inspections", b"tells")
    spool.flush()
    headers = [batch.decode(each.data)[0] for each in spool.pending("inspections", limit=99)]
    assert [loss for h in headers for loss in h.lost] == [batch.Loss(2, 7, "dropped")]
    assert spool.stats().lanes["inspections"].dropped == 6
    assert records(spool, "alarms") == {1: b"a" * 136}
    spool.close()


def test_sealed_once_when_the_segment_outlives_its_commit(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    for index in range(20):
        spool.append("inspections", b"%d" % index)
    path = open_segment(spool).path
    copy = path.read_bytes()
    spool.flush()
    assert journal.parse(path.read_bytes()).runs == []
    stream = spool.stats().lanes["inspections"].stream
    spool.append("inspections", b"20")
    crash(spool)
    path.write_bytes(copy)  # as if the crash had come between commit and deletion
    again = Spool(tmp_path, LANES, QUIET)
    assert records(again) == {index + 1: b"%d" % index for index in range(21)}
    assert again.acknowledge(stream, [(1, 2)]) == 2
    crash(again)
    path.write_bytes(copy)  # and even after it was acknowledged
    third = Spool(tmp_path, LANES, QUIET)
    assert records(third) == {}
    assert third.append("inspections", b"21") == 22
    third.close()


def test_a_segment_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    spool.append("inspections", b"a")
    path = open_segment(spool).path

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Kept, "can_shelve", lambda *_: False)  # whose batches are too large
    monkeypatch.setattr(Database, "seal", full)
    with pytest.raises(SpoolError, match="disk is full"):
        spool.flush(0.2)
    assert path.exists()
    assert spool.append("inspections", b"b") == 2  # the station inspects on
    monkeypatch.undo()
    spool.flush()
    assert spool.stats().error == ""
    assert spool.stats().faults >= 1
    assert records(spool) == {1: b"a", 2: b"b"}
    assert not path.exists() or journal.parse(path.read_bytes()).runs == []
    spool.close()


def test_a_segment_holds_one_streams_records_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, SpoolSettings(batch_records=7, batch_age_ms=3_600_000))
    for index in range(1000):
        spool.append("inspections", b"%d" % index)
    spool.flush()
    assert records(spool) == {index + 1: b"%d" % index for index in range(1000)}
    assert all(b.count <= 7 for b in spool.pending("inspections", limit=1000))
    spool.close()


def test_the_path_waits_for_nobody(spool: Spool) -> None:
    with spool._sealing.files.kept.lock:  # a commit that takes forever
        began = time.monotonic()
        for _ in range(2000):
            spool.append("inspections", b"x" * 200)
            spool.backlog()
        assert time.monotonic() - began < 2
    spool.flush()
    assert len(records(spool)) == 2000


def test_a_torn_tail_is_dropped_and_its_number_used_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    for text in (b"a", b"b", b"c"):
        spool.append("inspections", text)
    path = open_segment(spool).path
    crash(spool)
    os.truncate(path, len(path.read_bytes().rstrip(b"\0")) - 1)
    again = Spool(tmp_path, LANES, QUIET)
    assert again.append("inspections", b"d") == 3
    again.flush()
    assert records(again) == {1: b"a", 2: b"b", 3: b"d"}
    assert again.stats().torn_bytes == 9  # without the zeros of its number
    assert again.stats().lanes["inspections"].damaged == 0
    again.close()


@pytest.mark.parametrize("broken", [1, 2, 3])
def test_a_flipped_byte_is_a_loss_with_a_notice(tmp_path: Path, broken: int) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    for text in (b"a", b"b", b"c"):
        spool.append("inspections", text)
    path = open_segment(spool).path
    crash(spool)
    data = bytearray(path.read_bytes())
    data[journal.HEAD_BYTES + 17 * broken - 1] ^= 1
    path.write_bytes(data)
    crash(Spool(tmp_path, LANES, QUIET))  # the notice outlives the next crash
    again = Spool(tmp_path, LANES, QUIET)
    assert again.append("inspections", b"d") == 4
    again.flush()
    assert sorted(records(again)) == sorted({1, 2, 3, 4} - {broken})
    headers = [batch.decode(b.data)[0] for b in again.pending("inspections")]
    assert [loss for h in headers for loss in h.lost] == [batch.Loss(broken, broken, "damaged")]
    assert again.stats().lanes["inspections"].damaged == 1
    again.close()


def test_over_quota_the_least_important_go_first_and_it_is_told(tmp_path: Path) -> None:
    settings = SpoolSettings(quota_bytes=2**20, batch_records=8, batch_age_ms=3_600_000)
    spool = Spool(tmp_path, LANES, settings)
    spool.append("alarms", os.urandom(1000).hex().encode())
    for _ in range(80):
        spool.append("inspections", os.urandom(20_000).hex().encode())
        time.sleep(0.001)
    spool.flush()
    lane = spool.stats().lanes["inspections"]
    assert lane.evicted >= 16
    assert lane.damaged == 0
    assert spool.stats().lanes["alarms"].evicted == 0
    assert len(spool.pending("alarms")) == 1
    assert spool.backlog().bytes <= 2**20
    spool.append("inspections", b"tells")
    spool.flush()
    waiting = spool.pending("inspections", limit=1000)
    told = [loss for b in waiting for loss in batch.decode(b.data)[0].lost]
    assert {loss.reason for loss in told} == {"evicted"}
    assert sum(loss.last - loss.first + 1 for loss in told) == lane.evicted
    kept = sum(b.count for b in waiting)
    assert kept + lane.evicted == 81
    spool.close()


def test_acknowledged_batches_are_forgotten(spool: Spool) -> None:
    for index in range(6):
        spool.append("inspections", b"%d" % index)
        spool.flush()
    stream = spool.stats().lanes["inspections"].stream
    assert spool.acknowledge("ffffffffffffffff", [(1, 6)]) == 0
    assert spool.acknowledge(stream, [(1, 2), (4, 4)]) == 3
    assert spool.acknowledge(stream, [(1, 2)]) == 0
    assert [b.batch for b in spool.pending("inspections")] == [3, 5, 6]
    assert [b.batch for b in spool.pending("inspections", after=3, limit=1)] == [5]
    assert spool.backlog().records == 3


def test_a_second_process_is_kept_out(tmp_path: Path, spool: Spool) -> None:
    with pytest.raises(SpoolError, match="in use by another process"):
        Spool(tmp_path / "spool", LANES, QUIET)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(tmp_path / "file" / "spool", LANES, QUIET)


@pytest.mark.parametrize("record", [b"two\nlines", b"x" * (journal.RECORD_LIMIT_BYTES + 1)])
def test_a_record_is_one_line_of_bounded_length(spool: Spool, record: bytes) -> None:
    with pytest.raises(SpoolError, match="one line"):
        spool.append("inspections", record)
    assert spool.append("inspections", b"fits") == 1


def test_with_sync_0_each_record_is_synced(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, SpoolSettings(sync_ms=0, batch_age_ms=3_600_000))
    spool.append("inspections", b"a")
    segment = open_segment(spool)
    assert segment.synced == segment.size
    spool.close()
