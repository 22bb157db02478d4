"""The part as a whole is held against the others, never against itself."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import whole
from calibration.projection import Floats


def _seen(parts: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(9).normal(size=(6, 6)) * np.geomspace(5, 0.01, 6)
    return (7 + rng.normal(size=(parts, 6)) @ mix.T).astype(np.float32)


def _no_twins(parts: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.eye(parts, dtype=np.bool_)


def test_a_part_is_told_by_mean_and_spread_of_its_cells() -> None:
    features = np.array([[[1, 10], [3, 10]], [[0, 4], [0, 8]]], np.float32)
    np.testing.assert_allclose(whole.describe(features), [[2, 10, 1, 0], [0, 6, 0, 2]])


def test_the_distance_of_good_parts_is_about_one() -> None:
    known, fresh = (np.random.default_rng(each).normal(2, 4, (500, 8)) for each in (0, 1))
    found = whole.fit(known.astype(np.float32)).distance(fresh.astype(np.float32))
    assert np.sqrt(np.square(found).mean()) == pytest.approx(1.0, abs=0.1)


def test_the_distance_counts_what_usually_goes_together() -> None:
    # Both features move as one: against each other they stand out.
    together = np.random.default_rng(0).normal(size=(200, 1)).astype(np.float32)
    noise = np.random.default_rng(1).normal(0, 0.05, (200, 2)).astype(np.float32)
    known = whole.fit(np.asarray(together + noise, np.float32))
    along, against = known.distance(np.array([[1, 1], [1, -1]], np.float32))
    assert against > 2 * along


@pytest.mark.parametrize("parts", [6, 25])
def test_exact_leaving_out_is_a_fit_without_the_part(parts: int) -> None:
    seen = _seen(parts)
    found = whole.leave_one_out(seen, _no_twins(parts), exact=True)
    for part in range(parts):
        anew = whole.fit(np.delete(seen, part, axis=0)).distance(seen[[part]])[0]
        assert found[part] == pytest.approx(anew, rel=1e-4)


def test_leaving_out_in_lots_is_nearly_exact_and_never_sees_the_part() -> None:
    seen = _seen(80)
    exact, quick = (whole.leave_one_out(seen, _no_twins(80), exact=each) for each in (True, False))
    np.testing.assert_allclose(quick, exact, rtol=0.25)
    assert np.median(quick) == pytest.approx(np.median(exact), rel=0.05)
    seen[33] += 100.0
    assert whole.leave_one_out(seen, _no_twins(80), exact=False).argmax() == 33


@pytest.mark.parametrize("exact", [True, False])
def test_twins_are_left_out_together(exact: bool) -> None:
    seen = np.repeat(_seen(20), 2, axis=0)
    twins = np.arange(40)[:, None] // 2 == np.arange(40)[None] // 2
    found = whole.leave_one_out(seen, twins, exact=exact)
    if exact:
        rest = np.delete(seen, [6, 7], axis=0)
        assert found[6] == pytest.approx(whole.fit(rest).distance(seen[[6]])[0], rel=1e-4)
    unaware = whole.leave_one_out(seen, _no_twins(40), exact=exact)
    assert np.median(found) > 1.02 * np.median(unaware)


def test_where_all_are_twins_only_the_part_itself_is_left_out() -> None:
    seen = _seen(8)
    found = whole.leave_one_out(seen, np.ones((8, 8), np.bool_), exact=True)
    np.testing.assert_allclose(found, whole.leave_one_out(seen, _no_twins(8), exact=True))


def test_a_feature_that_never_varies_does_no_harm() -> None:
    seen = np.concatenate([_seen(30), np.full((30, 1), 3, np.float32)], axis=1)
    found = whole.leave_one_out(seen, _no_twins(30), exact=True)
    assert np.isfinite(found).all()
    assert found.max() < 10
