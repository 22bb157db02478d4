"""Intervals: seeded, stratified, about as wide as theory says."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.evaluation.bootstrap import (
    Estimate,
    draw,
    interval,
    resample,
    roc_band,
    share,
    widened,
)
from calibration.evaluation.metrics import Scores, auroc, roc
from calibration.figures import auroc_interval


def test_each_resample_has_as_many_images_of_each_stratum() -> None:
    drawn = list(draw((7, 3), resamples=50, seed=0))
    first, second = (np.concatenate([rows[which] for rows in drawn]) for which in (0, 1))
    assert first.shape == (50, 7)
    assert (first.sum(1) == 7).all()
    assert (second.sum(1) == 3).all()
    assert len(np.unique(first, axis=0)) > 40


def test_the_same_seed_draws_the_same_images() -> None:
    one, two, other = (
        next(draw((20, 30), resamples=10, seed=seed))[1].tolist() for seed in (4, 4, 5)
    )
    assert one == two
    assert one != other


def test_many_images_are_drawn_in_pieces() -> None:
    pieces = list(draw((30_000,), resamples=100, seed=0))
    assert len(pieces) > 1
    assert sum(len(piece[0]) for piece in pieces) == 100


def test_the_interval_of_the_auroc_agrees_with_hanley_and_mcneil() -> None:
    rng = np.random.default_rng(1)
    scores = Scores(rng.normal(0, 1, 150), rng.normal(1.2, 1, 120))
    found = interval(0.8, resample(auroc, scores, resamples=1000, seed=0))
    low, high = auroc_interval(scores.good.astype(np.float32), scores.bad.astype(np.float32))
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)


def test_a_perfect_share_still_has_an_interval() -> None:
    perfect = widened(Estimate(1.0, 1.0, 1.0), 60)
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(0.94, abs=0.01)
    wide = Estimate(0.5, 0.4, 0.6)
    assert widened(wide, 60) == wide
    assert share(0, 0) is None


def test_the_band_holds_the_curve() -> None:
    rng = np.random.default_rng(2)
    scores = Scores(rng.normal(0, 1, 200), rng.normal(1, 1, 200))
    rates, low, high = roc_band(scores, seed=0)
    curve = np.interp(rates, *roc(scores))
    assert (low[1:] <= curve[1:] + 0.02).all()
    assert (curve <= high + 0.02).all()
    assert 0.03 < (high - low)[10] < 0.3
