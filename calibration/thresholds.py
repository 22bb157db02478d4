"""Choose thresholds from the scores of good parts, all of them out of sample.

Invariants:
    - n good parts never promise fewer false rejects than one in n.
    - One odd part moves a threshold by far less than it lies outside.

The second is why the largest score is not the threshold: above their upper fifth the scores are
taken to fall off like an exponential, and the threshold is read off that tail (peaks over
threshold with shape 0; Coles, "An Introduction to Statistical Modeling of Extreme Values", 2001,
section 4.3), with its predictive quantile, so that the promise holds for few parts too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from calibration.projection import Floats

_TAIL = 0.2
_MIN_TAIL = 3
_MOST = 0.1
_MOST_REVIEWS = 0.05
_BELOW = 0.98


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What share of good parts a line can bear to lose.

    Attributes:
        false_rejects: May come out `ng`.
        reviews: May come out `review` or `ng`.
    """

    false_rejects: float = 0.003
    reviews: float = 0.01

    def __post_init__(self) -> None:
        """Refuse shares that are out of order."""
        if not 0.0 < self.false_rejects <= self.reviews < _MOST:
            raise UsageError(
                f"false rejects {self.false_rejects:g}, reviews {self.reviews:g}: "
                f"0 < false rejects <= reviews < {_MOST:g} must hold"
            )

    def by(self, parts: int) -> Allowed:
        """Return what so many good parts can promise at best."""
        return Allowed(
            false_rejects=min(max(self.false_rejects, 1.0 / (parts + 1)), 0.9 * _MOST),
            reviews=min(max(self.reviews, 2.5 / (parts + 1)), 0.95 * _MOST),
        )


def choose(out_of_sample: Floats, allowed: Allowed, *, parts: int | None = None) -> Thresholds:
    """Choose thresholds that good parts exceed no more often than allowed.

    Args:
        out_of_sample: float32 (parts,): scores of good parts by heads that did not see them.
        allowed: What may be lost; raised to what so many parts can promise (`Allowed.by`).
        parts: How many different parts these are, where some were photographed more than once;
            pictures of one part say the same thing twice.

    Raises:
        UsageError: The scores are too few, or not those of good parts that differ.
    """
    scores = np.sort(np.asarray(out_of_sample, np.float64))
    if scores.size <= _MIN_TAIL or not scores[0] > 0.0 or not math.isfinite(scores[-1]):
        raise UsageError("thresholds need the scores of more good parts, all above 0")
    parts = scores.size if parts is None else parts
    allowed = allowed.by(parts)
    tail = max(_MIN_TAIL, round(_TAIL * scores.size))
    start = float(scores[-tail - 1])
    excess = max(float(np.mean(scores[-tail:])) - start, 1e-3 * start)
    share = tail / scores.size
    told = max(_MIN_TAIL, round(tail * parts / scores.size))
    review = start + excess * _reach(share / allowed.reviews, told)
    reject = start + excess * _reach(share / allowed.false_rejects, told)
    return Thresholds(review=round(review, 4), ng=round(max(reject, 1.001 * review), 4))


def with_bad(good: Thresholds, out_of_sample: Floats, bad: Floats) -> Thresholds:
    """Widen the review band towards known bad parts, as far as good parts allow.

    `ng` stays where good parts put it. `review` falls below the lowest-scoring known bad part, but
    no further than to where one good part in twenty would need a person.

    Args:
        good: What `choose` made of the good parts alone.
        out_of_sample: float32 (parts,): scores of good parts by heads that did not see them.
        bad: float32 (parts,): scores of known bad parts.
    """
    floor = float(np.quantile(out_of_sample, 1.0 - _MOST_REVIEWS, method="higher"))
    wanted = max(floor, _BELOW * float(bad.min()))
    return Thresholds(review=round(min(good.review, wanted), 4), ng=good.ng)


def _reach(rarity: float, count: int) -> float:
    """Return how many mean excesses beyond the start of the tail a fresh score so rare lies.

    For an exponential whose mean is estimated from `count` excesses: P(X > x) = (1 + x / k)^-k,
    which tends to exp(-x).
    """
    return float(count * (rarity ** (1.0 / count) - 1.0))
