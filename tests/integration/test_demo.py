"""The demonstration, run as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge_agent.rollout.bundle import read_bundle
from tests.broker import MOSQUITTO

pytestmark = [
    pytest.mark.broker,
    pytest.mark.processes,
    pytest.mark.skipif(MOSQUITTO is None, reason="Mosquitto absent: install 'mosquitto'"),
]

DEMO = [str(Path(sys.executable).with_name("edge-agent")), "demo"]
FIELDS = {
    "parts", "verdicts", "caught", "missed", "false_rejects", "spooled", "delivered", "lost",
    "doubled", "latency_ms", "bytes_per_inspection",
}  # fmt: skip


def _run(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )


def _processes_with(text: str) -> list[str]:
    """Return the command lines of running processes that hold a text."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = each.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if text in line and int(each.parent.name) != os.getpid():
            found.append(line)
    return found


def test_the_story_is_told_and_the_account_is_honest(tmp_path: Path) -> None:
    done = _run("--duration", "16", "--seed", "5", "--json", str(tmp_path / "a.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    account: dict[str, Any] = json.loads((tmp_path / "a.json").read_text())
    assert account.keys() >= FIELDS
    assert (account["lost"], account["doubled"]) == (0, 0)
    assert account["parts"] == 160 == sum(account["verdicts"].values())
    assert account["spooled"] == account["delivered"] > 160
    # The light is dimmed for 2.4 s: those parts are invalid, and few others.
    assert 24 <= account["verdicts"]["invalid"] <= 40
    assert account["caught"] > 0
    assert account["alarms"]["light/brightness/line1"] >= 1
    assert account["latency_ms"]["p50"] <= account["latency_ms"]["p99"]
    assert 0 < account["bytes_per_inspection"] < 400
    for line in (
        "dimmed",
        "alarm light/brightness/line1",
        "broker is killed",
        "everything is delivered",
    ):
        assert line in done.stdout, line


@pytest.mark.parametrize("after_s", [0.7, 4.0, 10.0])
def test_ctrl_c_stops_everything(after_s: float, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    process = subprocess.Popen(
        [*DEMO, "--duration", "60", "--keep", str(keep)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert _processes_with(str(keep)) == []


def test_bad_images_do_not_stop_the_line(simulated_bundle: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "good").mkdir(parents=True)
    bundle = read_bundle(simulated_bundle)
    for sample in bundle.manifest.samples:
        (images / "good" / sample.file).write_bytes(bundle.files[sample.file])
    (images / "good" / "text.png").write_text("not an image")
    (images / "good" / "empty.jpg").write_bytes(b"")
    done = _run(
        "--images", str(images), "--bundle", str(simulated_bundle), "--duration", "12",
        "--json", str(tmp_path / "a.json"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    account = json.loads((tmp_path / "a.json").read_text())
    assert (account["lost"], account["doubled"]) == (0, 0)
    share = account["verdicts"]["invalid"] / account["parts"]
    assert 0.1 < share < 0.35  # two of ten
    assert "image/line1" in account["alarms"]


@pytest.mark.images
def test_a_real_image_set_is_fitted_and_inspected(images_dir: Path, tmp_path: Path) -> None:
    done = _run("--images", str(images_dir / "casting"), "--duration", "12",
                "--json", str(tmp_path / "a.json"))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    account = json.loads((tmp_path / "a.json").read_text())
    assert (account["lost"], account["doubled"]) == (0, 0)
    assert account["caught"] + account["missed"] > 20
    assert account["caught"] > account["false_rejects"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--images", "/nowhere"], "/nowhere"),
        (["--bundle", "/nowhere.bundle"], "/nowhere.bundle"),
        (["--duration", "1"], "12"),
    ],
)
def test_what_cannot_work_is_said_at_once(arguments: list[str], words: str) -> None:
    done = _run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_not_empty_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = _run("--keep", str(tmp_path))
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_ten_seeds_in_a_row_lose_and_double_nothing(tmp_path: Path) -> None:
    for seed in range(1, 11):
        file = tmp_path / f"{seed}.json"
        done = _run("--duration", "20", "--seed", str(seed), "--json", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        account = json.loads(file.read_text())
        assert (account["lost"], account["doubled"]) == (0, 0), seed
        assert account["parts"] == sum(account["verdicts"].values()) == 200, seed
