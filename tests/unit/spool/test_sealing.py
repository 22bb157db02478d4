from __future__ import annotations

import errno
import os
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import SpoolError
from edge_agent.spool import batch
from edge_agent.spool.database import Database
from edge_agent.spool.kept import Kept
from edge_agent.spool.segment import Segment
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool
from edge_agent.spool.synclog import SyncLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUIET = SpoolSettings(batch_age_ms=3_600_000, sync_ms=20)
BY_PROMISE_5 = tuple(
    Lane(name, name)
    for name in ("alarms", "ng", "ok", "health", "lighting", "evidence", "evidence-ok")
)


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


def fails(*_: object, **__: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


def test_never_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, (Lane("ok", "ok", urgent=True),), QUIET)
    monkeypatch.setattr(Kept, "can_shelve", lambda *_: False)
    monkeypatch.setattr(Database, "seal", fails)
    spool.append("ok", b"a")
    eventually(lambda: spool.stats().faults > 0)
    assert "disk I/O error" in spool.stats().error
    monkeypatch.undo()
    eventually(lambda: bool(spool.pending("ok")))
    eventually(lambda: spool.stats().error == "")
    spool.close()


def test_the_disk_is_bounded_even_while_nothing_can_be_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SpoolSettings(
        quota_bytes=2**20, batch_bytes=2**16, batch_age_ms=3_600_000, memory_bytes=2**20
    )
    spool = Spool(tmp_path, (Lane("ng", "ng"), Lane("ok", "ok")), settings)
    monkeypatch.setattr(Database, "seal", fails)
    numbers = []
    for index in range(1000):
        numbers.append(spool.append("ok", os.urandom(3000).hex().encode()))
        if index % 8 == 0:
            time.sleep(0.002)
        if numbers[-1] == 0:
            break
        if index > 400:  # the thread looks again once a second
            time.sleep(0.01)
    assert numbers[-1] == 0, "the journals grow and grow"
    assert spool.backlog().bytes < 8 * 2**20
    assert spool.append("ng", b"important") == 0
    monkeypatch.undo()
    spool.flush(20)
    eventually(lambda: spool.stats().lanes["ng"].appended == 1)
    spool.flush(20)
    assert [batch.decode(each.data)[1] for each in spool.pending("ng")] == [[b"important"]]
    assert spool.backlog().bytes <= 2**20
    assert spool.stats().lanes["ok"].evicted > 0
    spool.close()


def test_what_failed_to_sync_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    spool = Spool(tmp_path, (Lane("alarms", "alarms"),), SpoolSettings(sync_ms=60_000))
    assert spool.append("alarms", b"a") == 1
    first = spool._sealing.ends["alarms"].segment
    monkeypatch.setattr(SyncLog, "write", broken)
    monkeypatch.setattr(Segment, "sync", broken)
    with pytest.raises(SpoolError, match="not synced: Input/output error"):
        spool.sync("alarms")
    monkeypatch.undo()
    assert first is not None
    assert first.is_doubtful
    assert spool._sealing.ends["alarms"].segment is not first
    eventually(lambda: bool(spool.pending("alarms")))
    assert spool.append("alarms", b"b") == 2
    spool.sync("alarms")
    spool.flush()
    kept = [line for each in spool.pending("alarms") for line in batch.decode(each.data)[1]]
    assert kept == [b"a", b"b"]
    spool.close()


def test_without_the_sync_log_all_goes_on_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    spool = Spool(tmp_path, (Lane("alarms", "alarms"),), QUIET)
    monkeypatch.setattr(SyncLog, "write", broken)
    assert spool.append("alarms", b"a") == 1
    spool.sync("alarms")
    assert "sync.log: Input/output error" in spool.stats().error
    segment = spool._sealing.ends["alarms"].segment
    assert segment is not None
    assert segment.synced == segment.size
    spool.flush()
    assert [each.batch for each in spool.pending("alarms")] == [1]
    monkeypatch.undo()
    assert spool.append("alarms", b"b") == 2
    spool.flush()
    assert spool.stats().error == ""
    assert [each.batch for each in spool.pending("alarms")] == [1, 2]
    spool.close()


def test_eviction_follows_promise_5(tmp_path: Path) -> None:
    settings = SpoolSettings(quota_bytes=8000, batch_age_ms=3_600_000)  # to see it in little
    spool = Spool(tmp_path, BY_PROMISE_5, settings)
    gone: list[str] = []
    for turn in range(len(BY_PROMISE_5)):
        for lane in BY_PROMISE_5:
            if turn == 0:
                spool.append(lane.name, os.urandom(500).hex().encode())
        spool.append("alarms", os.urandom(600 + 60 * turn).hex().encode())
        spool.flush()
        stats = spool.stats().lanes
        for lane in reversed(BY_PROMISE_5):
            if stats[lane.name].evicted and lane.name not in gone:
                gone.append(lane.name)
    order = [lane.name for lane in reversed(BY_PROMISE_5)]
    assert gone == order[: len(gone)]
    assert len(gone) >= 3
    assert spool.stats().lanes["alarms"].evicted == 0
    for name in gone:
        spool.append(name, b"tells")
    spool.flush()
    for name in gone[1:]:  # the last lane's own notice may have been evicted again
        headers = [batch.decode(each.data)[0] for each in spool.pending(name)]
        losses = [loss for header in headers for loss in header.lost]
        assert losses in ([], [batch.Loss(1, 1, "evicted")])
    spool.close()


def test_an_alarm_is_on_the_disk_when_sync_returns(tmp_path: Path) -> None:
    settings = SpoolSettings(sync_ms=60_000, batch_age_ms=3_600_000)
    spool = Spool(tmp_path, (Lane("alarms", "alarms"), Lane("ok", "ok")), settings)
    spool.append("alarms", b"a")
    spool.append("ok", b"b")
    segment = spool._sealing.ends["alarms"].segment
    other = spool._sealing.ends["ok"].segment
    assert segment is not None
    assert other is not None
    assert segment.synced != segment.size
    spool.sync("alarms")
    assert segment.synced == segment.size
    assert other.synced != other.size
    spool.close()
