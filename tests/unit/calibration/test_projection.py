"""The projection keeps directions in which marks show, also where features vary little."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import projection
from calibration.projection import Floats
from edge_agent.errors import UsageError

_CHANNELS = 12


def _features(parts: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    mean = np.random.default_rng(8).normal(0, 5, (6, _CHANNELS))
    noise = rng.normal(size=(parts, 6, _CHANNELS)) * np.geomspace(3, 0.1, _CHANNELS)
    return np.asarray(mean + noise, np.float32)


@pytest.mark.parametrize("part", [0, 4, 8])
def test_taking_a_part_out_of_the_sums_is_exact(part: int) -> None:
    features = _features(9)
    sums = projection.without(projection.scatter(features), features[part])
    anew = projection.scatter(np.delete(features, part, axis=0))
    np.testing.assert_allclose(sums.mean, anew.mean, atol=1e-5)
    np.testing.assert_allclose(sums.total, anew.total, rtol=1e-4, atol=1e-3)
    assert (sums.parts, sums.cells) == (anew.parts, anew.cells) == (8, 6)


def test_the_sums_are_those_of_cells_about_their_own_means() -> None:
    features = _features(40).astype(np.float64)
    away = (features - features.mean(axis=0)).reshape(-1, _CHANNELS)
    sums = projection.scatter(features.astype(np.float32))
    np.testing.assert_allclose(sums.total, away.T @ away, rtol=1e-3, atol=1e-2)
    assert sums.size == pytest.approx(float((features**2).mean()), rel=1e-5)


def test_what_is_kept_of_good_parts_varies_alike_in_all_directions() -> None:
    features = _features(400)
    kept = projection.project(projection.scatter(features), None, dims=_CHANNELS, seed=0)
    seen = (features - features.mean(axis=0)) @ kept
    covariance = np.cov(seen.reshape(-1, _CHANNELS).T)
    # The floor under the smallest variances leaves them a little below 1.
    np.testing.assert_allclose(covariance, np.eye(_CHANNELS), atol=0.15)


def test_marks_are_kept_where_features_vary_little_and_are_told_best_first() -> None:
    changes = np.zeros((40, _CHANNELS), np.float32)
    changes[20:30, 11] = 1.0  # of little variance: ten times its spread
    changes[30:, 0] = 6.0  # of much variance: twice its spread
    sums = projection.scatter(_features(400))
    kept = projection.project(sums, changes, dims=2, seed=0)
    away = np.abs(np.eye(_CHANNELS, dtype=np.float32) @ kept)
    assert away[:, 0].argmax() == 11
    mark = np.zeros(_CHANNELS, np.float32)
    mark[0] = 6.0
    assert np.linalg.norm(mark @ kept) == pytest.approx(2.0, rel=0.1)


def test_cells_without_a_mark_have_no_say() -> None:
    # A mark is planted in one cell of ten; the rest moved by rounding alone.
    rng = np.random.default_rng(1)
    changes = rng.normal(0, 1e-4, (100, _CHANNELS)).astype(np.float32)
    changes[::10, 3] += 5.0
    kept = projection.project(projection.scatter(_features(100)), changes, dims=1, seed=0)
    still = projection.project(projection.scatter(_features(100)), changes[::10], dims=1, seed=0)
    assert abs(float(np.sum(kept * still)) / np.linalg.norm(kept) / np.linalg.norm(still)) > 0.999


def test_the_seed_chooses_random_directions() -> None:
    sums = projection.scatter(_features(20))
    one, two, other = (projection.project(sums, None, dims=4, seed=seed) for seed in (1, 1, 2))
    assert one.shape == (_CHANNELS, 4)
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_parts_that_are_all_the_same_are_refused(noise: float) -> None:
    same = np.repeat(_features(1), 8, axis=0)
    same += np.random.default_rng(0).normal(0, 1, same.shape).astype(np.float32) * noise
    with pytest.raises(UsageError, match="all the same image"):
        projection.project(projection.scatter(same), None, dims=4, seed=0)
