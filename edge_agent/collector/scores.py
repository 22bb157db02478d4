"""Which score of a record counts: that of the stage that came nearest to rejecting the part.

Tolerant, as all that reads what devices wrote: what does not fit is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def worst_score(scores: Mapping[str, float], thresholds: object) -> tuple[str, float] | None:
    """Return the stage whose score is largest against its `ng` threshold, and the score.

    Without thresholds it is the largest score; None where there is no score at all.

    >>> limits = {"gap": {"review": 0.8, "ng": 1.0}, "print": {"review": 0.4, "ng": 0.5}}
    >>> worst_score({"gap": 0.7, "print": 0.45, "where": 3.0}, limits)
    ('print', 0.45)
    """
    by_stage: Mapping[str, Any] = thresholds if isinstance(thresholds, dict) else {}
    shares = {
        name: score / limits["ng"]
        for name, score in scores.items()
        if isinstance(limits := by_stage.get(name), dict)
        and isinstance(limits.get("ng"), int | float)
        and limits["ng"] > 0
    }
    counted = shares or dict(scores)
    if not counted:
        return None
    name = max(counted, key=counted.__getitem__)
    return name, scores[name]
