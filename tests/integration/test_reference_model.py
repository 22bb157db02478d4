"""The models we ship, and models fitted to real parts, do what their cards say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import models
from calibration import commission, frames, trials
from calibration.figures import auroc, share_from
from edge_agent.camera.drivers.simulated import Settings
from edge_agent.camera.frame import Image, Truth
from edge_agent.camera.images import read_image
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.spec import Input
from edge_agent.rollout.bundle import Bundle, read_bundle
from edge_agent.rollout.loading import load_pipeline
from edge_agent.rollout.selftest import self_test

_FOLDER = Path(next(iter(models.__path__)))
_ROOT = _FOLDER.parent
_DATA = Path(os.environ.get("EDGE_IMAGES", _ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def reference() -> Bundle:
    return read_bundle(_FOLDER / "simulated_line.bundle")


def _scores(reference: Bundle, settings: Settings) -> tuple[list[float], list[Truth]]:
    judge = load_pipeline(reference, "onnx", EngineSettings())
    scores, truths = [], []
    for frame in frames.simulated_parts(settings):
        assert frame.truth is not None
        scores.append(judge.inspect(frame.image).scores["anomaly"])
        truths.append(frame.truth)
    judge.close()
    return scores, truths


@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_the_reference_bundle_passes_its_own_test(reference: Bundle, engine: str) -> None:
    results = self_test(reference, engine, EngineSettings())
    assert {result.kind for result in results} == {"golden", "challenge"}
    assert all(result.holds for result in results)


def test_the_card_beside_the_bundle_is_the_one_in_it(reference: Bundle) -> None:
    card = (_FOLDER / "simulated_line.md").read_bytes()
    assert card == reference.files[reference.manifest.card]


def test_fresh_good_parts_pass(reference: Bundle) -> None:
    settings = Settings(takt_ms=0, seed=77, parts=200, defect_rate=0.0)
    scores, _ = _scores(reference, settings)
    assert (
        share_from(np.array(scores, np.float32), reference.manifest.thresholds["anomaly"].ng).hits
        <= 2
    )


def test_every_defect_above_the_size_on_the_card_is_caught(reference: Bundle) -> None:
    card = reference.files[reference.manifest.card].decode()
    named = float(card.split("Every planted defect above ")[1].split(" px")[0])
    settings = Settings(
        takt_ms=0, seed=78, parts=100, defect_rate=1.0, defect_size_px_min=named + 0.5
    )
    scores, truths = _scores(reference, settings)
    ng = reference.manifest.thresholds["anomaly"].ng
    large = [score for score, truth in zip(scores, truths, strict=True) if truth.size_px > named]
    assert len(large) > 50
    assert min(large) >= ng


@pytest.mark.images
def test_a_bundle_fitted_on_castings_tells_bad_ones_from_good_ones() -> None:
    folder = _DATA / "casting"
    if not folder.is_dir():
        pytest.skip(f"no image set at {folder}: set EDGE_IMAGES to the folder that holds casting/")
    plan = commission.Plan(name="casting", input=Input(height=256, width=256))
    files = frames.good_files(folder / "train" / "good", limit=150)
    lot = commission.collect(frames.read_good(files), plan)
    trial = trials.try_out(plan, commission.fit(plan, lot), _test_parts(folder), about="")
    assert len(trial.good) > 50
    assert len(trial.bad) > 50
    assert auroc(trial.good, trial.bad) > 0.90


def _test_parts(folder: Path) -> Iterator[tuple[Image, Truth]]:
    for file, truth in frames.labelled_files(folder / "test"):
        yield read_image(file), truth
