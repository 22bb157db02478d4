"""The agent as a device runs it: installing, going back, dying and coming back."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge_agent.agent.control import ask
from edge_agent.inspection.spec import Thresholds
from edge_agent.rollout.bundle import read_bundle, write_bundle
from edge_agent.rollout.slots import Slots
from tests.integration.agent_process import STATION, AgentProcess

pytestmark = pytest.mark.processes

NOBODY_LISTENS = 9  # the discard port
SIMULATED = 'driver = "simulated"\ntakt_ms = 150'


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path, NOBODY_LISTENS, SIMULATED)
    yield process
    process.kill()


@pytest.fixture
def second_bundle(simulated_bundle: Path, tmp_path: Path) -> Path:
    """The same model under another version: another digest."""
    first = read_bundle(simulated_bundle)
    manifest = msgspec.structs.replace(first.manifest, version="2")
    write_bundle(tmp_path / "second.bundle", manifest, first.files)
    return tmp_path / "second.bundle"


def test_without_a_bundle_parts_are_invalid_and_installing_one_cures_it(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    agent.start()
    agent.until_parts(3)
    assert set(agent.station()["verdicts"]) == {"invalid"}
    assert [alarm["key"] for alarm in agent.status()["alarms"]] == [f"model/{STATION}"]
    done = agent.cli("install", str(simulated_bundle))
    assert done.returncode == 0, done.stderr
    assert "self-test held on 8 samples" in done.stdout
    assert "decides with it now" in done.stdout
    agent.until(lambda status: status["stations"][STATION]["verdicts"].get("ok", 0) > 3)
    assert agent.status()["alarms"][0]["state"] == "returned-unacknowledged"
    assert agent.stop() == 0


def test_a_new_bundle_takes_over_and_going_back_is_quick_and_no_part_is_missed(
    agent: AgentProcess, simulated_bundle: Path, second_bundle: Path
) -> None:
    agent.cli("install", str(simulated_bundle))
    agent.start()
    agent.until_parts(5)
    assert agent.station()["bundle"] == "simulated-line 1"
    assert agent.cli("install", str(second_bundle)).returncode == 0
    assert agent.station()["bundle"] == "simulated-line 2"
    agent.until_parts(agent.station()["parts"] + 5)
    slots = json.loads((agent.folder / "state/stations" / STATION / "slots.json").read_text())
    assert sorted(slot["role"] for slot in slots["slots"].values()) == ["installed", "live"]

    begin = time.monotonic()  # the order itself, without the start of a Python for the command
    Slots(agent.folder / "state/stations" / STATION).roll_back()
    ask(agent.socket, "reload", station=STATION)
    assert time.monotonic() - begin < 1.0
    assert agent.station()["bundle"] == "simulated-line 1"
    agent.until_parts(agent.station()["parts"] + 5)
    verdicts = agent.station()["verdicts"]
    assert verdicts.get("invalid", 0) == 0, verdicts  # a missed part would be invalid (late)


def test_a_damaged_or_failing_bundle_never_displaces_the_live_one(
    agent: AgentProcess, simulated_bundle: Path, tmp_path: Path
) -> None:
    agent.cli("install", str(simulated_bundle))
    agent.start()
    damaged = tmp_path / "damaged.bundle"
    data = bytearray(simulated_bundle.read_bytes())
    data[len(data) // 2] ^= 0x40
    damaged.write_bytes(data)
    first = read_bundle(simulated_bundle)
    stage = msgspec.structs.replace(first.manifest.stages[0], thresholds=Thresholds(90.0, 100.0))
    blind = msgspec.structs.replace(first.manifest, version="blind", stages=(stage,))
    write_bundle(tmp_path / "blind.bundle", blind, first.files)
    for name, reason in (("damaged", "damaged"), ("blind", "self-test failed")):
        done = agent.cli("install", str(tmp_path / f"{name}.bundle"))
        assert done.returncode == 2
        assert reason in done.stderr
        assert done.stderr.count("\n") == 1
    assert agent.cli("rollback").returncode == 2  # the other slot holds nothing good
    agent.until_parts(3)
    assert agent.station()["bundle"] == "simulated-line 1"
    assert agent.station()["verdicts"].get("invalid", 0) == 0


def inspections(agent: AgentProcess) -> Counter[str]:
    """How the lanes of inspections stand, together."""
    total: Counter[str] = Counter()
    for lane in agent.status()["spool"].values():
        if lane["kind"] == "inspections":
            total.update({name: lane[name] for name in ("appended", "waiting", "lost")})
    return total


def test_killed_at_any_moment_it_comes_back_with_its_model_and_loses_no_record(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    agent.cli("install", str(simulated_bundle))
    kept = 0
    for turn in range(4):
        agent.start()
        lane = inspections(agent)
        assert lane["appended"] >= kept
        assert agent.station()["bundle"] == "simulated-line 1"
        agent.until_parts(4 + 3 * turn)
        # Every part with a verdict is in the spool; the kill may let a few more in.
        kept = lane["appended"] + agent.station()["parts"]
        agent.kill()
    agent.start()
    lane = inspections(agent)
    assert lane["appended"] >= kept
    assert lane["waiting"] == lane["appended"]  # nobody has taken any
    assert lane["lost"] == 0


def test_an_alarm_that_stood_when_it_was_killed_still_stands(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    agent.start()
    agent.until(lambda status: bool(status["alarms"]))
    time.sleep(0.3)  # kept by the desk's own thread
    since = agent.status()["alarms"][0]["since"]
    agent.kill()
    agent.cli("install", str(simulated_bundle))
    agent.start()
    agent.until(lambda status: bool(status["alarms"]))
    alarm = agent.status()["alarms"][0]
    assert (alarm["key"], alarm["since"]) == (f"model/{STATION}", since)
    agent.until(lambda status: status["alarms"][0]["state"] == "returned-unacknowledged")
    ask(agent.socket, "acknowledge", key=f"model/{STATION}")
    agent.until(lambda status: not status["alarms"])


def test_two_agents_do_not_share_one_folder(agent: AgentProcess) -> None:
    agent.start()
    second = agent.cli("run")
    assert second.returncode == 2
    assert "spool" in second.stderr.splitlines()[-1]
    agent.until_parts(2)


def test_software_triggers_give_one_part_each(tmp_path: Path, simulated_bundle: Path) -> None:
    agent = AgentProcess(tmp_path, NOBODY_LISTENS, SIMULATED + '\ntrigger = "software"')
    agent.cli("install", str(simulated_bundle))
    try:
        agent.start()
        time.sleep(0.5)
        assert agent.station()["parts"] == 0
        for count in (1, 2, 3):
            ask(agent.socket, "trigger", station=STATION)
            agent.until_parts(count)
        time.sleep(0.3)
        assert agent.station()["parts"] == 3
    finally:
        agent.kill()


def test_the_light_is_changed_on_order_and_the_alarm_is_acknowledged(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    agent.cli("install", str(simulated_bundle))
    agent.start()
    agent.until_parts(3)
    key = f"light/brightness/{STATION}"
    assert agent.cli("light", "level=0.4").stdout == "station line1: light is level 0.4\n"
    agent.until(lambda status: [alarm["key"] for alarm in status["alarms"]] == [key])
    said = re.match(r"light down (\d+) %", agent.status()["alarms"][0]["text"])
    assert said is not None
    assert 55 <= int(said[1]) <= 65
    assert agent.station()["last"]["verdict"] == "invalid"
    agent.cli("light")
    agent.until(lambda status: status["alarms"][0]["state"] == "returned-unacknowledged")
    assert agent.cli("acknowledge", key).stdout == f"{key} is normal\n"
    assert agent.status()["alarms"] == []
    for wrong, words in (
        (["light", "level=much"], "NAME=VALUE"),
        (["light", "levle=1"], "did you mean level?"),
        (["light", "level=9"], "level"),
        (["acknowledge", "light/dirt/nowhere"], "light/dirt/nowhere"),
    ):
        done = agent.cli(*wrong)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert words in done.stderr


def test_status_is_shown_to_people_and_machines(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    nobody = agent.cli("status")
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert "no agent is running" in nobody.stderr
    agent.cli("install", str(simulated_bundle))
    agent.start()
    agent.until_parts(3)
    shown = agent.cli("status")
    assert shown.returncode == 0
    for word in ("dut", "line1", "simulated-line 1", "uplink down"):
        assert word in shown.stdout, word
    told = json.loads(agent.cli("status", "--json").stdout)
    assert told["stations"][STATION]["parts"] >= 3
    assert told["rss_mb"] > 30
