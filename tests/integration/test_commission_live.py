"""Commissioning from a station's own camera, as real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.rollout.bundle import read_bundle
from tests.integration.agent_process import STATION, AgentProcess

CAMERA = 'driver = "simulated"\nwidth = 160\nheight = 120\ndefect_rate = 0.0\n'
NOWHERE = 9
"""A port where no broker listens."""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path, NOWHERE, CAMERA + "takt_ms = 50")
    yield process
    process.kill()


def _start(agent: AgentProcess, *options: str | Path) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "calibration", "fit", "--live", STATION, "--config",
        str(agent.config), "--input", "64", *map(str, options),
    ]  # fmt: skip
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _kept(folder: Path) -> int:
    return len(list(folder.glob("*.png")))


@pytest.mark.processes
def test_ctrl_c_ends_the_taking_and_what_there_is_becomes_a_bundle(
    agent: AgentProcess, tmp_path: Path
) -> None:
    out, keep = tmp_path / "x.bundle", tmp_path / "kept"
    taking = _start(agent, "--out", out, "--keep", keep, "--parts", "1000")
    end = time.monotonic() + 60
    while _kept(keep) < 8:
        assert taking.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    taking.send_signal(signal.SIGINT)
    said, told = taking.communicate(timeout=240)
    assert taking.returncode == 0, told
    kept = _kept(keep)
    assert f"Note: stopped after {kept} good parts" in told
    assert f"{kept} good parts; ng from" in said
    assert f"{keep}: the pictures of good parts, for another time with --good" in said
    bundle = read_bundle(out)
    assert bundle.manifest.name == STATION
    assert "from the camera of its station" in bundle.files["card.md"].decode()


@pytest.mark.processes
def test_too_few_pictures_are_kept_and_no_bundle_is_made(
    agent: AgentProcess, tmp_path: Path
) -> None:
    agent.config.write_text(
        agent.config.read_text().replace("takt_ms = 50", 'trigger = "software"')
    )
    out = tmp_path / "x.bundle"
    told = _start(agent, "--out", out).communicate("\n\n", timeout=60)[1]
    folders = list(tmp_path.glob(f"{STATION}-*Z"))
    assert len(folders) == 1
    assert _kept(folders[0]) == 2
    assert f"2 pictures of good parts, in {folders[0]}: fitting needs at least 5" in told
    assert "Traceback" not in told
    assert not out.exists()


@pytest.mark.processes
def test_the_camera_of_a_running_agent_is_left_to_it(agent: AgentProcess, tmp_path: Path) -> None:
    agent.start()
    agent.until_parts(1)
    taking = _start(agent, "--out", tmp_path / "x.bundle", "--keep", tmp_path / "kept")
    told = taking.communicate(timeout=60)[1]
    assert taking.returncode == 2
    assert f"--live {STATION}: an agent runs this station and has its camera: stop it" in told
    assert not (tmp_path / "kept").exists()
    parts = agent.station()["parts"]
    agent.until_parts(parts + 2)


@pytest.mark.processes
def test_a_camera_that_cannot_be_opened_leaves_nothing_behind(
    agent: AgentProcess, tmp_path: Path
) -> None:
    camera = f'driver = "folder"\npath = "{tmp_path}/gone"\n'
    agent.config.write_text(agent.config.read_text().replace(CAMERA, camera))
    before = sorted(tmp_path.rglob("*"))
    taking = _start(agent, "--out", tmp_path / "x.bundle")
    told = taking.communicate(timeout=60)[1]
    assert taking.returncode == 2
    assert f"camera folder {tmp_path}/gone does not exist; expected a folder" in told
    assert "Traceback" not in told
    assert sorted(tmp_path.rglob("*")) == before
