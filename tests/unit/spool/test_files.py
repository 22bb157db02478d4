"""Damage every file of a spool at random places: what is left is true, and what is gone is told."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest

from edge_agent.spool import batch, journal
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool

if TYPE_CHECKING:
    from pathlib import Path

LANES = (Lane("alarms", "alarms", urgent=True), Lane("ok", "inspections"))
QUIET = SpoolSettings(batch_age_ms=3_600_000, sync_ms=1000, batch_records=50)


def _nothing(*, force: bool) -> None:
    pass


def leave(spool: Spool) -> None:
    """Let go of a spool as a killed process does."""
    spool._sealing._round = _nothing  # type: ignore[method-assign]  # it does nothing more
    spool._sealing.stop()
    spool._thread.join()
    spool._sealing.close()


def settle(spool: Spool) -> None:
    """Bring into the database what only the sync log has."""
    with spool._sealing.files.kept.lock:
        spool._sealing.files.kept.settle()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spool as a crash leaves it: sealed batches in database and log, open ones in journals."""
    path: Path = tmp_path_factory.mktemp("killed") / "spool"
    spool = Spool(path, LANES, QUIET)
    for index in range(1, 1001):
        assert spool.append("ok", record(index)) == index
        if index == 10:
            spool.sync("ok")  # gives the sync log its sample: from here on it turns when it is full
        if index % 50 == 0:
            spool.flush()
            if index <= 900:  # the others are in the sync log only
                settle(spool)
        if index == 600:
            stream = spool.stats().lanes["ok"].stream
            assert spool.acknowledge(stream, [(1, 3)]) == 3
            spool._sealing.files.kept.database._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for index in range(1, 6):
        spool.append("alarms", b"alarm %d" % index)
    for index in range(1001, 1011):
        spool.append("ok", record(index))
    spool._sealing._round = _nothing  # type: ignore[method-assign]  # it does nothing more
    spool._sealing.stop()
    spool._thread.join()
    # The last connection would tidy up: what a killed process leaves is a copy of the open files.
    copy = path.with_name("copy")
    shutil.copytree(path, copy)
    spool._sealing.close()
    return copy


def record(index: int) -> bytes:
    return b'{"part":"p%06d","score":%d}' % (index, random.Random(index).randrange(10**9))


def look(spool: Spool) -> tuple[dict[tuple[str, int], bytes], list[batch.Loss]]:
    """Everything that is kept, by stream and number, and every notice that is told."""
    kept: dict[tuple[str, int], bytes] = {}
    told: list[batch.Loss] = []
    for lane in spool.lanes:
        for sealed in spool.pending(lane.name, limit=10**6):
            header, records = batch.decode(sealed.data)
            for number, line in enumerate(records, header.first):
                assert (header.stream, number) not in kept
                kept[header.stream, number] = line
            told.extend(header.lost)
    return kept, told


def damage(folder: Path, name: str, places: random.Random) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    kind = places.randrange(3)
    if name == "sync.log":  # where something is
        used = [at for at in range(0, len(data), 512) if data[at : at + 512].strip(b"\0")]
        at = places.choice(used)
        data[at : at + 512] = places.choice([bytes(512), places.randbytes(512)])
    elif kind == 0:
        data[places.randrange(len(data))] ^= 1 << places.randrange(8)
    elif kind == 1:
        at = places.randrange(0, len(data), 512)
        data[at : at + 512] = places.randbytes(len(data[at : at + 512]))
    else:
        at = places.randrange(0, len(data), 1024)
        data[at : at + 1024] = bytes(len(data[at : at + 1024]))
    path.write_bytes(data)


def files_of(folder: Path) -> list[str]:
    journals = [p.name for p in folder.glob("*.journal") if p.stat().st_size > journal.HEAD_BYTES]
    return ["spool.db", "spool.db-wal", "sync.log", *sorted(journals)]


