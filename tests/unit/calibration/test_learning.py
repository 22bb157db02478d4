"""The learning curve tells whether more good parts would help."""

from __future__ import annotations

import math

import numpy as np
import pytest

from calibration import anomaly, learning
from calibration.anomaly import Material
from calibration.learning import Point
from calibration.projection import Floats


def _features(parts: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    values: Floats = rng.normal(3, 1, (parts, 9, 16)).astype(np.float32)
    return values


def _curve(parts: int, bad: Floats | None = None) -> list[Point]:
    material = Material.of(_features(parts), 3)
    return learning.curve(
        material, anomaly.leave_one_out(material, dims=8), bad=bad, dims=8, seed=0
    )


def test_it_has_a_quarter_half_and_all_of_the_parts() -> None:
    assert [point.parts for point in _curve(64)] == [16, 32, 64]
    assert [point.parts for point in _curve(12)] == [6, 12]
    assert [point.parts for point in _curve(6)] == [6]


def test_scores_of_good_parts_fall_with_more_parts() -> None:
    quarter, _, full = _curve(64)
    assert full.level < quarter.level
    assert math.isnan(full.auroc)


def test_known_bad_parts_give_an_auroc() -> None:
    points = _curve(64, bad=_features(20, seed=1) + 5.0)
    assert [point.auroc for point in points] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("half", "full", "says"),
    [(2.0, 1.8, "would help"), (2.0, 1.99, "change little"), (2.0, 2.1, "no gain was seen")],
)
def test_the_advice_follows_the_last_doubling(half: float, full: float, says: str) -> None:
    nan = float("nan")
    assert says in learning.advice([Point(20, half, nan), Point(40, full, nan)])


def test_an_auroc_that_still_rises_asks_for_more() -> None:
    assert "would help" in learning.advice([Point(20, 2.0, 0.9), Point(40, 2.0, 0.95)])


def test_too_few_parts_to_tell_says_so() -> None:
    assert "too few to tell" in learning.advice([Point(6, 2.0, float("nan"))])
