"""The rule that makes a verdict of a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """What is said of a part. `INVALID` is never counted as `OK`."""

    OK = "ok"
    NG = "ng"
    REVIEW = "review"
    INVALID = "invalid"


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where scores become verdicts.

    Attributes:
        review: From this score on a person decides.
        ng: From this score on the part is rejected.
    """

    review: float
    ng: float

    def __post_init__(self) -> None:
        """Refuse thresholds that are out of order."""
        if not 0.0 < self.review <= self.ng < math.inf:
            raise ValueError(f"thresholds: 0 < review ({self.review}) <= ng ({self.ng}) must hold")


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
