"""agent.toml: what is wrong is said in one line, with the full name of the key."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st

from edge_agent.camera.drivers.simulated import Settings as Simulated
from edge_agent.camera.registry import DRIVERS
from edge_agent.camera.triggers import Trigger
from edge_agent.cli.config import as_markdown, as_toml
from edge_agent.config import AgentConfig, load, parse
from edge_agent.errors import ConfigError
from edge_agent.settings import sections
from edge_agent.topics import is_name

ROOT = Path(__file__).parents[2]
LEAST: dict[str, Any] = {"station": {"line1": {"camera": {"driver": "simulated"}}}}


def with_camera(**camera: Any) -> dict[str, Any]:
    return {"station": {"line1": {"camera": camera}}}


def refusal(raw: dict[str, Any]) -> str:
    """Parse tables that must be refused; the refusal is one line."""
    with pytest.raises(ConfigError) as caught:
        parse(raw, origin="agent.toml")
    text = str(caught.value)
    assert text.startswith("agent.toml: ")
    assert len(text.splitlines()) == 1
    return text.removeprefix("agent.toml: ")


def test_the_least_configuration_has_every_default() -> None:
    config = parse(LEAST, origin="x")
    station = config.station["line1"]
    assert station.camera.settings == Simulated()
    assert station.camera.trigger is Trigger.FREE_RUN
    assert (station.queue, station.decision.deadline_ms, station.lighting.watch) == (2, 1000, "on")
    assert config.slots_dir("line1") == Path("/var/lib/edge-agent/stations/line1")
    assert config.socket_path == Path("/run/edge-agent/control.sock")


def test_keys_that_contradict_each_other_are_both_named() -> None:
    said = refusal({**LEAST, "uplink": {"reconnect_min_ms": 60_000}})
    assert said.startswith("uplink.reconnect_max_ms: 30000 is less than uplink.reconnect_min_ms")


def test_a_device_without_a_name_takes_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "box-7.plant.example")
    assert parse(LEAST, origin="x").device == "box-7"
    assert parse({**LEAST, "device": "press"}, origin="x").device == "press"
    monkeypatch.setattr(socket, "gethostname", lambda: "box_é")
    assert refusal(LEAST).startswith("device: 'box_é' cannot be a name")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, "station is missing: give at least one [station.NAME] with a [station.NAME.camera]"),
        ({"station": {}}, "station: give at least one [station.NAME] with a camera"),
        ({"station": {"line1": {}}}, "station.line1.camera is missing: give a table [station.lin"),
        ({"station": {"line1": {"camera": "sim"}}}, "station.line1.camera: must be a table, [st"),
        (with_camera(), "station.line1.camera.driver is missing: Which camera: simulated, folder"),
        (with_camera(driver=1), "station.line1.camera.driver: expected a text, got a whole number"),
        (
            with_camera(driver="simulate"),
            "camera.driver: camera driver 'simulate' is",
        ),
        (with_camera(driver="simulate"), "did you mean 'simulated'?"),
        (with_camera(driver="video"), "station.line1.camera.path is missing: The video file."),
        (
            with_camera(driver="simulated", trigger="hardware"),
            'station.line1.camera.trigger: must be "free_run" | "software" (it is "hardware")',
        ),
        (
            with_camera(driver="simulated", takt=5),
            "station.line1.camera.takt: unknown key; did you mean station.line1.camera.takt_ms?",
        ),
        (
            with_camera(driver="simulated", triger="software"),
            "station.line1.camera.triger: unknown key; did you mean station.line1.camera.trigger?",
        ),
        (with_camera(driver="simulated", path="x"), "station.line1.camera.path: unknown key; "),
        (
            with_camera(driver="simulated", width=100),
            "station.line1.camera.width: expected a whole number >= 160 (it is 100)",
        ),
        (
            with_camera(driver="simulated", schedule=[{"from_part": 1, "level": 9}]),
            "station.line1.camera.schedule[0].level: expected a number <= 4.0 (it is 9)",
        ),
        (
            with_camera(driver="simulated", schedule=[{"from_part": 1}, {"levle": 1}]),
            "unknown key; did you mean station.line1.camera.schedule[1].level?",
        ),
        (
            with_camera(driver="simulated", schedule=[{}]),
            "station.line1.camera.schedule[0].from_part is missing: First part that sees it.",
        ),
        (
            with_camera(driver="simulated", schedule=[{"from_part": 2}, {"from_part": 1}]),
            "station.line1.camera: schedule: from_part must ascend",
        ),
        (
            with_camera(driver="simulated", defect_size_px_min=50.0),
            "station.line1.camera: defect_size_px_min 50 is above defect_size_px_max",
        ),
        ({**LEAST, "divice": "x"}, "divice: unknown key; did you mean device?"),
        ({**LEAST, "log_level": "loud"}, 'log_level: must be "debug" | "info" | "warning" | "err'),
        ({**LEAST, "mqtt": {"prt": 1}}, "mqtt.prt: unknown key; did you mean mqtt.port?"),
        ({**LEAST, "spool": {"sync_ms": "5"}}, "spool.sync_ms: expected a whole number, got a te"),
        ({**LEAST, "health": {"interval_s": 0}}, "health.interval_s: expected a number >= 1.0 (it"),
        ({**LEAST, "device": "a/b"}, "device: 'a/b' cannot be a name: use letters, digits,"),
        ({**LEAST, "device": "x" * 65}, "cannot be a name"),
        (
            {"station": {"line 1": {"camera": {"driver": "simulated"}}}},
            "station.\"line 1\": 'line 1' cannot be a name",
        ),
        (
            {"station": {"a\nb": {"camera": {"driver": "simulated"}}}},
            "cannot be a name",
        ),
        (
            {"station": {"a": {**LEAST["station"]["line1"], "lighting": {"watch": True}}}},
            'station.a.lighting.watch: must be "on" | "off" (it is true)',
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_keys_full_name(raw: dict[str, Any], expected: str) -> None:
    assert expected in refusal(raw)


def test_nothing_goes_to_another_host_in_clear_unless_asked_for() -> None:
    assert refusal({**LEAST, "mqtt": {"host": "10.0.0.7"}}).startswith("mqtt.tls_ca: 10.0.0.7 is ")
    asked = {**LEAST, "mqtt": {"host": "10.0.0.7", "allow_plaintext": "anywhere"}}
    assert parse(asked, origin="x").mqtt.host == "10.0.0.7"
    assert parse({**LEAST, "mqtt": {"host": "::1"}}, origin="x").mqtt.host == "::1"


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_can_be_named(driver: str) -> None:
    path = {} if driver == "simulated" else {"path": "/somewhere"}
    camera = parse(with_camera(driver=driver, **path), origin="x").station["line1"].camera
    assert camera.driver == driver


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"agent\.toml: no such file"):
        load(tmp_path / "agent.toml")


# --- any table at all ----------------------------------------------------------------------------

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.datetimes()
).filter(lambda value: value is not None)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def _table(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Tables that mix right keys with wrong ones, and right values with wrong ones."""
    known = {
        f"{section.name}.{key.name}".lstrip("."): section.name
        for section in sections(AgentConfig)
        for key in section.keys
    }
    names = sorted({name.rpartition(".")[2] for name, table in known.items() if table == kind})
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=4), VALUES, max_size=4)


