"""Two bundles on the same images: paired differences and McNemar's test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.evaluation.bootstrap import Estimate
from calibration.evaluation.compare import compare_runs, mcnemar
from calibration.evaluation.run import Run, Seen
from calibration.evaluation.sets import Item
from edge_agent.decision.verdict import Thresholds, judge
from edge_agent.rollout.bundle import Bundle
from tests.tiny import tiny_manifest

Scored = dict[str, float | None]
_LIMITS = Thresholds(1.0, 1.5)


def _run(scores: Scored) -> Run:
    seen = tuple(
        Seen(Item(Path(name), name.partition("/")[0]), judge(score, _LIMITS, ()).verdict, score)
        for name, score in scores.items()
    )
    return Run(Bundle(tiny_manifest(), "0" * 64, {}), "onnx", False, seen, (), 0, 0, (), (), 1.0)


def _draw(seed: int, gap: float) -> Scored:
    rng = np.random.default_rng(seed)
    good, dents = rng.normal(0.7, 0.2, 80), rng.normal(0.7 + gap, 0.2, 60)
    found: Scored = {f"good/{number}": float(score) for number, score in enumerate(good)}
    return found | {f"dent/{number}": float(score) for number, score in enumerate(dents)}


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0).p == 1.0
    assert mcnemar(3, 3).p == 1.0
    assert mcnemar(0, 5).p == pytest.approx(2 / 32)
    assert mcnemar(6, 0).p == pytest.approx(2 / 64)
    assert mcnemar(2, 8).p == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar(3000, 3000).p == 1.0


def test_a_bundle_against_itself_differs_in_nothing() -> None:
    run = _run(_draw(0, 0.4))
    found = compare_runs(run, run, resamples=100, seed=0)
    assert set(found.differences.values()) == {Estimate(0.0, 0.0, 0.0)}
    assert found.verdicts.p == 1.0


def test_pairing_narrows_the_interval() -> None:
    scores = _draw(1, 0.3)
    nearly: Scored = {
        name: (score or 0.0) + 0.02 * ("dent" in name) for name, score in scores.items()
    }
    other = _draw(2, 0.3)
    paired = compare_runs(_run(scores), _run(nearly), resamples=300, seed=0).differences["auroc"]
    apart = compare_runs(_run(scores), _run(other), resamples=300, seed=0).differences["auroc"]
    assert paired.low > 0.0
    assert paired.high - paired.low < 0.3 * (apart.high - apart.low)


def test_a_clearly_better_bundle_is_seen() -> None:
    found = compare_runs(_run(_draw(3, 0.2)), _run(_draw(3, 0.8)), resamples=200, seed=0)
    assert found.differences["auroc"].low > 0.05
    assert found.bad_verdicts.only_second > 30
    assert found.bad_verdicts.p < 0.001
    assert (found.good_verdicts.only_first, found.good_verdicts.only_second) == (0, 0)


def test_images_that_only_one_could_score_are_left_out_of_the_differences() -> None:
    scores = _draw(4, 0.5)
    second: Scored = scores | {"dent/0": None, "good/0": None}
    del second["good/1"]
    found = compare_runs(_run(scores), _run(second), resamples=50, seed=0)
    assert (found.good, found.bad) == (78, 59)
    assert found.differences["auroc"].value == 0.0
