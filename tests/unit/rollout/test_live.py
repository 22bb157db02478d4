from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import BundleError, UsageError
from edge_agent.inspection.chain import PATIENCE
from edge_agent.inspection.engines import Choice, EngineSettings
from edge_agent.lighting import Baseline
from edge_agent.rollout.bundle import Bundle, write_bundle
from edge_agent.rollout.live import make_live
from tests.tiny import fragile_onnx, picture, tiny_files, tiny_manifest, tiny_sample, tiny_tflite
from tests.tiny_tasks import dark, locate_then_inspect, spot, two_stage_files, two_stage_manifest

NOISE = np.random.default_rng(0)
BASELINE = Baseline.learn(
    [NOISE.integers(90, 110, (60, 80, 3)).astype(np.uint8) for _ in range(8)]
).encode()


def bundle(tmp_path: Path, baseline: bytes | None) -> Bundle:
    more = {} if baseline is None else {"baseline.json": baseline}
    manifest = tiny_manifest(baseline="baseline.json" if more else "")
    return write_bundle(tmp_path / "x.bundle", manifest, tiny_files() | more)


def test_a_live_model_has_what_a_record_needs(tmp_path: Path) -> None:
    made = bundle(tmp_path, BASELINE)
    live = make_live(made, "auto", EngineSettings())
    assert live.pipeline.inspect(picture(33)).scores == {"anomaly": 33.0}
    assert live.thresholds == {"anomaly": Thresholds(100.0, 200.0)}
    assert (live.bundle, live.digest) == ("tiny 1", made.digest[:12])
    assert live.watch is not None
    assert live.watch.baseline.encode() == BASELINE


def test_the_stations_own_baseline_comes_first(tmp_path: Path) -> None:
    own = Baseline.learn([np.full((60, 80, 3), level, np.uint8) for level in range(100, 108)])
    path = tmp_path / "own.json"
    path.write_bytes(own.encode())
    live = make_live(bundle(tmp_path, BASELINE), "auto", EngineSettings(), baseline=path)
    assert live.watch is not None
    assert live.watch.baseline == own
    with pytest.raises(UsageError, match=r"gone\.json"):
        make_live(bundle(tmp_path, None), "auto", EngineSettings(), baseline=tmp_path / "gone.json")


def test_light_that_is_to_be_watched_needs_a_baseline(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no lighting baseline: learn one at the station"):
        make_live(bundle(tmp_path, None), "auto", EngineSettings())
    assert make_live(bundle(tmp_path, None), "auto", EngineSettings(), watch=False).watch is None


def test_a_baseline_in_the_bundle_that_is_none_is_the_bundles_fault(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"baseline\.json of bundle tiny 1"):
        make_live(bundle(tmp_path, b"{}"), "auto", EngineSettings())


# --- choices, and what takes over ----------------------------------------------------------------

BOTH = {"onnx": "model.onnx", "litert": "model.tflite"}
LITERT, OPENVINO = Choice("litert", 2, "builtin"), Choice("openvino", 1, "gone")


def two_engines(tmp_path: Path, files: dict[str, bytes], *, golden: float = 20.0) -> Bundle:
    """Make a bundle with both models; its golden sample has the score that is given."""
    samples = (
        tiny_sample("golden.png", golden),
        tiny_sample("challenge.png", 250.0),
    )
    manifest = tiny_manifest(models=BOTH, samples=samples, tolerance=0.01)
    return write_bundle(tmp_path / "x.bundle", manifest, tiny_files() | files)


def test_what_was_tuned_comes_first(tmp_path: Path) -> None:
    made = two_engines(tmp_path, {"model.tflite": tiny_tflite()})
    live = make_live(made, "auto", EngineSettings(), first={"anomaly": [LITERT]}, watch=False)
    assert live.engines["anomaly"].choice == LITERT
    assert (live.pipeline.engine, live.trouble) == ("litert", "")


def test_a_tuned_choice_that_cannot_be_loaded_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = two_engines(tmp_path, {"model.tflite": tiny_tflite()})
    for broken in (OPENVINO, Choice("tpu")):
        live = make_live(made, "auto", EngineSettings(), first={"anomaly": [broken]}, watch=False)
        assert live.engines["anomaly"].choice == Choice("onnx")
        assert live.trouble == ""
        (warning,) = caplog.records
        assert f"the tuned choice ({broken}) cannot be used: " in warning.getMessage()
        caplog.clear()


def test_an_engine_that_keeps_failing_gives_way_to_the_next(tmp_path: Path) -> None:
    made = two_engines(tmp_path, {"model.onnx": fragile_onnx(), "model.tflite": tiny_tflite()})
    live = make_live(made, "auto", EngineSettings(), watch=False)
    for _ in range(PATIENCE - 1):
        stop = live.pipeline.inspect(picture(250)).stop
        assert stop is not None
        assert "engine onnx" in stop.text
    assert live.pipeline.inspect(picture(250)).scores == {"anomaly": 250.0}
    assert live.pipeline.engine == "litert"
    assert "litert, 1 thread judges in its place" in live.trouble


@pytest.mark.parametrize(
    ("golden", "tflite"), [(90.0, tiny_tflite()), (20.0, b"broken")], ids=["disagrees", "broken"]
)
def test_only_an_engine_that_holds_the_samples_takes_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, golden: float, tflite: bytes
) -> None:
    files = {"model.onnx": fragile_onnx(), "model.tflite": tflite}
    made = two_engines(tmp_path, files, golden=golden)
    live = make_live(made, "auto", EngineSettings(), watch=False)
    for _ in range(PATIENCE + 1):
        stop = live.pipeline.inspect(picture(250)).stop
        assert stop is not None
        assert "engine onnx" in stop.text
    assert (live.pipeline.engine, live.trouble) == ("onnx", "")
    assert "litert, 1 thread cannot take over: engine litert: " in caplog.text


# --- stages --------------------------------------------------------------------------------------


def pair(tmp_path: Path, files: dict[str, bytes]) -> Bundle:
    stages = locate_then_inspect(models={"onnx": "inspect.onnx", "litert": "inspect.tflite"})
    more = two_stage_files() | {"inspect.tflite": tiny_tflite()} | files
    return write_bundle(tmp_path / "pair.bundle", two_stage_manifest(stages=stages), more)


def test_each_stage_is_run_as_it_was_tuned(tmp_path: Path) -> None:
    first = {"inspect": [LITERT]}
    live = make_live(pair(tmp_path, {}), "auto", EngineSettings(), first=first, watch=False)
    assert live.runs_on == "locate: onnx, 1 thread; inspect: litert, 2 threads, builtin"
    assert live.pipeline.engine == "onnx, litert"
    assert live.thresholds == {"inspect": Thresholds(242.0, 250.0)}


def test_one_stage_gives_way_and_the_others_stay(tmp_path: Path) -> None:
    made = pair(tmp_path, {"inspect.onnx": fragile_onnx(250)})
    live = make_live(made, "auto", EngineSettings(), watch=False)
    image = dark()
    spot(image, "green", 0.5, 0.5, level=255)
    for _ in range(PATIENCE - 1):
        stop = live.pipeline.inspect(image).stop
        assert stop is not None
        assert (stop.kind, stop.stage) == ("engine", "inspect")
    assert live.pipeline.inspect(image).scores == {"locate": 0.0, "inspect": 255.0}
    assert live.pipeline.engine == "onnx, litert"
    assert live.trouble.startswith("stage inspect: onnx, 1 thread failed on 3 parts")
