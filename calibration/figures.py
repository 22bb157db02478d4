"""Figures: what a model's scores on parts of known truth say of it, with their uncertainty."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.projection import Floats
    from edge_agent.camera.frame import Truth

_Z = 1.959964  # 95 %, two-sided


class Share(msgspec.Struct, frozen=True):
    """So many of so many."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.hits / self.of if self.of else math.nan

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval after Wilson (1927), which holds at 0 and at 1 too.

        >>> low, high = Share(0, 1000).interval()
        >>> round(low, 4), round(high, 4)
        (0.0, 0.0038)
        """
        if not self.of:
            return 0.0, 1.0
        share, spread = self.hits / self.of, _Z * _Z / self.of
        middle = share + spread / 2
        reach = math.sqrt(spread * (share * (1 - share) + spread / 4))
        return (
            max(0.0, (middle - reach) / (1 + spread)),
            min(1.0, (middle + reach) / (1 + spread)),
        )


class Trial(msgspec.Struct, frozen=True):
    """How a model did on parts of known truth that it was not fitted on.

    Attributes:
        about: What parts these were, one sentence.
        good: float32: scores of good parts.
        bad: float32: scores of defective parts.
        truths: What is wrong with each defective part.
        engines_differ: Largest difference of a score between engines; 0 where there is but one.
    """

    about: str
    good: Floats
    bad: Floats
    truths: tuple[Truth, ...]
    engines_differ: float = 0.0


class Missed(msgspec.Struct, frozen=True):
    """A defective part that came out too well."""

    score: float
    truth: Truth


def auroc(good: Floats, bad: Floats) -> float:
    """Return the share of pairs of a good and a bad part in which the bad one scores higher.

    >>> auroc(np.array([1, 2, 3], np.float32), np.array([3, 4], np.float32))
    0.9166666666666666
    """
    ordered = np.sort(good)
    below = np.searchsorted(ordered, bad, side="left")
    ties = np.searchsorted(ordered, bad, side="right") - below
    return float((below + ties / 2).mean() / len(ordered))


def auroc_interval(good: Floats, bad: Floats) -> tuple[float, float]:
    """Return the 95 % interval of the AUROC after Hanley and McNeil (1982)."""
    area = auroc(good, bad)
    one, two = area / (2 - area), 2 * area * area / (1 + area)
    variance = area * (1 - area) + (len(bad) - 1) * (one - area * area)
    variance = (variance + (len(good) - 1) * (two - area * area)) / (len(good) * len(bad))
    reach = _Z * math.sqrt(max(variance, 0.0))
    return max(0.0, area - reach), min(1.0, area + reach)


def share_from(scores: Floats, threshold: float) -> Share:
    """Return how many scores reach a threshold."""
    return Share(int((scores >= threshold).sum()), len(scores))


def missed(scores: Floats, truths: Sequence[Truth], threshold: float) -> list[Missed]:
    """Return the defective parts below a threshold, largest defect first."""
    below = [
        Missed(float(score), truth)
        for score, truth in zip(scores, truths, strict=True)
        if score < threshold
    ]
    return sorted(below, key=lambda miss: -miss.truth.size_px)


def named_size(misses: Sequence[Missed]) -> int:
    """Return the size that a card names: half as much again as the largest miss, to whole 4 pixels.

    The largest miss of one draw of parts is not the largest of all draws.
    """
    return 4 * math.ceil(1.5 * max((miss.truth.size_px for miss in misses), default=0.0) / 4)
