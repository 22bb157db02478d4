"""What every database must do with gaps: found, asked for, gone, filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from edge_agent.collector.gaps import Gap, GapState, Hole
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.store import open_store
from edge_agent.collector.stores import gaps
from edge_agent.collector.tables import BATCHES, GAPS, LOSSES, STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.rigs.postgresql import Cluster

_S = 1_000_000_000
NOW = 1_700_000_000 * _S
GRACE_S = 30.0
LATER = NOW + 31 * _S


class Table:
    """A database with one device whose batches have ten records each."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def store(self, *numbers: int, device: str = "d", at_ns: int = NOW) -> None:
        rows = [
            {
                "device": device, "stream": "s", "batch": n, "kind": "inspections",
                "first": 10 * n - 9, "last": 10 * n, "bytes": 1, "digest": "", "received_ns": at_ns,
            }
            for n in numbers
        ]  # fmt: skip
        with self.engine.begin() as connection:
            connection.execute(insert(BATCHES), rows)
            known = select(STREAMS).where(STREAMS.c.device == device)
            if connection.execute(known).first() is None:
                values = {"device": device, "stream": "s", "kind": "inspections"}
                times = {"first_ns": at_ns, "last_ns": at_ns}
                connection.execute(insert(STREAMS), [values | times | {"complete_to": 0}])

    def lose(self, first: int, last: int) -> None:
        row = {"first": first, "last": last, "reason": "evicted", "batch": 1, "received_ns": NOW}
        with self.engine.begin() as connection:
            connection.execute(insert(LOSSES), [row | {"device": "d", "stream": "s"}])

    def sweep(self, now_ns: int = LATER) -> list[Gap]:
        with self.engine.begin() as connection:
            return gaps.sweep(connection, now_ns, grace_s=GRACE_S)

    def gone(self, *spans: tuple[int, int]) -> None:
        with self.engine.begin() as connection:
            gaps.gone(connection, "d", "s", spans, NOW)

    def rows(self) -> list[tuple[int, int, int, int, str]]:
        with self.engine.connect() as connection:
            found = [gaps.gap_of(row) for row in connection.execute(select(GAPS)).all()]
        found.sort(key=lambda gap: (gap.device, gap.hole.first_batch))
        return [_shape(gap) for gap in found]

    def seen_to(self) -> list[int]:
        with self.engine.connect() as connection:
            return [row.complete_to for row in connection.execute(select(STREAMS)).all()]

    def clear(self) -> None:
        with self.engine.begin() as connection:
            for table in (BATCHES, STREAMS, GAPS, LOSSES):
                connection.execute(table.delete())


def _shape(gap: Gap) -> tuple[int, int, int, int, str]:
    hole = gap.hole
    return (hole.first_batch, hole.last_batch, hole.first, hole.last, gap.state.value)


def holes(found: Sequence[Gap]) -> list[Hole]:
    return [gap.hole for gap in found]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Table]:
    url = f"sqlite:///{tmp_path}/c.db"
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        url = cluster.database()
    open_store(StoreSettings(url=url)).close()
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    if request.param == "sqlite":
        with engine.connect() as connection:  # else each small step waits for the disk
            connection.exec_driver_sql("PRAGMA journal_mode = MEMORY")
    yield Table(engine)
    engine.dispose()


def test_nothing_is_missing_of_a_whole_stream(table: Table) -> None:
    table.store(1, 2, 3)
    assert table.sweep() == []
    assert table.seen_to() == [3]
    assert table.rows() == []


def test_a_hole_is_found_after_its_grace_and_asked_for_once_a_pause(table: Table) -> None:
    table.store(1, 2, 5)
    assert table.sweep(NOW + _S) == []
    assert table.seen_to() == [2]
    (gap,) = table.sweep()
    assert (gap.device, gap.stream, gap.hole, gap.asked) == ("d", "s", Hole(3, 4, 21, 40), 1)
    assert table.sweep(LATER + 59 * _S) == []
    (again,) = table.sweep(LATER + 60 * _S)
    assert again.asked == 2
    assert table.sweep(LATER + 179 * _S) == []
    assert holes(table.sweep(LATER + 180 * _S)) == [Hole(3, 4, 21, 40)]


def test_what_notices_cover_is_no_gap(table: Table) -> None:
    table.store(1, 4)
    table.lose(11, 25)
    table.lose(26, 30)
    assert table.sweep() == []
    assert table.rows() == []
    assert table.seen_to() == [4]


def test_a_notice_that_comes_later_ends_the_gap(table: Table) -> None:
    table.store(1, 4)
    assert len(table.sweep()) == 1
    table.lose(11, 30)
    assert table.sweep(LATER + 3600 * _S) == []
    assert table.rows() == []


