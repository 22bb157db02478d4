from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from edge_agent.collector import messages
from edge_agent.collector.messages import Delivery
from edge_agent.collector.store import Group, Outcome, StoreUnavailable
from edge_agent.collector.stores.sqlite import SqliteStore
from tests.unit.collector.arrivals import LIMIT_BYTES, ROOT, arrival, inspection, sealed

if TYPE_CHECKING:
    from pathlib import Path


def group(batch: int) -> Group:
    payload = sealed(batch, [inspection(batch)], first=batch)
    item = messages.read(ROOT, arrival(payload, topic="batch/inspections"), limit_bytes=LIMIT_BYTES)
    assert isinstance(item, Delivery)
    return Group([item], [], [])


def test_a_damaged_database_is_away_and_not_the_batches_fault(tmp_path: Path) -> None:
    path = tmp_path / "collector.db"
    store = SqliteStore(f"sqlite:///{path}")
    assert store.commit(group(1)) == [Outcome.STORED]
    store.close()
    with sqlite3.connect(path) as sql:
        sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sql.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x55" * (len(whole) - 4096))
    with pytest.raises(StoreUnavailable, match=r"collector\.db: .* damaged; stop the collector"):
        store.commit(group(2))
    path.write_bytes(whole)
    assert store.commit(group(2)) == [Outcome.STORED]
    assert store.commit(group(1)) == [Outcome.REPEATED]
    store.close()