CAMERAS = st.builds(
    lambda table, driver, schedule: table | driver | schedule,
    _table("station.NAME.camera"),
    st.just({}) | st.fixed_dictionaries({"driver": st.sampled_from([*DRIVERS, "x"])}),
    st.just({})
    | st.fixed_dictionaries(
        {"schedule": st.lists(_table("station.NAME.camera.schedule") | VALUES, max_size=3)}
    ),
)
STATIONS = st.builds(
    lambda table, camera: table | {"camera": camera}, _table("station.NAME"), CAMERAS | VALUES
)
FILES = st.builds(
    lambda table, mqtt, station: table | mqtt | {"station": station},
    _table(""),
    st.just({}) | st.fixed_dictionaries({"mqtt": _table("mqtt")}),
    st.dictionaries(st.sampled_from(["line1", "a b"]), STATIONS, max_size=2) | VALUES,
)


@run(max_examples=150, deadline=None)
@given(FILES | VALUES.filter(lambda value: isinstance(value, dict)))
def test_no_table_raises_anything_but_a_config_error_of_one_line(raw: dict[str, Any]) -> None:
    try:
        config = parse(raw, origin="agent.toml")
    except ConfigError as error:
        text = str(error)
        assert text.startswith("agent.toml: ")
        assert len(text.splitlines()) == 1
    else:
        assert is_name(config.device)
        assert config.station


# --- the files that are written from the code ----------------------------------------------------


def test_the_sample_equals_the_code() -> None:
    sample = (ROOT / "deploy/agent.toml").read_text(encoding="utf-8")
    assert sample == as_toml(list(sections(AgentConfig))), (
        "run: edge-agent config show --format toml > deploy/agent.toml"
    )


def test_the_manual_equals_the_code() -> None:
    manual = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert manual == as_markdown(list(sections(AgentConfig))), (
        "run: edge-agent config show --format markdown > docs/configuration.md"
    )


def test_the_sample_is_a_good_configuration_that_holds_the_defaults() -> None:
    config = load(ROOT / "deploy/agent.toml")
    least = parse({"station": {"line1": {"camera": {"driver": "simulated"}}}}, origin="x")
    assert config == least


@pytest.mark.parametrize("driver", ["folder", "video"])
def test_the_sample_shows_each_driver_so_that_it_can_be_uncommented(driver: str) -> None:
    text = as_toml(list(sections(AgentConfig)))
    begin = text.index(f"(driver {driver})\n")
    block = text[begin : text.index("\n\n", begin)].splitlines()[1:]
    lines = [line.removeprefix("# ") for line in block if " = " in line or "[station." in line]
    lines = [line.replace("...   (required)", '"x"') for line in lines if "(" not in line[:1]]
    table = tomllib.loads("\n".join(line for line in lines if not line.endswith(")")))
    assert parse(table, origin="x").station["line1"].camera.driver == driver


def test_the_sample_shows_every_key_there_is() -> None:
    text = as_toml(list(sections(AgentConfig)))
    for section in sections(AgentConfig):
        assert section.heading.replace("NAME", "line1") in text
        for key in section.keys:
            assert key.text, f"{section.name}.{key.name} lacks a description"
            assert f"{key.name} = " in text
    assert "= None" not in text
    assert "e+" not in text