def test_a_gap_that_was_asked_for_is_filled(table: Table) -> None:
    table.store(1, 4)
    table.sweep()
    table.store(3)
    assert holes(table.sweep(LATER + 60 * _S)) == [Hole(2, 2, 11, 20)]
    table.store(2)
    assert table.sweep(LATER + 3600 * _S) == []
    assert table.rows() == [(2, 2, 11, 20, "filled")]
    assert table.sweep(LATER + 8 * 86_400 * _S) == []
    assert table.rows() == []


def test_what_is_gone_is_kept_and_not_asked_for(table: Table) -> None:
    table.store(1, 5)
    table.sweep()
    table.gone((1, 3))
    assert holes(table.sweep(LATER + 60 * _S)) == [Hole(4, 4, 11, 40)]
    table.store(4)
    assert table.sweep(LATER + 200 * _S) == []
    assert table.rows() == [(2, 3, 11, 30, "gone"), (4, 4, 11, 40, "filled")]
    assert table.sweep(LATER + 10**6 * _S) == []
    assert (2, 3, 11, 30, "gone") in table.rows()


def test_what_was_gone_and_comes_after_all_is_filled(table: Table) -> None:
    table.store(1, 3)
    table.sweep()
    table.gone((2, 2))
    assert table.rows()[0][-1] == GapState.GONE
    table.store(2)
    table.sweep(LATER + 60 * _S)
    assert table.rows()[0][-1] == GapState.FILLED


def test_what_nobody_asked_for_may_not_be_gone(table: Table) -> None:
    table.store(1, 2)
    table.sweep()
    table.gone((1, 2), (7, 10**18))
    assert table.rows() == []


def test_records_without_a_batch_are_shown_and_not_asked_for(table: Table) -> None:
    table.store(1)
    row = {"device": "d", "stream": "s", "batch": 2, "kind": "inspections", "digest": ""}
    with table.engine.begin() as connection:
        more = {"first": 21, "last": 30, "bytes": 1, "received_ns": NOW}
        connection.execute(insert(BATCHES), [row | more])
    assert table.sweep() == []
    assert table.rows() == [(2, 1, 11, 20, "open")]
    table.lose(11, 20)
    table.sweep(LATER + _S)
    assert table.rows() == []


def test_a_batch_from_the_future_is_not_young_for_years(table: Table) -> None:
    table.store(1)
    table.store(3, at_ns=NOW + 10**18)
    assert holes(table.sweep()) == [Hole(2, 2, 11, 20)]


def test_devices_do_not_mix(table: Table) -> None:
    table.store(1, 3, device="a")
    table.store(2, device="b")
    found = table.sweep()
    assert [(gap.device, gap.hole.first_batch) for gap in found] == [("a", 2), ("b", 1)]


def test_a_sweep_is_bounded(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "_SCAN_BATCHES", 50)
    monkeypatch.setattr(gaps, "_GAPS", 5)
    table.store(*range(2, 200, 2))
    assert len(table.sweep()) == 5
    assert table.seen_to() == [100]
    asked = {gap.hole.first_batch for _ in range(30) for gap in table.sweep()}
    assert table.seen_to() == [198]
    assert len(asked | {1, 3, 5, 7, 9}) == 99


def test_two_sweeps_at_once_ask_once(table: Table) -> None:
    """Each in a transaction of its own; where the database cannot, one waits or gives up."""
    table.store(1, 3)
    if table.engine.dialect.name == "sqlite":
        assert [len(table.sweep()), len(table.sweep())] == [1, 0]
        return
    with table.engine.begin() as one, table.engine.begin() as other:
        first = gaps.sweep(one, LATER, grace_s=GRACE_S)
        assert gaps.sweep(other, LATER, grace_s=GRACE_S) == []
    assert len(first) == 1
    assert table.sweep(LATER + _S) == []


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(1, 30), max_size=8), max_size=8),
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 60)), max_size=4),
)
def test_whatever_the_order_what_is_missing_is_known(
    table: Table, rounds: list[list[int]], lost: list[tuple[int, int]]
) -> None:
    table.clear()
    present: set[int] = set()
    covered: set[int] = set()
    now_ns = NOW
    for number, round_ in enumerate(rounds):
        new = sorted(set(round_) - present)
        if new:
            table.store(*new, at_ns=now_ns)
            present |= set(new)
        if number < len(lost):
            first, length = lost[number]
            table.lose(first, first + length)
            covered |= set(range(first, first + length + 1))
        now_ns += 4000 * _S
        table.sweep(now_ns)
    missing = set()
    for batch in range(1, max(present, default=0)):
        records = set(range(10 * batch - 9, 10 * batch + 1))
        if batch not in present and records - covered:
            missing.add(batch)
    open_ = {
        n for first, last, _, _, state in table.rows() if state == "open"
        for n in range(first, last + 1)
    }  # fmt: skip
    assert missing <= open_
    alone = open_ - missing  # lost records beside missing ones: asked for with their neighbours
    assert alone <= set(range(1, max(present, default=0))) - present
