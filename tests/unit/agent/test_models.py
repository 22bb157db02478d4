"""The models of a station: the invariants of `edge_agent.agent.models`, each by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.agent.models import StationModels
from edge_agent.config import parse
from edge_agent.files import write_durably
from edge_agent.inspection.chain import PATIENCE
from edge_agent.inspection.engines import Choice, version_of
from edge_agent.lighting import Baseline
from edge_agent.rollout.bundle import Bundle, read_bundle, write_bundle
from edge_agent.rollout.live import LiveModel
from edge_agent.rollout.selftest import self_test
from edge_agent.rollout.slots import Slots
from edge_agent.rollout.tuning import Tuned, TunedStage
from edge_agent.rollout.tuning_file import keep, this_processor
from tests.tiny import fragile_onnx, picture, tiny_files, tiny_manifest, tiny_tflite

STATION = {
    "camera": {"driver": "simulated"}, "lighting": {"watch": "off"},
}  # fmt: skip
BOTH = {"onnx": "model.onnx", "litert": "model.tflite"}


@pytest.fixture
def models(tmp_path: Path) -> StationModels:
    config = parse({"station": {"press": STATION}}, origin="x").station["press"]
    return StationModels(tmp_path / "press", config)


def install(tmp_path: Path, version: str, onnx: bytes = b"") -> Bundle:
    files = tiny_files() | {"model.tflite": tiny_tflite()} | ({"model.onnx": onnx} if onnx else {})
    path = tmp_path / f"{version}.bundle"
    bundle = write_bundle(path, tiny_manifest(version, models=BOTH), files)
    station = parse({"station": {"press": STATION}}, origin="x").station["press"]
    engine = "litert" if onnx else "auto"  # the fragile one fails on its challenge sample

    def test(candidate: Bundle) -> None:
        self_test(candidate, engine, station.inspection)

    Slots(tmp_path / "press").install(path, test)
    assert read_bundle(path).digest == bundle.digest
    return bundle


def tune(tmp_path: Path, bundle: Bundle, choice: Choice) -> None:
    stage = TunedStage(choice=choice, version=version_of(choice.engine))
    tuned = Tuned(digest=bundle.digest, cpu=this_processor(), stages={"anomaly": stage})
    keep(tmp_path / "press", tuned)


def live(models: StationModels) -> LiveModel:
    found = models.live()
    assert found is not None
    return found[1]


def test_what_decides_is_the_live_bundle_as_it_was_tuned(
    tmp_path: Path, models: StationModels
) -> None:
    assert models.live() is None
    bundle = install(tmp_path, "1")
    assert live(models).runs_on == "onnx, 1 thread"
    tune(tmp_path, bundle, Choice("litert", 2))
    assert live(models).runs_on == "litert, 2 threads"
    found = models.live()
    assert found is not None
    assert found[0].digest == bundle.digest


def test_a_reload_with_nothing_new_changes_nothing(tmp_path: Path, models: StationModels) -> None:
    install(tmp_path, "1")
    assert live(models) is live(models)


def test_the_model_of_the_bundle_before_stays_loaded(tmp_path: Path, models: StationModels) -> None:
    install(tmp_path, "1")
    first = live(models)
    second_bundle = install(tmp_path, "2")
    second = live(models)
    assert second is not first
    Slots(tmp_path / "press").roll_back()
    assert live(models) is first
    Slots(tmp_path / "press").roll_back()
    assert live(models) is second
    tune(tmp_path, second_bundle, Choice("litert"))
    assert live(models).runs_on == "litert, 1 thread"  # run in another way: no way leads back
    Slots(tmp_path / "press").roll_back()
    assert live(models) is first


def test_an_engine_that_gave_way_is_tried_anew_on_reload(
    tmp_path: Path, models: StationModels
) -> None:
    install(tmp_path, "1", fragile_onnx())
    model = live(models)
    for _ in range(PATIENCE - 1):
        assert model.pipeline.inspect(picture(250)).stop is not None
    assert model.pipeline.inspect(picture(250)).scores == {"anomaly": 250.0}
    assert model.runs_on == "litert, 1 thread"
    assert live(models).runs_on == "onnx, 1 thread"
    assert live(models).trouble == ""


def test_a_baseline_that_was_learned_anew_is_read_anew_and_nothing_else(tmp_path: Path) -> None:
    own = tmp_path / "own.baseline"
    noise = np.random.default_rng(0)
    first, second = (
        Baseline.learn([noise.integers(low, low + 20, (60, 80, 3)).astype(np.uint8)
                        for _ in range(8)])
        for low in (60, 120)
    )  # fmt: skip
    own.write_bytes(first.encode())
    raw = STATION | {"lighting": {"baseline": str(own)}}
    config = parse({"station": {"press": raw}}, origin="x").station["press"]
    watching = StationModels(tmp_path / "press", config)
    install(tmp_path, "1")
    before, again = watching.live(), watching.live()
    assert before is not None
    assert again is not None
    assert before[1] is again[1]
    write_durably(own, second.encode())
    after = watching.live()
    assert after is not None
    assert after[1].pipeline is before[1].pipeline
    assert after[1].baseline is not None
    assert after[1].baseline.digest == second.digest
    assert after[1].watch is not before[1].watch