@pytest.mark.parametrize("seed", range(80))
def test_any_page_may_be_damaged(killed: Path, tmp_path: Path, seed: int) -> None:
    places = random.Random(seed)
    folder = tmp_path / "spool"
    shutil.copytree(killed, folder)
    names = files_of(folder)
    name = names[seed % len(names)]
    damage(folder, name, places)
    spool = Spool(folder, LANES, QUIET)
    assert spool.append("ok", b"next") > 0
    spool.flush()
    spool.pending("ok", limit=10**6)  # damage that only reading shows is mended now
    spool.flush()
    spool.append("ok", b"tells")
    spool.append("alarms", b"tells")
    spool.flush()
    kept, told = look(spool)
    texts = list(kept.values())
    assert b"next" in texts
    assert b"tells" in texts
    mine = {record(index) for index in range(151, 1011)} | {b"alarm %d" % i for i in range(1, 6)}
    mine |= {b"next", b"tells"}
    assert set(texts) <= mine, "something was made up"
    ours = [text for text in texts if text.startswith(b"{")]
    assert len(ours) == len(set(ours)), "something was doubled"
    lost = mine - set(texts)
    if lost:
        stats = spool.stats()
        assert stats.damages or told or stats.torn_bytes, f"{name}: {len(lost)} gone, unsaid"
        counted = sum(loss.last - loss.first + 1 for loss in told)
        unsaid = any("cannot be said" in each.text for each in spool.stats().damages)
        torn = stats.torn_bytes > 0  # the last frame: as if it had just been written
        assert counted >= len(lost) or unsaid or torn, (name, counted, len(lost))
    spool.close()


