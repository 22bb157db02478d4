from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.spool import synclog
from edge_agent.spool.rows import BatchRow, LaneRow
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.shelf import Shelf
from edge_agent.spool.spool import Lane, Spool
from tests.unit.spool.test_files import leave, settle

if TYPE_CHECKING:
    from pathlib import Path

LANES = (Lane("ok", "inspections"), Lane("health", "health"))
QUIET = SpoolSettings(batch_age_ms=3_600_000, sync_ms=60_000)


def put(shelf: Shelf, row: LaneRow, count: int, size: int = 10) -> None:
    for _ in range(count):
        row.sealed, row.batches = row.sealed + 5, row.batches + 1
        batch = BatchRow(row.stream, row.batches, row.sealed - 4, row.sealed, bytes(size))
        shelf.put(row, batch)


def test_batches_are_given_in_order_and_forgotten() -> None:
    shelf, row = Shelf(), LaneRow(1, "ok", "inspections", "s", sealed=50, batches=10)
    put(shelf, row, 4)
    assert shelf.base(row) == 10
    assert [each.batch for each in shelf.pending(row, after=11, limit=2)] == [12, 13]
    freed = shelf.acknowledge("s", [(11, 12), (14, 99)])
    assert (freed.batches, freed.records, freed.bytes) == (3, 15, 30)
    assert [each.batch for each in shelf.all("s")] == [13]
    assert shelf.base(row) == 10
    shelf.clear()
    assert shelf.base(row) == 14
    assert shelf.all("s") == []


@pytest.mark.parametrize(("count", "size"), [(1000, 1), (5, 2**18)])
def test_bounded(count: int, size: int) -> None:
    shelf, row = Shelf(), LaneRow(1, "ok", "inspections", "s")
    put(shelf, row, count - 1, size)
    assert shelf.is_full == (size * (count - 1) >= 2**20)
    put(shelf, row, 1, size)
    assert shelf.is_full
    shelf.acknowledge("s", [(1, count)])
    assert not shelf.is_full


def marks(spool: Spool) -> dict[str, tuple[int, int]]:
    rows = spool._sealing.files.kept.database.lanes()
    return {row.name: (row.sealed, row.batches) for row in rows}


def sealed(spool: Spool, count: int) -> None:
    for index in range(count):
        spool.append("ok", b"record %d" % index)
        spool.flush()


def test_on_the_shelf_is_on_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    sealed(spool, 3)
    assert marks(spool)["ok"] == (0, 0)
    told = synclog.read(tmp_path / "sync.log").entries
    assert [(each.batch, each.first) for e in told for each in e.batches] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    before = spool.pending("ok")
    leave_without_settling(spool)
    again = Spool(tmp_path, LANES, QUIET)
    assert again.pending("ok") == before
    assert again.append("ok", b"next") == 4
    again.close()


def leave_without_settling(spool: Spool) -> None:
    spool._sealing.files.kept.shelf.clear()  # as if the process were gone
    leave(spool)


def test_what_was_acknowledged_is_not_there_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    sealed(spool, 3)
    stream = spool.pending("ok")[0].stream
    assert spool.acknowledge(stream, [(1, 2)]) == 2
    sealed(spool, 1)  # carries the word
    leave_without_settling(spool)
    again = Spool(tmp_path, LANES, QUIET)
    assert [each.batch for each in again.pending("ok")] == [3, 4]
    assert again.backlog().records == 2
    again.close()


def test_the_database_learns_marks_and_batches_together(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    sealed(spool, 2)
    settle(spool)
    assert marks(spool)["ok"] == (2, 2)
    sealed(spool, 2)
    assert marks(spool)["ok"] == (2, 2)
    stream = spool.pending("ok")[0].stream
    assert spool.acknowledge(stream, [(3, 3)]) == 1  # of the shelf: the database hears nothing
    assert marks(spool)["ok"] == (2, 2)
    assert spool.acknowledge(stream, [(1, 1)]) == 1  # of the database: it gets the rest first
    assert marks(spool)["ok"] == (4, 4)
    assert [each.batch for each in spool.pending("ok")] == [2, 4]
    assert [each.batch for each in spool.pending("ok", after=2)] == [4]
    spool.close()
    again = Spool(tmp_path, LANES, QUIET)
    assert [each.batch for each in again.pending("ok")] == [2, 4]
    again.close()


def test_a_large_batch_goes_to_the_database_behind_the_small_ones(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LANES, QUIET)
    sealed(spool, 2)
    spool.append("ok", b"x" * 200_000)
    spool.flush()
    assert marks(spool)["ok"] == (3, 3)
    sealed(spool, 1)
    assert [each.batch for each in spool.pending("ok")] == [1, 2, 3, 4]
    assert marks(spool)["ok"] == (3, 3)
    spool.close()
