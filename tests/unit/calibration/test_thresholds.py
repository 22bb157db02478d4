"""Thresholds hold on fresh good parts what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.thresholds import Allowed, choose, with_bad
from edge_agent.errors import UsageError


def _scores(parts: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(0.3, 0.1, parts)).astype(np.float32)


@pytest.mark.parametrize("parts", [100, 300, 1000])
def test_fresh_good_parts_exceed_them_as_rarely_as_promised(parts: int) -> None:
    rejected, reviewed = [], []
    for seed in range(30):
        limits = choose(_scores(parts, seed), Allowed())
        fresh = _scores(20_000, 1000 + seed)
        rejected.append(float((fresh >= limits.ng).mean()))
        reviewed.append(float((fresh >= limits.review).mean()))
    promised = Allowed().by(parts)
    assert np.mean(rejected) < 1.5 * promised.false_rejects
    assert np.mean(reviewed) < 1.5 * promised.reviews


def test_few_parts_promise_no_less_than_one_in_their_number() -> None:
    assert Allowed().by(49).false_rejects == pytest.approx(1 / 50)
    assert Allowed().by(5000) == Allowed()


def test_one_odd_part_moves_them_by_far_less_than_it_lies_outside() -> None:
    plain = _scores(150, 1)
    odd = plain.copy()
    odd[0] = 10.0
    moved = choose(odd, Allowed()).ng - choose(plain, Allowed()).ng
    assert 0.0 < moved < 0.25 * (10.0 - plain.max())


def test_review_comes_before_ng() -> None:
    for parts in (5, 20, 200):
        limits = choose(_scores(parts, 2), Allowed())
        assert 0.0 < limits.review < limits.ng


def test_a_line_that_bears_more_gets_lower_thresholds() -> None:
    scores = _scores(1000, 3)
    strict = choose(scores, Allowed(false_rejects=0.002, reviews=0.01))
    easy = choose(scores, Allowed(false_rejects=0.02, reviews=0.05))
    assert easy.ng < strict.ng
    assert easy.review < strict.review


@pytest.mark.parametrize("bad", [[1.0, 1.1], [0.0, 1.0, 1.1, 1.2, 1.3], [1, 2, 3, 4, np.inf]])
def test_scores_that_cannot_be_used_are_refused(bad: list[float]) -> None:
    with pytest.raises(UsageError, match="more good parts, all above 0"):
        choose(np.array(bad, np.float32), Allowed())


@pytest.mark.parametrize(("rejects", "reviews"), [(0.0, 0.1), (0.05, 0.01), (0.1, 0.2)])
def test_shares_out_of_order_are_refused(rejects: float, reviews: float) -> None:
    with pytest.raises(UsageError, match="must hold"):
        Allowed(false_rejects=rejects, reviews=reviews)


def test_known_bad_parts_widen_the_review_band_but_leave_ng() -> None:
    scores = _scores(200, 4)
    limits = choose(scores, Allowed())
    bad = np.array([0.99 * limits.review, 2 * limits.ng], np.float32)
    wider = with_bad(limits, scores, bad)
    assert wider.ng == limits.ng
    assert wider.review < bad.min()
    assert with_bad(limits, scores, bad + limits.ng) == limits


def test_no_bad_part_sends_more_than_one_good_part_in_twenty_to_a_person() -> None:
    scores = _scores(200, 4)
    wider = with_bad(choose(scores, Allowed()), scores, np.array([0.5], np.float32))
    assert 0.0 < (scores >= wider.review).mean() <= 0.055


def test_pictures_of_the_same_parts_promise_no_more_than_the_parts() -> None:
    parts = _scores(40, 5)
    pictures = np.repeat(parts, 5)
    told, untold = choose(pictures, Allowed(), parts=40), choose(pictures, Allowed())
    assert untold.ng > told.ng  # two hundred would promise one in two hundred
    alone = choose(parts, Allowed())
    assert told.ng == pytest.approx(alone.ng, rel=0.03)
    assert told.review == pytest.approx(alone.review, rel=0.03)


def test_as_many_parts_as_scores_change_nothing() -> None:
    scores = _scores(60, 6)
    assert choose(scores, Allowed(), parts=60) == choose(scores, Allowed())


def test_fresh_parts_exceed_them_as_promised_where_each_was_pictured_thrice() -> None:
    rejected = []
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(1, 0.005, 180)
        pictures = (np.repeat(_scores(60, seed), 3) * noise).astype(np.float32)
        limits = choose(pictures, Allowed(), parts=60)
        rejected.append(float((_scores(20_000, 1000 + seed) >= limits.ng).mean()))
    assert np.mean(rejected) < 1.5 * Allowed().by(60).false_rejects
