"""The bootstrap: how far a figure may lie off, by drawing the images again and again.

Percentile intervals of 95 % (Efron, 1979) over images drawn with replacement, good and defective
ones each among themselves. What images of one set cannot tell, it cannot tell either: it knows
nothing of another day's parts. Where all resamples agree (a perfect figure), the width of the
interval is 0, which overstates what few images show: shares take the interval of Wilson there, and
so does the AUROC, which is the share of n disjoint pairs of a good and a defective image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration.evaluation.metrics import Scores, Values, Weights, recall_at_fpr
from calibration.figures import Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from calibration.evaluation.metrics import Metric

RESAMPLES = 1000
_TAILS = (2.5, 97.5)
_BAND_POINTS = 51
_BAND_RESAMPLES = 200
_AT_ONCE = 1_000_000
"""Weights that are in memory at once."""


class Estimate(msgspec.Struct, frozen=True, array_like=True):
    """A figure with its 95 % interval; `[value, low, high]` in JSON."""

    value: float
    low: float
    high: float


def draw(strata: tuple[int, ...], *, resamples: int, seed: int) -> Iterator[tuple[Values, ...]]:
    """Draw weights: how often each image of each stratum is in each resample.

    Args:
        strata: How many images each stratum has.
        resamples: How many resamples.
        seed: The same seed and strata give the same weights.

    Yields:
        For some of the resamples at a time, rows x images of each stratum, float64.
    """
    rng = np.random.default_rng([17, seed])
    rows = max(1, _AT_ONCE // max(1, sum(strata)))
    for begin in range(0, resamples, rows):
        count = min(rows, resamples - begin)
        yield tuple(_weights(rng, images, count) for images in strata)


def _weights(rng: np.random.Generator, images: int, rows: int) -> Values:
    drawn = rng.integers(0, images, (rows, images)) + images * np.arange(rows)[:, np.newaxis]
    counts = np.bincount(drawn.reshape(-1), minlength=rows * images)
    return counts.reshape(rows, images).astype(np.float64)


def resample(metric: Metric, scores: Scores, *, resamples: int, seed: int) -> Values:
    """Return a metric of each resample; paired over metrics and bundles of the same images."""
    strata = (len(scores.good), len(scores.bad))
    rows = draw(strata, resamples=resamples, seed=seed)
    return np.concatenate([metric(scores, Weights(good, bad)) for good, bad in rows])


def roc_band(scores: Scores, *, seed: int) -> tuple[Values, Values, Values]:
    """Return the band in which the ROC curve lies, point by point.

    Returns:
        False positive rates, and the lower and upper recall at each.
    """
    rates = np.linspace(0.0, 1.0, _BAND_POINTS)
    rows = [
        resample(recall_at_fpr(rate), scores, resamples=_BAND_RESAMPLES, seed=seed)
        for rate in rates[:-1].tolist()
    ]
    low, high = np.percentile(np.stack(rows), _TAILS, axis=1)
    return rates, np.append(low, 1.0), np.append(high, 1.0)


def interval(value: float, resampled: Values) -> Estimate:
    """Return a figure with the interval that its resamples give."""
    low, high = np.percentile(resampled, _TAILS).tolist()
    return Estimate(value, low, high)


def share(hits: int, of: int) -> Estimate | None:
    """Return a share with its interval after Wilson (1927); None of nothing."""
    if not of:
        return None
    counted = Share(hits, of)
    return Estimate(counted.value, *counted.interval())


def widened(estimate: Estimate, of: int) -> Estimate:
    """Give a share of so many whose resamples all agree the interval after Wilson (1927)."""
    if estimate.low < estimate.high:
        return estimate
    low, high = Share(round(estimate.value * of), of).interval()
    return Estimate(estimate.value, low, high)
