"""`edge-collector` as a person runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_agent.cli.collector import parse_since
from edge_agent.collector import messages
from edge_agent.collector.messages import Delivery, Rejected
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.store import Group, Store, open_store
from edge_agent.errors import UsageError
from tests.unit.collector.arrivals import LIMIT_BYTES, ROOT, arrival, inspection, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes

COMMAND = [sys.executable, "-m", "edge_agent.cli.collector"]


def put(store: Store, payload: bytes, topic: str) -> None:
    item = messages.read(ROOT, arrival(payload, topic=topic), limit_bytes=LIMIT_BYTES)
    assert isinstance(item, Delivery)
    store.commit(Group([item], [], []))


def alarm(number: int) -> bytes:
    record = b'{"key":"light/press","state":"normal","priority":"high","text":"dark [%d]"}' % number
    return sealed(number, [record], first=number, kind="alarms", stream="a" * 16)


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "collector.toml"
    path.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/c.db"\n', encoding="utf-8")
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(StoreSettings(url=f"sqlite:///{tmp_path}/c.db"))
    records = [inspection(n, verdict="ng" if n == 2 else "ok") for n in (1, 2, 3)]
    put(store, sealed(1, records), "batch/inspections")
    put(store, alarm(1), "batch/alarms")
    yield store
    store.close()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False
    )


def test_a_missing_database_is_one_clear_line(config: str) -> None:
    done = run("devices", "--config", config)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "c.db: no such file; give the configuration" in done.stderr


def test_machines_read_a_json_object_a_line(config: str, store: Store) -> None:
    rows = [
        json.loads(line) for line in run("inspections", "-c", config, "--json").stdout.splitlines()
    ]
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert rows[0]["device"] == "dev1"
    assert rows[0]["new"] == {"field": [1, 2]}
    only = run("inspections", "-c", config, "--json", "--verdict", "ng").stdout.splitlines()
    assert [json.loads(line)["part"] for line in only] == ["p2"]
    (device,) = run("devices", "-c", config, "--json").stdout.splitlines()
    assert json.loads(device)["records"] == 4


def test_people_read_tables(config: str, store: Store) -> None:
    assert "dev1" in run("devices", "-c", config).stdout
    shown = run("inspections", "-c", config).stdout
    assert "p3" in shown
    assert "0.250" in shown
    assert "light/press: dark [1]" in run("alarms", "-c", config).stdout


def test_of_several_stages_the_one_nearest_to_rejecting_is_shown(config: str, store: Store) -> None:
    limits = {"gap": {"review": 0.8, "ng": 1.0}, "print": {"review": 0.4, "ng": 0.5}}
    scores = {"gap": 0.7, "print": 0.45, "where": 3.0}
    put(
        store,
        sealed(2, [inspection(4, scores=scores, thresholds=limits)], first=4),
        "batch/inspections",
    )
    assert "0.450 print" in run("inspections", "-c", config).stdout
    newest = run("inspections", "-c", config, "--json", "--last", "1").stdout
    assert json.loads(newest)["scores"] == scores


def test_the_feed_follows_and_ends_quietly(config: str, store: Store) -> None:
    command = [*COMMAND, "alarms", "--follow", "--json", "-c", config]
    feed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert feed.stdout is not None
    assert feed.stderr is not None
    assert json.loads(feed.stdout.readline())["text"] == "dark [1]"
    put(store, alarm(2), "batch/alarms")
    began = time.monotonic()
    assert json.loads(feed.stdout.readline())["number"] == 2
    assert time.monotonic() - began < 2
    feed.send_signal(signal.SIGINT)
    assert feed.wait(5) == 130
    assert feed.stderr.read() == b""
    feed.stdout.close()
    feed.stderr.close()


def test_a_reader_that_went_away_ends_it_quietly(config: str, store: Store) -> None:
    put(store, sealed(2, [inspection(n) for n in range(4, 3000)], first=4), "batch/inspections")
    pipe = f"{' '.join(COMMAND)} inspections --last 5000 --json -c {config} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", pipe], capture_output=True, text=True, check=True, timeout=20
    )
    assert json.loads(done.stdout)["number"] == 1
    assert done.stderr == ""


def test_every_command_has_an_example() -> None:
    for command in ("run", "alarms", "devices", "inspections"):
        assert "Example: edge-collector" in run(command, "--help").stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", 999_400),
        ("2h", 992_800),
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T01:01:00+01:00", 60),
    ],
)
def test_since_is_a_span_or_a_time(text: str, expected: int) -> None:
    assert parse_since(text, now_ns=10**15) == expected * 10**9


def test_since_refuses_anything_else() -> None:
    with pytest.raises(UsageError, match="give a span like 10m"):
        parse_since("yesterday", now_ns=0)


SAMPLE = Path(__file__).parents[2] / "samples" / "batch-2" / "few.batch"


def test_decode_prints_a_batch() -> None:
    shown = run("decode", str(SAMPLE))
    assert "batch    15 of stream 9f86d081884c7d65, kind inspections" in shown.stdout
    assert "lost     12 to 40: evicted" in shown.stdout
    assert ", holds" in shown.stdout
    lines = [json.loads(line) for line in run("decode", str(SAMPLE), "--json").stdout.splitlines()]
    assert lines[0]["header"]["schema"] == "edge/batch/2"
    assert [line["number"] for line in lines[1:]] == list(range(601, 608))
    expected = SAMPLE.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    assert [line["record"] for line in lines[1:]] == [json.loads(line) for line in expected]


def test_decode_says_why_it_cannot() -> None:
    said = run("decode", str(SAMPLE.with_suffix(".jsonl")))
    assert said.returncode == 2
    assert "batch: not a zstd frame" in said.stderr
    assert said.stderr.count("\n") == 1


def test_quarantine_lists_and_saves(store: Store, config: str, tmp_path: Path) -> None:
    bad = messages.read(ROOT, arrival(b"garbage"), limit_bytes=LIMIT_BYTES)
    assert isinstance(bad, Rejected)
    store.commit(Group([], [], [bad, bad]))
    (line,) = run("quarantine", "--config", config, "--json").stdout.splitlines()
    entry = json.loads(line)
    assert (entry["seen"], entry["bytes"], entry["kept"]) == (2, 7, True)
    assert "not a zstd frame" in entry["reason"]
    assert entry["digest"][:12] in run("quarantine", "--config", config).stdout
    out = tmp_path / "odd"
    run("quarantine", "--config", config, "--save", entry["digest"][:8], "--out", str(out))
    assert out.read_bytes() == b"garbage"
    missing = run("quarantine", "--config", config, "--save", "0" * 8)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
