"""`edge-collector simulate` as a person runs it, against a real broker and a real collector."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.broker import Broker

pytestmark = [pytest.mark.broker, pytest.mark.processes]

COMMAND = [sys.executable, "-m", "edge_agent.cli.collector"]


@pytest.fixture
def config(tmp_path: Path, broker: Broker) -> Path:
    path = tmp_path / "collector.toml"
    path.write_text(
        f'[mqtt]\nport = {broker.port}\n[store]\nurl = "sqlite:///{tmp_path}/c.db"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture
def collector(config: Path, tmp_path: Path) -> Iterator[None]:
    log = tmp_path / "collector.log"
    with log.open("wb") as file:
        process = subprocess.Popen([*COMMAND, "run", "-c", str(config)], stderr=file)
    end = time.monotonic() + 20
    while "is connected" not in log.read_text(encoding="utf-8"):
        assert time.monotonic() < end
        time.sleep(0.02)
    yield
    process.terminate()
    process.wait(20)


def simulate(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "simulate", "-c", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_all_that_was_made_is_stored_once(config: Path, collector: None) -> None:
    few = ("--devices", "12", "--batch", "25", "--lines", "3", "--check", "--json")
    slow = simulate(config, *few, "--rate", "25", "--records", "600")
    assert slow.returncode == 0, slow.stderr
    account: dict[str, Any] = json.loads(slow.stdout)
    assert (account["devices"], account["records"], account["acknowledged"]) == (12, 600, 600)
    assert account["check"] == {"stored": 600, "lost": 0, "doubled": 0, "strange": 0}
    assert 0 < account["p50_ms"] <= account["p99_ms"] <= account["longest_ms"]
    fast = simulate(config, *few, "--rate", "0", "--seconds", "1")
    assert fast.returncode == 0, fast.stderr
    account = json.loads(fast.stdout)
    assert account["records"] >= 12 * 25 * 16
    assert account["check"]["stored"] == account["records"]


def test_what_the_store_lacks_ends_with_one(config: Path, collector: None, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "c.db") as database:
        database.execute(
            "CREATE TRIGGER thief AFTER INSERT ON inspections WHEN new.number = 7 "
            "BEGIN DELETE FROM inspections WHERE id = new.id; END"
        )
    database.close()
    done = simulate(config, "--devices", "2", "--rate", "50", "--records", "200", "--check")
    assert done.returncode == 1
    assert "198 records, 2 lost, 0 doubled" in done.stdout


def test_ctrl_c_ends_the_making_and_the_account_is_told(config: Path, collector: None) -> None:
    command = [*COMMAND, "simulate", "-c", str(config), "--devices", "2", "--batch", "10"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "made by 2 devices" in out
    assert "acknowledged" in out
    assert ", all" in out
    assert "Traceback" not in err


def test_without_a_broker_the_reason_is_one_line(config: Path, broker: Broker) -> None:
    broker.stop()
    done = simulate(config, "--devices", "2")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "0 of 2 devices are connected to 127.0.0.1" in done.stderr
    assert "refused" in done.stderr


def test_nobody_takes_it_and_that_is_told(config: Path) -> None:
    done = simulate(config, "--devices", "2", "--rate", "0", "--records", "20", "--wait", "0.5")
    assert done.returncode == 0
    assert "acknowledged  0, 20 NOT" in done.stdout
    bad = simulate(config, "--name", "a/b")
    assert bad.returncode == 2
    assert "--name a/b" in bad.stderr
