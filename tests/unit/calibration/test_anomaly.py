"""The head learns what good parts look like at each place."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import anomaly
from edge_agent.errors import UsageError

_CELLS, _CHANNELS, _DIMS = 12, 20, 8


def _features(parts: int, seed: int = 0) -> anomaly.Floats:
    """Each cell has a mean and a mixing of its own."""
    fixed = np.random.default_rng(99)
    mean = fixed.normal(0, 5, (_CELLS, _CHANNELS))
    mix = fixed.normal(size=(_CELLS, _CHANNELS, _CHANNELS)) * np.geomspace(3, 0.1, _CHANNELS)
    noise = np.random.default_rng(seed).normal(size=(parts, _CELLS, _CHANNELS))
    values: anomaly.Floats = (mean + np.einsum("pcj,cij->pci", noise, mix)).astype(np.float32)
    return values


def test_the_map_of_fresh_good_parts_is_about_one() -> None:
    head = anomaly.fit(_features(400), dims=_DIMS)
    assert head.map(_features(200, seed=1)).mean() == pytest.approx(1.0, abs=0.2)


def test_a_planted_anomaly_is_found_where_it_is() -> None:
    head = anomaly.fit(_features(100), dims=_DIMS)
    odd = _features(20, seed=1)
    odd[:, 7] += 15.0
    maps = head.map(odd)
    assert (maps.argmax(axis=1) == 7).all()
    assert maps[:, 7].min() > 1.5 * np.delete(maps, 7, axis=1).max()


def test_scores_of_parts_that_were_fitted_on_are_far_too_low() -> None:
    seen = _features(30)
    head = anomaly.fit(seen, dims=_DIMS)
    fresh = anomaly.scores(head.map(_features(300, seed=1)), 1)
    inside = anomaly.scores(head.map(seen), 1)
    outside = anomaly.scores(anomaly.leave_one_out(seen, dims=_DIMS), 1)
    assert np.median(inside) < 0.9 * np.median(fresh)
    assert np.median(outside) == pytest.approx(np.median(fresh), rel=0.1)


def test_each_part_is_scored_by_a_head_that_did_not_see_it() -> None:
    # A part that nothing resembles must score high, whatever fold it falls into.
    seen = _features(23)
    seen[11] += 20.0
    assert anomaly.scores(anomaly.leave_one_out(seen, dims=_DIMS), 1).argmax() == 11


def test_taking_a_part_out_gives_what_a_fit_without_it_gives() -> None:
    seen = _features(60)
    quick = anomaly.leave_one_out(seen, dims=_CHANNELS)
    for part in (0, 31, 59):
        head = anomaly.fit(np.delete(seen, part, axis=0), dims=_CHANNELS)
        np.testing.assert_allclose(quick[part], head.map(seen[[part]])[0], rtol=0.02)


def test_the_same_parts_and_seed_give_the_same_head() -> None:
    one, two = (anomaly.fit(_features(30), dims=_DIMS, seed=4) for _ in range(2))
    other = anomaly.fit(_features(30), dims=_DIMS, seed=5)
    assert one.whitening.tobytes() == two.whitening.tobytes()
    assert one.projection.tobytes() == two.projection.tobytes()
    assert one.projection.tobytes() != other.projection.tobytes()


def test_directions_in_which_marks_show_are_kept() -> None:
    # Marks move features along one direction alone: a single dimension must see it.
    seen, odd = _features(200), _features(50, seed=1)
    mark = np.zeros(_CHANNELS, np.float32)
    mark[13] = 4.0
    rows = np.outer(np.linspace(0.1, 1, 40), mark).astype(np.float32)
    told = anomaly.fit(seen, changes=rows, dims=1).map(odd + mark).mean()
    random = anomaly.fit(seen, dims=1).map(odd + mark).mean()
    assert told > 1.3 * random


def test_few_parts_lean_on_what_all_cells_share() -> None:
    # Fewer parts than dimensions: a covariance of its own would be singular.
    head = anomaly.fit(_features(6), dims=_DIMS)
    assert np.isfinite(head.map(_features(50, seed=1))).all()


def test_whitening_is_triangular_and_short() -> None:
    whitening = anomaly.fit(_features(30), dims=_DIMS).whitening
    assert whitening.dtype == np.float16
    assert not np.triu(whitening.astype(np.float32), 1).any()
    assert not (whitening.view(np.uint16) & 7).any()


def test_the_score_is_the_mean_of_the_highest_cells() -> None:
    maps = np.array([[1.0, 5.0, 3.0, 2.0]], np.float32)
    assert anomaly.scores(maps, 2).tolist() == [4.0]
    assert anomaly.scores(maps, 4).tolist() == [2.75]
    assert [anomaly.top_of(cells) for cells in (16, 256, 1024)] == [1, 3, 10]


def test_too_few_or_equal_parts_are_refused() -> None:
    with pytest.raises(UsageError, match="4 good parts: fitting needs at least 5"):
        anomaly.fit(_features(4))
    with pytest.raises(UsageError, match="all the same image"):
        anomaly.fit(np.repeat(_features(1), 10, axis=0))