def fresh_copy(killed: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    shutil.copytree(killed, folder)
    return folder


def test_a_damaged_file_is_kept_and_a_new_stream_begins(killed: Path, tmp_path: Path) -> None:
    folder = fresh_copy(killed, tmp_path)
    before = Spool(fresh_copy(killed, tmp_path / "before"), LANES, QUIET)
    streams = {name: lane.stream for name, lane in before.stats().lanes.items()}
    before.close()
    (folder / "spool.db").write_bytes(b"this is no database" * 100)
    (folder / "spool.db-wal").unlink()
    (folder / "spool.db-shm").unlink()
    (folder / "sync.log").unlink()
    spool = Spool(folder, LANES, QUIET)
    text, *journals = [damage.text for damage in spool.stats().damages]
    assert "ok 1 to 1000" in " ".join(journals)  # the journals know how far it had come
    aside = [p for p in folder.glob("spool.db.damaged-*") if not p.name.endswith(("-wal", "-shm"))]
    assert len(aside) == 1
    assert b"this is no database" in aside[0].read_bytes()
    assert aside[0].name in text
    assert {name: lane.stream for name, lane in spool.stats().lanes.items()} != streams
    assert spool.append("ok", b"next") == 11  # after the ten that were open
    spool.flush()
    kept, told = look(spool)
    assert record(1005) in kept.values()
    assert (1, 1000, streams["ok"]) in [(loss.first, loss.last, loss.stream) for loss in told]
    spool.close()


def test_what_only_reading_shows_is_told_in_the_same_stream(killed: Path, tmp_path: Path) -> None:
    folder = fresh_copy(killed, tmp_path)
    tidy = Spool(folder, LANES, QUIET)
    stream = tidy.stats().lanes["ok"].stream
    whole = {each.batch: each for each in tidy.pending("ok", limit=1000)}
    tidy.close()
    path = folder / "spool.db"
    data = bytearray(path.read_bytes())
    mine = whole[9].data[20:200]
    assert data.count(mine) == 1
    data[data.find(mine) + 100] ^= 1
    path.write_bytes(data)
    spool = Spool(folder, LANES, QUIET)
    assert spool.pending("ok", limit=1000) == []  # it was just found, and nothing bad goes out
    spool.flush()
    left = {each.batch: each for each in spool.pending("ok", limit=1000)}
    assert left.keys() == whole.keys() - {9}
    assert all(left[number].data == whole[number].data for number in left)
    assert spool.append("ok", b"next") == 1011
    spool.flush()
    newest = spool.pending("ok", limit=1000)[-1]
    assert newest.stream == stream
    lost = batch.decode(newest.data)[0].lost
    assert lost == (batch.Loss(whole[9].first, whole[9].last, "damaged"),)
    assert spool.stats().lanes["ok"].damaged == whole[9].count
    spool.close()


def test_a_database_that_went_back_ends_its_stream(killed: Path, tmp_path: Path) -> None:
    folder = fresh_copy(killed, tmp_path)
    (folder / "spool.db-wal").write_bytes(b"")  # all that was sealed after number 600 is gone
    (folder / "sync.log").unlink()
    (folder / "spool.db-shm").unlink(missing_ok=True)
    spool = Spool(folder, LANES, QUIET)
    text = " ".join(damage.text for damage in spool.stats().damages)
    assert "records ok 601 to 1000" in text
    spool.append("ok", b"tells")
    spool.flush()
    kept, told = look(spool)
    lane = spool.stats().lanes["ok"]
    ended = {stream for stream, _ in kept} - {each.stream for each in spool.stats().lanes.values()}
    assert ended == set()  # what waits of the ended stream is a lane of its own
    ended_ones = [(loss.first, loss.last, loss.reason) for loss in told if loss.stream]
    assert (601, 1000, "damaged") in ended_ones
    assert lane.appended == 11
    assert kept[lane.stream, 11] == b"tells"
    former = next(each for each in spool.lanes if each.name.startswith("ok~"))
    stream = spool.pending(former.name)[0].stream
    assert spool.acknowledge(stream, [(1, 1000)]) == 9
    spool.close()
    again = Spool(folder, LANES, QUIET)
    assert [each.name for each in again.lanes] == ["alarms", "ok"]
    again.close()


@pytest.mark.parametrize("gone", ["log", "database"])
def test_a_young_database_that_is_gone_is_told(tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, LANES, QUIET)
    for index in range(1, 121):
        spool.append("ok", record(index))
        if index % 50 == 0:
            spool.flush()
    spool._sealing._round = _nothing  # type: ignore[method-assign]  # it does nothing more
    spool._sealing.stop()
    spool._thread.join()
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    spool._sealing.close()
    (copy / "spool.db-wal").write_bytes(b"")
    (copy / "spool.db-shm").unlink()
    (copy / "sync.log").unlink()
    if gone == "database":
        (copy / "spool.db").unlink()
    spool = Spool(copy, LANES, QUIET)
    assert "ok 1 to 100" in " ".join(damage.text for damage in spool.stats().damages)
    spool.append("ok", b"tells")
    spool.flush()
    kept, told = look(spool)
    assert [(loss.first, loss.last, loss.reason) for loss in told] == [(1, 100, "damaged")]
    assert told[0].stream not in {"", *(stream for stream, _ in kept)}
    assert list(kept.values()) == [*(record(index) for index in range(101, 121)), b"tells"]
    spool.close()


def test_a_database_that_went_back_and_is_damaged_too_is_told_wholly(
    killed: Path, tmp_path: Path
) -> None:
    folder = fresh_copy(killed, tmp_path)
    (folder / "spool.db-wal").write_bytes(b"")  # all that was sealed after number 600 is gone
    (folder / "spool.db-shm").unlink(missing_ok=True)
    (folder / "sync.log").unlink()
    data = bytearray((folder / "spool.db").read_bytes())
    at = data.find(b"inspections")  # in the lane's row
    data[at] ^= 1
    (folder / "spool.db").write_bytes(data)
    spool = Spool(folder, LANES, QUIET)
    for lane in LANES:
        spool.append(lane.name, b"tells")
    spool.flush()
    kept, told = look(spool)
    have = set(kept.values())
    lost = [index for index in range(151, 1011) if record(index) not in have]
    assert set(range(601, 1001)) <= set(lost)
    covered = {n for loss in told for n in range(loss.first, loss.last + 1)}
    assert set(lost) <= covered
    assert {record(index) for index in range(1001, 1011)} <= have
    spool.close()


@pytest.mark.parametrize("how", ["gone", "garbage"])
def test_of_a_lost_database_the_sync_log_saves_what_it_has(
    killed: Path, tmp_path: Path, how: str
) -> None:
    folder = fresh_copy(killed, tmp_path)
    for path in folder.glob("spool.db*"):
        path.unlink()
    if how == "garbage":
        (folder / "spool.db").write_bytes(b"this is no database" * 100)
    spool = Spool(folder, LANES, QUIET)
    spool.flush()
    kept, _ = look(spool)
    texts = list(kept.values())
    assert {record(index) for index in range(901, 1011)} <= set(texts)
    assert len(texts) == len(set(texts))
    assert spool.stats().damages
    spool.close()


def test_lanes_of_before_are_still_sent(killed: Path, tmp_path: Path) -> None:
    folder = fresh_copy(killed, tmp_path)
    lanes = (Lane("alarms", "alarms", urgent=True), Lane("fine", "inspections"))
    spool = Spool(folder, lanes, QUIET)
    assert [each.name for each in spool.lanes] == ["alarms", "ok", "fine"]
    assert sum(each.count for each in spool.pending("ok", limit=1000)) == 1010 - 150
    assert spool.append("fine", b"new") == 1
    spool.close()
