"""Metrics of image scores, each for many weightings of the same images at once.

A metric takes scores and weights: how often each image is counted, one row for each weighting.
All ones is the plain metric; the rows of a bootstrap give its resamples. So the figure and its
interval come from the same formula. Every row counts as many good images as there are, and as many
defective ones (the bootstrap is stratified).

Higher scores are worse. Where scores are equal, the metric assumes nothing in the model's favour,
but for the AUROC, where a tie counts one half.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]


class Scores(msgspec.Struct, frozen=True):
    """Scores of images of known truth, both in the order of the set.

    Attributes:
        good: float64, of good images.
        bad: float64, of defective images.
    """

    good: Values
    bad: Values


class Weights(msgspec.Struct, frozen=True):
    """How often each image is counted.

    Attributes:
        good: float64, rows x good images.
        bad: float64, rows x defective images.
    """

    good: Values
    bad: Values


Metric = Callable[[Scores, Weights], Values]
"""Scores and weights to one value for each row of the weights."""


def once(scores: Scores) -> Weights:
    """Count each image once: one row."""
    return Weights(np.ones((1, len(scores.good))), np.ones((1, len(scores.bad))))


def auroc(scores: Scores, weights: Weights) -> Values:
    """Return the area under the ROC curve, through ranks.

    The share of pairs of a good and a defective image in which the defective one scores higher, a
    tie counted one half: the statistic U of Mann and Whitney (1947) over the number of pairs; see
    Hanley and McNeil, Radiology 143 (1982).

    >>> scores = Scores(np.array([1.0, 2, 3]), np.array([3.0, 4]))
    >>> auroc(scores, once(scores)).round(4).tolist()
    [0.9167]
    """
    order = np.argsort(scores.good, kind="stable")
    ordered = scores.good[order]
    up_to = _cumulative(weights.good[:, order])
    below = np.searchsorted(ordered, scores.bad, side="left")
    reached = np.searchsorted(ordered, scores.bad, side="right")
    wins = (up_to[:, below] + up_to[:, reached]) / 2
    pairs = weights.good.sum(1) * weights.bad.sum(1)
    return np.asarray((weights.bad * wins).sum(1) / pairs)


def average_precision(scores: Scores, weights: Weights) -> Values:
    """Return the average precision: the mean precision over the recalls, without interpolation.

    The sum over the distinct scores, highest first, of the recall gained there times the precision
    from there on. It depends on the share of defective images; chance gives that share.

    >>> scores = Scores(np.array([1.0, 3]), np.array([2.0, 4]))
    >>> average_precision(scores, once(scores)).round(4).tolist()
    [0.8333]
    """
    everything = np.concatenate([scores.bad, scores.good])
    order = np.argsort(-everything, kind="stable")
    ordered = everything[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    hits = np.hstack([weights.bad, np.zeros_like(weights.good)])[:, order].cumsum(1)[:, last]
    of = np.hstack([weights.bad, weights.good])[:, order].cumsum(1)[:, last]
    precision = hits / np.maximum(of, 1.0)
    gained = np.diff(hits, axis=1, prepend=0.0)
    return np.asarray((gained * precision).sum(1) / weights.bad.sum(1))


def recall_at_fpr(rate: float) -> Metric:
    """Return the metric: the recall at a share of false rejects.

    The threshold comes from the evaluated good images themselves: of n of them at most
    floor(rate x n) may score above it, so it is the (floor(rate x n) + 1)-th highest good score,
    and a defective image is caught if it scores above that. With few good images (n < 1 / rate)
    not one may be rejected: the figure is then the recall at zero false rejects, and lower
    than with many.

    >>> scores = Scores(np.array([1.0, 2, 3, 9]), np.array([2.5, 3.0, 3.5, 10]))
    >>> recall_at_fpr(0.25)(scores, once(scores)).tolist()
    [0.5]
    """

    def recall(scores: Scores, weights: Weights) -> Values:
        order = np.argsort(-scores.good, kind="stable")
        allowed = np.floor(rate * len(order) + 1e-9)
        rejected = weights.good[:, order].cumsum(1)
        threshold = scores.good[order][(rejected > allowed).argmax(1)]
        return _share_above(scores.bad, weights.bad, threshold, side="right")

    return recall


def false_rejects_at_zero_escapes(scores: Scores, weights: Weights) -> Values:
    """Return the share of good images that are lost if no defective one may pass.

    The threshold is the lowest score of a defective image; who reaches it is rejected.

    >>> scores = Scores(np.array([1.0, 2, 3, 9]), np.array([3.0, 10]))
    >>> false_rejects_at_zero_escapes(scores, once(scores)).tolist()
    [0.5]
    """
    order = np.argsort(scores.bad, kind="stable")
    threshold = scores.bad[order][(weights.bad[:, order] > 0).argmax(1)]
    return _share_above(scores.good, weights.good, threshold, side="left")


def roc(scores: Scores) -> tuple[Values, Values]:
    """Return the ROC curve: false positive rates and recalls, from (0, 0) to (1, 1)."""
    cuts = np.unique(np.concatenate([scores.good, scores.bad]))[::-1]
    rates = [
        (len(each) - np.searchsorted(np.sort(each), cuts, side="left")) / len(each)
        for each in (scores.good, scores.bad)
    ]
    return np.append(0.0, rates[0]), np.append(0.0, rates[1])


def precision_recall(scores: Scores) -> tuple[Values, Values]:
    """Return recalls and precisions, from the highest threshold to the lowest."""
    false, recall = roc(scores)
    hits, wrong = recall[1:] * len(scores.bad), false[1:] * len(scores.good)
    return recall[1:], hits / (hits + wrong)


def _share_above(values: Values, weights: Values, threshold: Values, *, side: str) -> Values:
    """Return for each row the share of the weights whose value is above the row's threshold."""
    order = np.argsort(values, kind="stable")
    place = np.searchsorted(values[order], threshold, side="right" if side == "right" else "left")
    up_to = _cumulative(weights[:, order])
    below = np.take_along_axis(up_to, place[:, np.newaxis], axis=1)[:, 0]
    return np.asarray((up_to[:, -1] - below) / up_to[:, -1])


def _cumulative(weights: Values) -> Values:
    """Return the cumulative sums of each row, with a 0 before them."""
    return np.asarray(np.pad(weights, ((0, 0), (1, 0))).cumsum(1))
