"""Metrics against values worked out by hand, and against slow, plain forms of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.evaluation.metrics import (
    Metric,
    Scores,
    Weights,
    auroc,
    average_precision,
    false_rejects_at_zero_escapes,
    once,
    precision_recall,
    recall_at_fpr,
    roc,
)

# Few different values, so that ties are common.
_SCORES = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=12)


def _of(good: list[float], bad: list[float]) -> Scores:
    return Scores(np.array(good), np.array(bad))


def _value(metric: Metric, good: list[float], bad: list[float]) -> float:
    scores = _of(good, bad)
    return float(metric(scores, once(scores))[0])


def _plain_auroc(good: list[float], bad: list[float]) -> float:
    wins = [1.0 if worse > better else 0.5 * (worse == better) for worse in bad for better in good]
    return sum(wins) / len(wins)


def _plain_average_precision(good: list[float], bad: list[float]) -> float:
    area, recall_before = 0.0, 0.0
    for threshold in sorted({*good, *bad}, reverse=True):
        hits = sum(score >= threshold for score in bad)
        false = sum(score >= threshold for score in good)
        recall = hits / len(bad)
        area += (recall - recall_before) * hits / (hits + false)
        recall_before = recall
    return area


def _plain_recall(good: list[float], bad: list[float], rate: float) -> float:
    best = 0.0
    for threshold in [*good, *bad, -1.0]:
        rejected = sum(score > threshold for score in good)
        if rejected <= rate * len(good) + 1e-9 and threshold in good:
            best = max(best, sum(score > threshold for score in bad) / len(bad))
    return best


@given(good=_SCORES, bad=_SCORES)
def test_auroc_is_the_share_of_pairs_in_order(good: list[float], bad: list[float]) -> None:
    assert _value(auroc, good, bad) == pytest.approx(_plain_auroc(good, bad))


@given(good=_SCORES, bad=_SCORES)
def test_average_precision_is_the_sum_over_thresholds(good: list[float], bad: list[float]) -> None:
    found = _value(average_precision, good, bad)
    assert found == pytest.approx(_plain_average_precision(good, bad))


@given(good=_SCORES, bad=_SCORES, rate=st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5]))
def test_recall_is_the_best_that_the_good_images_allow(
    good: list[float], bad: list[float], rate: float
) -> None:
    assert _value(recall_at_fpr(rate), good, bad) == pytest.approx(_plain_recall(good, bad, rate))


@given(good=_SCORES, bad=_SCORES)
def test_false_rejects_at_zero_escapes_counts_who_reaches_the_lowest(
    good: list[float], bad: list[float]
) -> None:
    plain = sum(score >= min(bad) for score in good) / len(good)
    assert _value(false_rejects_at_zero_escapes, good, bad) == pytest.approx(plain)


_ALL: tuple[Metric, ...] = (
    auroc,
    average_precision,
    recall_at_fpr(0.1),
    false_rejects_at_zero_escapes,
)


@settings(max_examples=40)
@given(good=_SCORES, bad=_SCORES, seed=st.integers(0, 1000))
def test_weights_count_like_images_repeated(good: list[float], bad: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(each), len(each)) for each in (good, bad)]
    counts = [
        np.bincount(each, minlength=len(of)).astype(np.float64)[np.newaxis]
        for each, of in zip(drawn, (good, bad), strict=True)
    ]
    scores = _of(good, bad)
    repeated = Scores(scores.good[drawn[0]], scores.bad[drawn[1]])
    for metric in _ALL:
        weighted = metric(scores, Weights(counts[0], counts[1]))
        assert weighted[0] == pytest.approx(metric(repeated, once(repeated))[0])


def test_values_worked_out_by_hand() -> None:
    # 4 pairs: 2 > 1, 4 > 1, 2 < 3, 4 > 3.
    assert _value(auroc, [1, 3], [2, 4]) == 0.75
    # Highest first: bad (1 of 1), good, bad (2 of 3): half of 1 plus half of 2/3.
    assert _value(average_precision, [1, 3], [2, 4]) == pytest.approx(5 / 6)
    # 100 good ones from 1 to 100: at 1 % one may be rejected, so the threshold is 99.
    good = [float(score) for score in range(1, 101)]
    assert _value(recall_at_fpr(0.01), good, [98.5, 99.0, 99.5, 100.5]) == 0.5
    assert _value(false_rejects_at_zero_escapes, good, [99.0, 200.0]) == pytest.approx(0.02)


def test_few_good_images_allow_no_false_reject() -> None:
    good = [float(score) for score in range(20)]
    for rate in (0.005, 0.01, 0.0499):
        assert _value(recall_at_fpr(rate), good, [18.5, 19.0, 19.5]) == pytest.approx(1 / 3)
    assert _value(recall_at_fpr(0.05), good, [18.5, 19.0, 19.5]) == 1.0


@given(good=_SCORES, bad=_SCORES)
def test_the_curve_encloses_the_auroc(good: list[float], bad: list[float]) -> None:
    rates, recalls = roc(_of(good, bad))
    assert (rates[0], recalls[0], rates[-1], recalls[-1]) == (0.0, 0.0, 1.0, 1.0)
    area = float(np.trapezoid(recalls, rates))
    assert area == pytest.approx(_plain_auroc(good, bad))


@given(good=_SCORES, bad=_SCORES)
def test_the_precision_recall_curve_holds_the_average_precision(
    good: list[float], bad: list[float]
) -> None:
    recalls, precisions = precision_recall(_of(good, bad))
    area = float((np.diff(recalls, prepend=0.0) * precisions).sum())
    assert area == pytest.approx(_plain_average_precision(good, bad))
