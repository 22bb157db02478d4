"""Tuning as a person does it: through the command line, with an agent that takes it over."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.agent.control import ask
from edge_agent.inspection.engines import ENGINES, Choice, version_of
from edge_agent.rollout.bundle import read_bundle, write_bundle
from edge_agent.rollout.tuning import Tuned, TunedStage
from edge_agent.rollout.tuning_file import keep, read_table, this_processor
from tests.integration.agent_process import STATION, AgentProcess
from tests.tiny import fragile_onnx, tiny_files, tiny_manifest, tiny_tflite

pytestmark = pytest.mark.processes

NOBODY_LISTENS = 9  # the discard port
SIMULATED = 'driver = "simulated"\ntakt_ms = 150'


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path, NOBODY_LISTENS, SIMULATED)
    yield process
    process.kill()


def verb(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent.cli.agent", "bundle", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def tune(bundle: Path, config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return verb("tune", bundle, "-c", config, "--seconds", 0, "--threads", 1, *more)


def tuned_to(digest: str, choice: Choice) -> Tuned:
    version = version_of(choice.engine) if choice.engine in ENGINES else "1"
    stage = TunedStage(choice=choice, version=version)
    return Tuned(digest=digest, cpu=this_processor(), stages={"anomaly": stage})


def folder_of(agent: AgentProcess) -> Path:
    return agent.folder / "state/stations" / STATION


def until_logged(agent: AgentProcess, text: str) -> str:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        log = (agent.folder / "agent.log").read_text()
        if text in log:
            return log
        time.sleep(0.05)
    raise AssertionError(f"{text!r} is not in the log: {log}")


def test_tune_leaves_out_what_disagrees_or_fails_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "x.bundle"
    both = {"onnx": "model.onnx", "litert": "model.tflite"}
    files = tiny_files() | {"model.onnx": fragile_onnx(), "model.tflite": tiny_tflite()}
    manifest = tiny_manifest(models=both)
    write_bundle(path, manifest, files)
    config = tmp_path / "agent.toml"  # another station than that of a device the test may run on
    config.write_text(
        f'state_dir = "{tmp_path}"\nruntime_dir = "{tmp_path}"\n'
        f"[station.{STATION}.camera]\n{SIMULATED}\n"
    )
    done = tune(path, config)
    assert done.returncode == 0, done.stderr
    assert "litert, 1 thread" in done.stdout
    assert "sample challenge.png: engine onnx" in done.stdout
    write_bundle(path, manifest, files | tiny_files(golden=90) | {"model.onnx": b"broken"})
    done = tune(path, config)
    assert done.returncode == 1
    assert (
        "litert, 1 thread, xnnpack: failed on 1 of 2 samples; golden.png (golden) came out ok"
        in done.stdout
    )
    assert "refuses the model" in done.stdout
    assert "nothing here can run it" in done.stderr


def _check_answer(answer: dict[str, Any], tuned: Tuned) -> None:
    """Hold what `tune` printed against what must be true, and against what it kept."""
    trials = {(each["choice"]["engine"], each["choice"]["option"]): each
              for each in answer["stages"]["anomaly"]["trials"]}  # fmt: skip
    assert {("onnx", "all"), ("onnx", "basic"), ("litert", "xnnpack")} <= set(trials)
    for each in trials.values():
        assert (each["objection"], each["runs"] > 0) == ("", True)
        assert 0 < each["min_ms"] <= each["p50_ms"] <= each["p99_ms"]
        assert each["memory_mb"] > 1
    assert tuned.digest == answer["digest"]
    kept = tuned.stages["anomaly"]
    assert msgspec.to_builtins(kept.choice) == answer["stages"]["anomaly"]["choice"]
    assert (tuned.cpu, kept.version) == (this_processor(), version_of(kept.choice.engine))


def test_tune_times_every_engine_and_a_running_agent_takes_the_choice_over(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    folder = folder_of(agent)
    digest = read_bundle(simulated_bundle).digest
    tuned = tuned_to(digest, Choice("litert", 1, "xnnpack"))
    keep(folder, tuned)
    agent.cli("install", str(simulated_bundle))
    agent.start()
    agent.until_parts(2)
    assert agent.station()["engine"] == "litert"
    until_logged(agent, "decides, on litert, 1 thread, xnnpack")

    done = tune(simulated_bundle, agent.config, "--json")
    assert done.returncode == 0, done.stderr
    assert "An agent is running here: its load is in the figures." in done.stderr
    assert "The running agent decides with it now" in done.stderr
    _check_answer(json.loads(done.stdout), read_table(folder).tuned[0])

    onnx = tuned_to(digest, Choice("onnx", 1, "extended"))
    steps: list[tuple[Tuned | bytes, str, str]] = [
        (onnx, "onnx", "decides, on onnx, 1 thread, extended"),
        (tuned, "litert", "decides, on litert, 1 thread, xnnpack"),
        (b"{", "onnx", "tuning.json: cannot be read"),
        (msgspec.structs.replace(tuned, digest="another"), "onnx", "decides, on onnx, 1 thread\n"),
        (tuned, "litert", "decides, on litert, 1 thread, xnnpack"),
        (tuned_to(digest, Choice("tpu")), "onnx", "engine 'tpu': unknown"),
    ]
    for content, engine, text in steps:
        (folder / "tuning.json").unlink()
        if isinstance(content, bytes):
            (folder / "tuning.json").write_bytes(content)
        else:
            keep(folder, content)
        ask(agent.socket, "reload", station=STATION)
        assert agent.station()["engine"] == engine
        until_logged(agent, text)
    verdicts = agent.station()["verdicts"]
    assert verdicts.get("invalid", 0) == 0, verdicts
    assert agent.stop() == 0


def test_the_configuration_wins_over_what_was_tuned(
    agent: AgentProcess, simulated_bundle: Path
) -> None:
    with agent.config.open("a") as config:
        config.write(f'[station.{STATION}.inspection]\nengine = "litert"\n')
    path = agent.folder / "tiny.bundle"
    write_bundle(path, tiny_manifest(), tiny_files())
    done = tune(path, agent.config)
    assert 'It waits: inspection.engine is "litert" in the configuration.' in done.stderr
    digest = read_bundle(simulated_bundle).digest
    keep(folder_of(agent), tuned_to(digest, Choice("onnx")))
    agent.cli("install", str(simulated_bundle))
    agent.start()
    agent.until_parts(1)
    assert agent.station()["engine"] == "litert"
    until_logged(agent, "inspection.engine = litert in the configuration comes before what was")


# --- show and test -------------------------------------------------------------------------------


def test_show_tells_what_a_bundle_holds(simulated_bundle: Path) -> None:
    bundle = read_bundle(simulated_bundle)
    done = verb("show", simulated_bundle)
    assert done.returncode == 0, done.stderr
    for word in ("simulated-line 1", bundle.digest, "model.onnx, 5.5", "256 x 256 BGR",
                 "review 1.", "golden-1.jpg", "EfficientNet", "show it with --card"):  # fmt: skip
        assert word in done.stdout, done.stdout
    facts: dict[str, Any] = json.loads(verb("show", simulated_bundle, "--json").stdout)
    assert facts["digest"] == bundle.digest
    assert facts["stages"][0]["models"]["onnx"]["bytes"] == len(bundle.files["model.onnx"])
    assert facts["card"] == bundle.files["card.md"].decode()
    card = verb("show", simulated_bundle, "--card").stdout
    assert card.strip() == bundle.files["card.md"].decode().strip()


@pytest.mark.parametrize("engine", ["auto", "onnx", "litert"])
def test_test_judges_the_samples(simulated_bundle: Path, engine: str) -> None:
    done = verb("test", simulated_bundle, "--engine", engine)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 9
    assert all(line.startswith("holds  ") for line in lines[:-1])
    assert lines[-1].endswith("self-test held on 8 samples")


def test_test_says_what_does_not_hold_and_ends_with_1(tmp_path: Path) -> None:
    path = tmp_path / "x.bundle"
    write_bundle(path, tiny_manifest(), tiny_files(golden=150))
    done = verb("test", path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("FAILS  golden ")
    assert "failed on 1 of 2 samples; golden.png (golden) came out review" in done.stderr
    answer = json.loads(verb("test", path, "--json").stdout)
    assert (answer["holds"], len(answer["samples"])) == (False, 2)
    path.write_bytes(b"no bundle")
    for each in ("show", "test", "tune"):
        done = verb(each, path)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
