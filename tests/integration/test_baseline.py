"""`edge-agent baseline` and `edge-agent changeover` as a person uses them, on a running line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from pymodbus.client import ModbusTcpClient

from edge_agent.agent.control import ask
from edge_agent.agent.lanes import LANES
from edge_agent.camera.drivers import simulated
from edge_agent.camera.images import list_images
from edge_agent.camera.triggers import Trigger
from edge_agent.errors import ControlError
from edge_agent.lighting import Baseline
from edge_agent.spool import batch
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Spool
from tests.integration.agent_process import STATION, AgentProcess

pytestmark = pytest.mark.processes

NOBODY_LISTENS = 9  # the discard port
SIMULATED = 'driver = "simulated"\ntakt_ms = 60\nwidth = 320\nheight = 240\ndefect_rate = 0.0'


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path, NOBODY_LISTENS, SIMULATED)
    yield process
    process.kill()


def edge_agent(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent.cli.agent", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def learn(agent: AgentProcess, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return edge_agent("baseline", "learn", *arguments, "--config", agent.config)


def configure(agent: AgentProcess, more: str) -> None:
    text = agent.config.read_text(encoding="utf-8")
    agent.config.write_text(text + more, encoding="utf-8")


def events(agent: AgentProcess) -> list[dict[str, Any]]:
    """Return the events on record; of an agent that was stopped."""
    spool = Spool(agent.folder / "state" / "spool", LANES, SpoolSettings())
    try:
        batches = spool.pending("health", after=0, limit=100)
        lines = [line for each in batches for line in batch.decode(each.data)[1]]
    finally:
        spool.close()
    records = [json.loads(line) for line in lines]
    return [record["event"] for record in records if "event" in record]


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    settings = simulated.Settings(takt_ms=0.0, width=320, height=240, defect_rate=0.0)
    camera = simulated.Driver(settings, station="s", trigger=Trigger.FREE_RUN)
    camera.open()
    for number in range(count):
        frame = camera.read(5.0)
        assert frame is not None
        assert cv2.imwrite(str(folder / f"{number:03d}.png"), frame.image)
    camera.close()
    return folder


def test_from_files_and_the_one_before_is_kept(tmp_path: Path) -> None:
    good, out = pictures(tmp_path / "good", 30), tmp_path / "x.baseline"
    first = edge_agent("baseline", "learn", good, "--out", out)
    assert first.returncode == 0, first.stderr
    before = out.read_bytes()
    assert f"{out}: baseline of 30 frames of 320 x 240 pixels" in first.stdout
    assert "Watched: " in first.stdout
    assert "Note: " in first.stdout  # 30 are few
    again = edge_agent("baseline", "learn", *list_images(good)[:20], "--out", out)
    assert again.returncode == 0, again.stderr
    assert f"{out}.1: the baseline before" in again.stdout
    assert Path(f"{out}.1").read_bytes() == before != out.read_bytes()
    shown = edge_agent("baseline", "show", out)
    assert f"baseline of 20 frames of 320 x 240 pixels ({Baseline.read(out).digest[:12]})" in (
        shown.stdout
    )


def test_a_station_that_does_not_run_lends_its_camera(agent: AgentProcess) -> None:
    own = agent.folder / "own.baseline"
    configure(agent, f'[station.{STATION}.lighting]\nbaseline = "{own}"\n')
    done = learn(agent, STATION, "--frames", "12")
    assert done.returncode == 0, done.stderr
    assert Baseline.read(own).frames == 12
    assert "from its next start on" in done.stdout
    assert not list((agent.folder / "state" / "stations" / STATION).glob("frames-*"))


def test_a_station_at_work_goes_on_and_watches_by_it_at_once(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    own, keep = agent.folder / "own.baseline", agent.folder / "kept"
    good = pictures(agent.folder / "good", 30)
    assert edge_agent("baseline", "learn", good, "--out", own).returncode == 0
    configure(agent, f'[station.{STATION}.lighting]\nbaseline = "{own}"\n')
    assert agent.cli("install", str(simulated_bundle)).returncode == 0
    agent.start()
    agent.until_parts(3)
    before = agent.station()["parts"]
    done = learn(agent, STATION, "--frames", "15", "--keep", keep)
    assert done.returncode == 0, done.stderr
    assert "The running agent watches by it now." in done.stdout
    assert len(list_images(keep)) == 15
    assert Baseline.read(own).frames == 15
    assert agent.station()["parts"] >= before + 15
    shown = edge_agent("baseline", "show", STATION, "--config", agent.config)
    assert f"{own}: baseline of 15 frames" in shown.stdout
    assert not list((agent.folder / "state" / "stations" / STATION).glob("frames-*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "neither a file nor a station; stations are line1"),
        ([STATION], "station.line1.lighting.baseline is not configured"),
        ([STATION, "--part-number", "7"], "has no recipe for it"),
        ([STATION, "--out", "/nonexistent/x"], "its folder does not exist"),
        (["/nonexistent/"], "give --out FILE"),
        (["/nonexistent/", "--out", "x", "--part-number", "7"], "go with a station"),
    ],
)
def test_what_is_given_wrong_is_said_in_one_line(
    agent: AgentProcess, arguments: list[str], words: str
) -> None:
    done = learn(agent, *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert words in done.stderr


def test_a_changeover_is_told_answered_and_outlives_a_kill(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    own = agent.folder / "b.baseline"
    good = pictures(agent.folder / "good", 30)
    assert edge_agent("baseline", "learn", good, "--out", own).returncode == 0
    configure(
        agent,
        f'[[station.{STATION}.recipe]]\npart_number = "4711-A"\nname = "bracket"\n'
        f'[[station.{STATION}.recipe]]\npart_number = "4711-B"\nbaseline = "{own}"\n',
    )
    assert agent.cli("install", str(simulated_bundle)).returncode == 0
    agent.start()
    told = edge_agent("changeover", STATION, "4711-B", "--config", agent.config)
    assert told.returncode == 0, told.stderr
    digest = Baseline.read(own).digest[:12]
    assert told.stdout == (
        f"station line1: part number 4711-B, recipe 4711-B: light is held against baseline "
        f"{digest}\n"
    )
    assert agent.station()["product"] == {"part_number": "4711-B", "recipe": "4711-B"}
    agent.kill()
    agent.start()
    assert agent.station()["product"]["part_number"] == "4711-B"
    assert "makes 4711-B (recipe 4711-B)" in agent.cli("status").stdout
    unknown = edge_agent("changeover", STATION, "0815", "--config", agent.config)
    assert (unknown.returncode, "has no recipe here" in unknown.stdout) == (0, True)
    assert "makes 0815 (no recipe for it)" in agent.cli("status").stdout
    for wrong, words in (((STATION, " "), "part number ' '"), (("x", "1"), "station 'x': unknown")):
        done = edge_agent("changeover", *wrong, "--config", agent.config)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert words in done.stderr
    with pytest.raises(ControlError, match="give a part_number"):
        ask(agent.socket, "changeover", station=STATION)
    assert agent.stop() == 0
    assert [(each["part_number"], each["known"]) for each in events(agent)] == [
        ("4711-B", True), ("0815", False), (" ", False),
    ]  # fmt: skip


def test_a_plc_and_a_person_see_the_same(agent: AgentProcess, simulated_bundle: Path) -> None:
    port = _free_port()
    text = agent.config.read_text(encoding="utf-8").replace(
        "[mqtt]", f'[modbus]\nlisten = "on"\nport = {port}\n[mqtt]'
    )
    recipe = f'[[station.{STATION}.recipe]]\npart_number = "4711-A"\ncode = 7\n'
    agent.config.write_text(text + recipe, encoding="utf-8")
    agent.start()
    plc = ModbusTcpClient("127.0.0.1", port=port, timeout=5)
    assert plc.connect()
    assert not plc.write_register(0, 7, device_id=1).isError()
    assert plc.read_holding_registers(0, count=3, device_id=1).registers == [7, 7, 1]
    assert agent.station()["product"] == {"part_number": "4711-A", "recipe": "4711-A"}
    edge_agent("changeover", STATION, "0815", "--config", agent.config)
    assert plc.read_holding_registers(0, count=3, device_id=1).registers == [7, 0, 1]
    plc.close()
    assert agent.stop() == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_degree_of_automation_is_in_the_record(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    text = agent.config.read_text(encoding="utf-8")
    agent.config.write_text(
        text.replace("width = 320\nheight = 240\n", "")
        + f'[station.{STATION}]\nautomation = "assist"\n',
        encoding="utf-8",
    )
    assert agent.cli("install", str(simulated_bundle)).returncode == 0
    agent.start()
    agent.until_parts(10)
    assert set(agent.station()["verdicts"]) == {"review"}
    last = json.loads(agent.cli("status", "--json").stdout)["stations"][STATION]["last"]
    assert (last["verdict"], last["proposed"], last["automation"]) == ("review", "ok", "assist")
    assert "automation assist" in agent.cli("status").stdout
