"""The rules that make a verdict of scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from edge_agent.inspection.seen import Skip
from edge_agent.inspection.spec import Thresholds

__all__ = ["Cause", "Decision", "Thresholds", "Verdict", "judge", "judge_part", "worst_stage"]


class Verdict(StrEnum):
    """What is said of a part. `INVALID` is never counted as `OK`."""

    OK = "ok"
    NG = "ng"
    REVIEW = "review"
    INVALID = "invalid"


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a verdict is what it is, where the score alone does not say it.

    Attributes:
        kind: One word a machine may act on: `brightness`, `defocus`, `late`, `unreadable`, ...
        text: The same for people, with size and unit.
        size: How much, in `unit`; 0 where there is nothing to measure.
        unit: Of `size`.
    """

    kind: str
    text: str
    size: float = 0.0
    unit: str = ""


class Decision(msgspec.Struct, frozen=True):
    """A verdict with its causes; the causes of `ok`, `ng` and `review` are the score itself."""

    verdict: Verdict
    causes: tuple[Cause, ...] = ()


def judge(score: float | None, thresholds: Thresholds, hindrances: Sequence[Cause]) -> Decision:
    """Turn a score into a verdict.

    Args:
        score: Higher is worse; None when no model looked at the part.
        thresholds: Of the live bundle.
        hindrances: Whatever makes the part impossible to judge: bad light, a moved camera, no
            image, a late result, a fault. Any of them makes the verdict `invalid`.

    >>> judge(0.4, Thresholds(0.8, 1.0), ()).verdict
    <Verdict.OK: 'ok'>
    >>> judge(0.9, Thresholds(0.8, 1.0), ()).verdict
    <Verdict.REVIEW: 'review'>
    >>> judge(0.4, Thresholds(0.8, 1.0), [Cause("late", "took 900 ms of 500 ms")]).verdict
    <Verdict.INVALID: 'invalid'>
    """
    if hindrances:
        return Decision(Verdict.INVALID, tuple(hindrances))
    if score is None:
        return Decision(Verdict.INVALID, (Cause("no_score", "no model looked at this part"),))
    if not math.isfinite(score):
        return Decision(Verdict.INVALID, (Cause("no_score", f"the model's score is {score}"),))
    if score >= thresholds.ng:
        return Decision(Verdict.NG)
    return Decision(Verdict.REVIEW if score >= thresholds.review else Verdict.OK)


_BADNESS = (Verdict.OK, Verdict.REVIEW, Verdict.NG)


def judge_part(
    scores: Mapping[str, float],
    thresholds: Mapping[str, Thresholds],
    *,
    skipped: Mapping[str, Skip],
    hindrances: Sequence[Cause],
) -> Decision:
    """Turn the scores of a part's stages into its verdict: the worst of those that decide.

    A stage that a rule left out is content. When no stage that decides has looked, and one of them
    had no box to look at, there is no part: `invalid`.

    Args:
        scores: By stage, of those that looked.
        thresholds: By stage, of those that decide.
        skipped: Why others did not look.
        hindrances: As in `judge`.

    >>> limits = {"gap": Thresholds(0.8, 1.0), "print": Thresholds(0.4, 0.5)}
    >>> judge_part({"gap": 0.1, "print": 0.45}, limits, skipped={}, hindrances=()).verdict
    <Verdict.REVIEW: 'review'>
    """
    if hindrances:
        return Decision(Verdict.INVALID, tuple(hindrances))
    for name, score in scores.items():
        if not math.isfinite(score):
            of = f" of stage {name}" if len(scores) > 1 else ""
            return Decision(
                Verdict.INVALID, (Cause("no_score", f"the model's score{of} is {score}"),)
            )
    verdicts = [
        judge(scores[name], limits, ()).verdict
        for name, limits in thresholds.items()
        if name in scores
    ]
    if verdicts:
        return Decision(max(verdicts, key=_BADNESS.index))
    unasked = [skipped[name] for name in thresholds if name in skipped]
    if len(unasked) < len(thresholds) or not unasked:
        return Decision(Verdict.INVALID, (Cause("no_score", "no model looked at this part"),))
    for skip in unasked:
        if skip.kind == "no_box":
            return Decision(Verdict.INVALID, (Cause("no_part", f"no part in sight: {skip.text}"),))
    return Decision(Verdict.OK)


def worst_stage(scores: Mapping[str, float], thresholds: Mapping[str, Thresholds]) -> str:
    """Return the stage whose score is largest against its `ng` threshold; empty for none.

    >>> limits = {"gap": Thresholds(0.8, 1.0), "print": Thresholds(0.4, 0.5)}
    >>> worst_stage({"gap": 0.7, "print": 0.45, "where": 3.0}, limits)
    'print'
    """
    shares = {name: scores[name] / limits.ng for name, limits in thresholds.items()
              if name in scores}  # fmt: skip
    return max(shares, key=shares.__getitem__, default="")
