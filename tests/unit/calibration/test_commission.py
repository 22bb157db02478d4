"""From frames of good parts to a bundle that passes its own test."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibration import anomaly
from calibration.commission import MAX_KEPT, Fitted, Good, Plan, collect, fit, inspector, pack
from calibration.figures import Share, auroc, missed, named_size
from calibration.samples import golden_of
from calibration.trials import try_out
from edge_agent.camera.frame import Image, Truth
from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.spec import Input
from edge_agent.rollout.bundle import read_bundle
from edge_agent.rollout.selftest import self_test


def test_a_fitted_model_tells_bad_parts_from_fresh_good_ones(
    plan: Plan, fitted: Fitted, draw: Callable[..., Image]
) -> None:
    judge = inspector(plan, fitted, "onnx")
    fresh = [judge.inspect(draw(500 + seed)).score for seed in range(30)]
    bad = [judge.inspect(draw(600 + seed, spot_px=14)).score for seed in range(30)]
    assert sum(score >= fitted.thresholds.ng for score in fresh) <= 2
    assert sum(score >= fitted.thresholds.ng for score in bad) >= 28


def test_the_graph_computes_what_the_fit_computed(
    plan: Plan, good: Good, fitted: Fitted, draw: Callable[..., Image]
) -> None:
    fresh = [draw(700), draw(701, spot_px=20)]
    lot = collect([draw(seed) for seed in range(5)] + fresh, plan)
    weights = anomaly.leave_one_out(good.material, dims=plan.dims).weights()
    wanted = anomaly.fit(good.material, weights, dims=plan.dims).map(lot.material.features[-2:])
    judge = inspector(plan, fitted, "onnx")
    for image, row in zip(fresh, wanted, strict=True):
        seen = judge.inspect(image)
        assert seen.map is not None
        np.testing.assert_allclose(seen.map.reshape(-1), row, atol=1e-3)


def test_a_bundle_passes_its_own_test_on_both_engines(
    tmp_path: Path, plan: Plan, good: Good, fitted: Fitted
) -> None:
    pack(tmp_path / "drawn.bundle", plan, good, fitted)
    bundle = read_bundle(tmp_path / "drawn.bundle")
    assert set(bundle.manifest.stages[0].models) == {"onnx", "litert"}
    for engine in ("onnx", "litert"):
        results = self_test(bundle, engine, EngineSettings())
        assert sum(result.kind == "golden" for result in results) >= 4
        assert sum(result.kind == "challenge" for result in results) >= 4


def test_the_same_frames_and_seed_give_the_same_bytes(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image]
) -> None:
    for name in ("one", "two"):
        lot = collect((draw(seed) for seed in range(12)), plan)
        pack(tmp_path / name, plan, lot, fit(plan, lot))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_card_tells_what_was_measured(
    tmp_path: Path, plan: Plan, good: Good, fitted: Fitted, draw: Callable[..., Image]
) -> None:
    parts = [(draw(800 + seed), Truth("")) for seed in range(20)]
    parts += [(draw(900 + size, spot_px=size), Truth("spot", float(size))) for size in range(2, 32)]
    trial = try_out(plan, fitted, parts, about="Drawn parts.")
    bundle = pack(tmp_path / "drawn.bundle", plan, good, fitted, trial=trial)
    card = bundle.files["card.md"].decode()
    size = named_size(missed(trial.bad, trial.truths, fitted.thresholds.ng))
    assert f"Every planted defect above {size} px was caught" in card
    assert f"Image AUROC {auroc(trial.good, trial.bad):.4f}" in card
    assert "40 good parts; no defective part was used" in card
    assert "| spot |" in card
    assert "Scores of the ONNX and the TFLite model differ" in card


def test_a_card_without_defective_parts_says_so(
    tmp_path: Path, plan: Plan, good: Good, fitted: Fitted
) -> None:
    bundle = pack(tmp_path / "drawn.bundle", plan, good, fitted)
    assert "how many defects this model catches is not known" in bundle.files["card.md"].decode()


def test_grey_frames_of_another_size_are_taken_as_they_are(
    plan: Plan, draw: Callable[..., Image]
) -> None:
    grey = [np.ascontiguousarray(draw(seed)[:, :, 0]) for seed in range(6)]
    grey[3] = np.ascontiguousarray(np.kron(grey[3], np.ones((2, 2), np.uint8)))
    assert np.isfinite(collect(grey, plan).material.features).all()


def test_kept_frames_span_all_parts_and_are_bounded(plan: Plan) -> None:
    small = msgspec.structs.replace(plan, input=Input(height=64, width=64))
    frames = (np.full((64, 64), number % 256, np.uint8) for number in range(450))
    kept = [number for number, _ in collect(frames, small).kept]
    assert MAX_KEPT / 2 <= len(kept) <= MAX_KEPT
    assert kept[0] == 0
    assert kept[-1] > 430


def test_too_few_parts_and_odd_sizes_are_refused(plan: Plan, draw: Callable[..., Image]) -> None:
    with pytest.raises(UsageError, match="3 good parts"):
        collect([draw(seed) for seed in range(3)], plan)
    with pytest.raises(UsageError, match="multiple of 16"):
        collect([draw(1)], msgspec.structs.replace(plan, input=Input(height=100, width=96)))


def test_parts_that_all_look_the_same_are_refused(plan: Plan, draw: Callable[..., Image]) -> None:
    with pytest.raises(UsageError, match="all the same image"):
        fit(plan, collect([draw(1)] * 8, plan))


def test_golden_samples_are_parts_that_the_model_takes_for_good() -> None:
    scores = np.linspace(1, 2, 21).astype(np.float32)
    assert golden_of(scores, lambda _: True) == [2, 6, 11, 15]
    assert golden_of(scores, lambda part: part not in {11, 10, 2}) == [1, 6, 9, 15]
    assert golden_of(scores, lambda part: part == 3) == [3]
    with pytest.raises(UsageError, match="none of the ordinary good parts"):
        golden_of(scores, lambda _: False)


def test_intervals_hold_at_their_ends() -> None:
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).interval() == (0.0, 1.0)
    assert Share(10, 10).interval()[1] == pytest.approx(1.0)
    low, high = Share(50, 100).interval()
    assert low < 0.5 < high
