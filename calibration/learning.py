"""The learning curve: would more good parts help?

A head is fitted to a quarter and to half of the parts and scores the others; of all parts, each is
scored by a fit without it. Where the scores of good parts still fall from half to all, thresholds
would fall with more parts, and smaller defects would be seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration import anomaly, figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.anomaly import Material, Unseen
    from calibration.projection import Floats

_LEVEL = 0.95
_FALLS = 0.03
_RISES = 0.01
_DRAWS = 3
_FRESH, _FRESH_MOST = 3, 100


class Point(msgspec.Struct, frozen=True):
    """How good parts score with so many of them to learn from.

    Attributes:
        parts: Fitted to.
        level: 95 % of good parts that were not fitted on score below it.
        auroc: Against known bad parts; NaN where there are none.
    """

    parts: int
    level: float
    auroc: float


def curve(
    material: Material, unseen: Unseen, *, bad: Floats | None, dims: int, seed: int
) -> list[Point]:
    """Measure the learning curve at a quarter, half and all of the parts.

    What distances count is what it is with all parts: that good parts come to lie nearer to what
    is known of them is what more parts are good for.

    Args:
        material: The good parts.
        unseen: What they look like, each by a fit without it.
        bad: float32 (parts, cells, channels) of known bad parts.
        dims: Of the head.
        seed: Of which parts are taken.
    """
    parts, top = len(material.features), anomaly.top_of(material.features.shape[1])
    weights = unseen.weights()
    points = []
    for share in (4, 2):
        count = parts // share
        if count < anomaly.MIN_PARTS:
            continue
        drawn = []
        for draw in range(_DRAWS):
            order = np.random.default_rng([seed, draw]).permutation(parts)
            mine = material.subset(order[:count])
            head = anomaly.fit(mine, weights, dims=dims, seed=seed)
            twin = np.asarray(material.twins[order[count:]][:, order[:count]].any(axis=1))
            others = order[count:][~twin] if len(twin) - twin.sum() >= _FRESH else order[count:]
            others = others[:_FRESH_MOST]
            good = anomaly.scores(head.map(material.features[others]), top)
            worse = None if bad is None else anomaly.scores(head.map(bad), top)
            drawn.append(_values(good, worse))
        level, area = np.mean(drawn, axis=0).tolist()
        points.append(Point(count, level, area))
    worse = None
    if bad is not None:
        head = anomaly.fit(material, weights, dims=dims, seed=seed)
        worse = anomaly.scores(head.map(bad), top)
    return [*points, Point(parts, *_values(unseen.scores(), worse))]


def advice(points: Sequence[Point]) -> str:
    """Say in one sentence whether more good parts would help."""
    if len(points) < 2:
        return (
            f"{points[-1].parts} good parts are too few to tell whether more would help: they "
            "nearly always do; 20 are good, 100 and more are better."
        )
    half, full = points[-2:]
    falls = max(0.0, 1 - full.level / half.level)
    better = full.auroc - half.auroc
    step = f"from {half.parts} to {full.parts} parts the scores of good parts fell by {falls:.0%}"
    if falls > _FALLS or better > _RISES:
        return f"More good parts would help: {step}; take them from other days and lots."
    seen = step if falls > 0 else "no gain was seen"
    return f"More good parts like these would change little: {seen}."


def _values(good: Floats, bad: Floats | None) -> tuple[float, float]:
    area = float("nan") if bad is None else figures.auroc(good, bad)
    return float(np.quantile(good, _LEVEL)), area
