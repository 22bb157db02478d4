"""A bundle judges its own golden and challenge samples before it may run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from onnx import TensorProto

from edge_agent.camera.frame import Image
from edge_agent.decision.verdict import Thresholds, Verdict
from edge_agent.errors import BundleError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.seen import Inspection
from edge_agent.inspection.spec import Anomaly, Detect, Input
from edge_agent.rollout.bundle import Bundle, Sample, read_bundle, write_bundle
from edge_agent.rollout.loading import load_pipeline
from edge_agent.rollout.selftest import run_samples, self_test
from tests.tiny import (
    SIDE,
    tiny_files,
    tiny_manifest,
    tiny_onnx,
    tiny_sample,
    tiny_stage,
    tiny_tflite,
)
from tests.tiny_tasks import locate_then_inspect, two_stage_files, two_stage_manifest

SETTINGS = EngineSettings()
GOLDEN = tiny_sample("golden.png", 20.0)
CHALLENGE = tiny_sample("challenge.png", 250.0)


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def make(files: dict[str, bytes] | None = None, **changes: Any) -> Bundle:
        return write_bundle(
            tmp_path / "x.bundle", tiny_manifest(**changes), tiny_files() | (files or {})
        )

    return make


def test_a_good_bundle_holds(make: Any) -> None:
    results = self_test(make(), "auto", SETTINGS)
    assert [(result.kind, result.verdict, result.holds) for result in results] == [
        ("golden", Verdict.OK, True),
        ("challenge", Verdict.NG, True),
    ]
    assert [result.scores for result in results] == [{"anomaly": 20.0}, {"anomaly": 250.0}]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (tiny_files(golden=60), r"failed on 1 of 2 samples; golden.png \(golden\) came out ok"),
        (tiny_files(golden=150), r"golden.png \(golden\) came out review with score 150.000"),
        (tiny_files(challenge=50), r"challenge.png \(challenge\) came out ok with score 50.000"),
        (tiny_files(challenge=220), r"challenge.png \(challenge\) came out ng with score 220.000"),
        (tiny_files(golden=250, challenge=20), r"failed on 2 of 2 samples"),
    ],
)  # fmt: skip
def test_a_sample_with_another_verdict_or_a_score_out_of_tolerance_fails(
    make: Any, files: dict[str, bytes], expected: str
) -> None:
    with pytest.raises(BundleError, match=expected):
        self_test(make(files), "auto", SETTINGS)


def test_the_tolerance_is_a_share_of_the_ng_threshold(make: Any) -> None:
    edge = make(tiny_files(golden=40), tolerance=0.1)  # 20 away, 0.1 of 200 allowed
    assert all(result.holds for result in self_test(edge, "auto", SETTINGS))
    with pytest.raises(BundleError, match="self-test failed"):
        self_test(make(tiny_files(golden=41), tolerance=0.1), "auto", SETTINGS)


def test_a_challenge_part_that_comes_out_review_holds(make: Any) -> None:
    bundle = make(thresholds=Thresholds(100.0, 255.0))
    assert [result.verdict for result in self_test(bundle, "auto", SETTINGS)] == [
        Verdict.OK, Verdict.REVIEW,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "kind"), [((), "golden"), ((CHALLENGE,), "golden"), ((GOLDEN,), "challenge")]
)
def test_without_samples_of_both_kinds_nothing_is_tested_so_nothing_holds(
    make: Any, samples: tuple[Sample, ...], kind: str
) -> None:
    with pytest.raises(BundleError, match=f"holds no {kind} sample"):
        self_test(make(samples=samples), "auto", SETTINGS)


def test_a_score_that_is_no_number_never_holds(make: Any) -> None:
    class Blind:
        engine = "blind"

        def inspect(self, image: Image) -> Inspection:
            assert image.size
            return Inspection(float("nan"), None, 0, 0)

        def close(self) -> None: ...

    results = run_samples(make(), Pipeline([(tiny_stage(), Blind())]))
    assert [result.verdict for result in results] == [Verdict.INVALID] * 2
    assert not any(result.holds for result in results)


def test_auto_takes_the_first_engine_that_loads_the_model(make: Any) -> None:
    both = {"model.tflite": tiny_tflite()}
    names = {"onnx": "model.onnx", "litert": "model.tflite"}
    assert load_pipeline(make(both, models=names), "auto", SETTINGS).engine == "onnx"
    assert load_pipeline(make(both, models=names), "litert", SETTINGS).engine == "litert"
    broken = both | {"model.onnx": b"broken"}
    assert load_pipeline(make(broken, models=names), "auto", SETTINGS).engine == "litert"
    results = self_test(make(broken, models=names), "auto", SETTINGS)
    assert all(result.holds for result in results)


def test_a_bundle_that_no_engine_can_run_says_why_for_each(make: Any) -> None:
    with pytest.raises(BundleError) as caught:
        load_pipeline(make({"model.onnx": b"broken"}), "auto", SETTINGS)
    assert "cannot be run: engine onnx: refuses the model" in str(caught.value)
    assert "; no model for engine litert" in str(caught.value)
    with pytest.raises(BundleError, match="no model for engine litert"):
        load_pipeline(make(), "litert", SETTINGS)
    with pytest.raises(BundleError, match="no model for engine tpu"):
        load_pipeline(make(), "tpu", SETTINGS)
    wrong = make({"model.onnx": tiny_onnx(dtype=TensorProto.FLOAT)})
    with pytest.raises(BundleError, match="the model's input is tensor"):
        self_test(wrong, "auto", SETTINGS)
    with pytest.raises(BundleError, match="the bundle was put together wrongly"):
        self_test(make(input=Input(height=SIDE, width=2 * SIDE)), "auto", SETTINGS)


def test_a_sample_that_cannot_be_looked_at_is_named(make: Any) -> None:
    with pytest.raises(BundleError, match=r"sample golden\.png is not an 8-bit"):
        self_test(make({"golden.png": b"x"}), "auto", SETTINGS)
    two = make({"model.onnx": tiny_onnx(outputs=("a", "b"))}, task=Anomaly(top=2))
    with pytest.raises(BundleError, match="cannot be run: which of the model's outputs"):
        self_test(two, "auto", SETTINGS)


@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_the_reference_bundle_holds_on_every_engine(simulated_bundle: Path, engine: str) -> None:
    results = self_test(read_bundle(simulated_bundle), engine, SETTINGS)
    assert len(results) >= 2
    assert all(result.holds for result in results)


# --- stages --------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    def make(files: dict[str, bytes] | None = None, **changes: Any) -> Bundle:
        return write_bundle(
            tmp_path / "pair.bundle",
            two_stage_manifest(**changes),
            two_stage_files() | (files or {}),
        )

    return make


def test_each_stage_is_held_to_its_own_score(pair: Any) -> None:
    results = self_test(pair(), "auto", SETTINGS)
    assert [result.scores for result in results] == [
        {"locate": 0.0, "inspect": 240.0}, {"locate": 0.0, "inspect": 255.0},
    ]  # fmt: skip
    golden, challenge = two_stage_manifest().samples
    for scores, expected in (
        ({"locate": 0.2, "inspect": 240.0}, "with score 0.000 of locate, expected about 0.200"),
        ({"locate": 0.0, "inspect": 100.0}, "with score 240.000 of inspect, expected about 100"),
        ({"locate": 0.0}, "score 240.000 of inspect, expected about no score of inspect"),
        ({"locate": 0.0, "inspect": 240.0, "third": 1.0}, "with no score of third, expected"),
    ):
        changed = Sample(file=golden.file, kind="golden", scores=scores)
        with pytest.raises(BundleError, match=expected):
            self_test(pair(samples=(changed, challenge)), "auto", SETTINGS)
    near = Sample(file=golden.file, kind="golden", scores={"locate": 0.09, "inspect": 230.0})
    assert self_test(pair(samples=(near, challenge)), "auto", SETTINGS)


def test_a_stage_that_cannot_be_run_is_named(pair: Any) -> None:
    with pytest.raises(BundleError, match="stage inspect cannot be run: engine onnx: refuses"):
        self_test(pair({"inspect.onnx": b"broken"}), "auto", SETTINGS)
    locate, inspect = locate_then_inspect()
    few = msgspec.structs.replace(locate, task=Detect(labels=("green", "red"), layout="yolo"))
    with pytest.raises(BundleError, match=r"stage locate cannot be run: the model's output is .*"
                                          r"with 2 labels it would be \[1, 6, N\]"):  # fmt: skip
        self_test(pair(stages=(few, inspect)), "auto", SETTINGS)


def test_stages_in_an_order_that_makes_no_sense_are_refused(pair: Any) -> None:
    with pytest.raises(BundleError, match=r"stage inspect: speaks of stage 'locate'"):
        pair(stages=locate_then_inspect()[::-1])
