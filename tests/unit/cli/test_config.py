"""`edge-agent config` as a person meets it: exit status, one line, complete output."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_agent.cli.config import app
from edge_agent.config import AgentConfig
from edge_agent.settings import sections

ROOT = Path(__file__).parents[3]


def edge_agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent.cli.agent", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.processes
def test_a_wrong_file_is_one_line_on_standard_error_and_status_2(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[station.line1.camera]\ndriver = "simulated"\ntakt_msec = 5\n')
    done = edge_agent("config", "check", str(path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.endswith(
        f"{path}: station.line1.camera.takt_msec: unknown key; did you mean "
        "station.line1.camera.takt_ms?\n"
    )
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.processes
def test_the_sample_passes_its_own_check() -> None:
    done = edge_agent("config", "check", str(ROOT / "deploy/agent.toml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "agent.toml: good. Device " in done.stdout
    assert "stations: line1 (simulated)" in done.stdout


@pytest.mark.processes
def test_a_reader_that_goes_away_gets_no_complaint() -> None:
    command = f"{sys.executable} -m edge_agent.cli.agent config show --format json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["key"] == "device"


@pytest.mark.processes
def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['edge-agent', '--help']\n"
        "from edge_agent.cli.agent import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'cv2', 'onnx', 'onnxruntime', 'ai_edge_litert', 'sqlalchemy', 'paho'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "[]"
    assert "config" in done.stdout


def show(form: str) -> str:
    result = CliRunner().invoke(app, ["show", "--format", form])
    assert result.exit_code == 0
    return result.stdout


def test_show_as_toml_is_the_sample() -> None:
    assert show("toml") == (ROOT / "deploy/agent.toml").read_text(encoding="utf-8")
    assert tomllib.loads(show("toml"))["station"]["line1"]["camera"]["driver"] == "simulated"


def test_show_as_markdown_is_the_manual() -> None:
    assert show("markdown") == (ROOT / "docs/configuration.md").read_text(encoding="utf-8")


def test_show_as_json_is_one_object_a_key() -> None:
    rows = [json.loads(line) for line in show("json").splitlines()]
    assert len(rows) == sum(len(section.keys) for section in sections(AgentConfig))
    takt = next(row for row in rows if row["key"] == "takt_ms")
    assert takt == {
        "section": "station.NAME.camera", "key": "takt_ms", "takes": "number, 0 to 3600000",
        "default": "100.0", "unit": "ms", "text": "Time between parts; 0 is as fast as they are "
        "read.",
    }  # fmt: skip


def test_show_as_a_table_has_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    table = show("table")
    for section in sections(AgentConfig):
        assert section.heading in table
        for key in section.keys:
            assert key.name in table
    assert "(required)" in table
