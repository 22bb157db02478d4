"""What only the SQLite store has to do: share a file with others."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from edge_agent.collector.reading import Reader
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.store import Group, Outcome, StoreUnavailable, open_store
from edge_agent.errors import StoreError
from tests.unit.collector.arrivals import delivery, inspection, sealed

if TYPE_CHECKING:
    from pathlib import Path


def test_a_locked_database_is_away_not_broken(tmp_path: Path) -> None:
    store = open_store(StoreSettings(url=f"sqlite:///{tmp_path}/c.db"))
    with store._engine.connect() as connection:  # type: ignore[attr-defined]  # waits less long
        connection.exec_driver_sql("PRAGMA busy_timeout = 20")
    group = Group([delivery(sealed(1, [inspection(1)]))], [], [])
    other = sqlite3.connect(tmp_path / "c.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.commit(group)
    other.rollback()
    other.close()
    assert store.commit(group) == [Outcome.STORED]
    store.close()


def test_a_missing_store_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.db: no such file; give the configuration"):
        Reader(f"sqlite:///{tmp_path}/none.db")
    (tmp_path / "text.db").write_text("this is no database, but it is long enough to be read")
    with pytest.raises(StoreError, match="cannot be read"):
        Reader(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(StoreSettings(url=f"sqlite:///{tmp_path}/text.db/x.db"))
