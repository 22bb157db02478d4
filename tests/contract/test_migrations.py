"""Stores of every earlier version are brought up with what is in them.

`tests/samples/store-N/` holds a store as a collector of version N made it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent.collector import migrations
from edge_agent.collector.reading import Reader
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.store import Group, Outcome, open_store
from edge_agent.collector.tables import VERSION
from edge_agent.errors import StoreError
from tests.unit.collector.arrivals import delivery, inspection, sealed

SAMPLES = Path(__file__).parents[1] / "samples"
OLD = [int(path.name.removeprefix("store-")) for path in sorted(SAMPLES.glob("store-*"))]


@pytest.fixture(params=OLD)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "collector.db"
    shutil.copyfile(SAMPLES / f"store-{request.param}" / "collector.db", path)
    return path


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def tables(path: Path) -> dict[str, Any]:
    """Return every table and index with its columns, as the database sees them."""
    with sqlite3.connect(path) as database:
        names = database.execute("SELECT type, name FROM sqlite_master ORDER BY 1, 2").fetchall()
        shape: dict[str, Any] = {}
        for kind, name in names:
            found = database.execute(f"SELECT * FROM pragma_{kind}_xinfo(?)", (name,)).fetchall()
            # Columns that were added later stand last: their places are no part of the shape.
            shape[name] = sorted(str(row[1:]) for row in found)
        shape["version"] = database.execute("PRAGMA user_version").fetchall()
    database.close()
    return shape


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    names = ("devices", "batches", "losses", "quarantine")
    records = "SELECT id, device, stream, number, wall_ns, received_ns, record FROM "
    with sqlite3.connect(path) as database:
        found = {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in names}
        for name in ("inspections", "alarms", "health"):
            found[name] = database.execute(records + name).fetchall()
    database.close()
    return found


def test_the_samples_are_of_every_version_before_that_of_today() -> None:
    assert list(range(1, VERSION)) == OLD


def test_an_old_store_is_brought_up_with_its_data(old: Path, tmp_path: Path) -> None:
    before = rows(old)
    store = open_store(StoreSettings(url=url(old)))
    assert rows(old) == before
    assert [len(before[name]) for name in ("inspections", "alarms", "health")] == [5, 1, 1]
    one = delivery(sealed(9, [inspection(8)], first=8))
    assert store.commit(Group([one], [], [])) == [Outcome.STORED]
    store.close()
    reader = Reader(url(old))
    entries = reader.inspections(last=10)
    assert [(each.number, each.mark) for each in entries] == [(n, "") for n in (1, 2, 3, 6, 7, 8)]
    assert entries[0].record["text"] == "Prüfung ✓ \x00"
    assert [(d.device, d.lost) for d in reader.devices()] == [("dev1", 2), ("dev2", 0)]
    reader.close()
    with sqlite3.connect(old) as database:
        streams = database.execute("SELECT device, kind, complete_to FROM streams ORDER BY 1, 2")
        assert streams.fetchall() == [
            ("dev1", "alarms", 0),
            ("dev1", "inspections", 0),
            ("dev2", "health", 0),
        ]
    database.close()


def test_both_ways_lead_to_the_same_tables(old: Path, tmp_path: Path) -> None:
    open_store(StoreSettings(url=url(old))).close()
    open_store(StoreSettings(url=url(tmp_path / "new.db"))).close()
    assert tables(old) == tables(tmp_path / "new.db")


def test_who_only_reads_asks_for_the_collector(old: Path) -> None:
    with pytest.raises(StoreError, match=r"of version 1, 2 is needed; start `edge-collector run`"):
        Reader(url(old))


_KILLED = """
import os, sys
from edge_agent.collector import migrations
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.store import open_store

def kill(connection, have, steps):
    left = int(sys.argv[2])
    for version in migrations.pending(have, steps):
        for statement in steps[version]:
            if not left:
                os.kill(os.getpid(), 9)
            connection.exec_driver_sql(statement)
            left -= 1
    os.kill(os.getpid(), 9)

migrations.bring_up = kill
open_store(StoreSettings(url=sys.argv[1]))
"""


@pytest.mark.processes
@pytest.mark.parametrize("statements", [1, 9, 99])
def test_a_kill_in_the_middle_leaves_the_old_store_whole(old: Path, statements: int) -> None:
    before, shape = rows(old), tables(old)
    command = [sys.executable, "-c", _KILLED, url(old), str(statements)]
    done = subprocess.run(command, check=False, timeout=20, env=os.environ)
    assert done.returncode == -9
    assert tables(old) == shape
    assert rows(old) == before
    open_store(StoreSettings(url=url(old))).close()
    assert rows(old) == before
    assert tables(old)["version"] == [(VERSION,)]


def test_a_step_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = tables(old)
    steps = {2: (*migrations.SQLITE[2][:4], "CREATE TABLE devices (x)")}
    monkeypatch.setattr(migrations, "SQLITE", steps)
    with pytest.raises(StoreError, match="already exists"):
        open_store(StoreSettings(url=url(old)))
    assert tables(old) == shape
