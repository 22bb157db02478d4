"""Degrees of automation: what becomes of the model's verdict before it leaves the station.

Invariants:
    - `invalid` stays `invalid`: no degree makes a part that cannot be judged into anything else.
    - Below `partial` the model decides nothing: every part that can be judged is a person's.
    - A lower degree never lets more of the model's verdicts through than a higher one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from edge_agent.decision.verdict import Thresholds, Verdict


class Automation(StrEnum):
    """Who decides at a station, from people alone to the model alone.

    `HUMAN`: the model is silent: its scores and its proposal are kept in the record and said to
    nobody. `SHADOW`: people decide; the scores are shown live. `ASSIST`: people decide; the
    model's proposal is shown too. `PARTIAL`: the model decides the clear ones, people the rest.
    `FULL`: the model's verdict is the station's.
    """

    HUMAN = "human"
    SHADOW = "shadow"
    ASSIST = "assist"
    PARTIAL = "partial"
    FULL = "full"


_DEGREES = tuple(Automation)


class Clearness(StrEnum):
    """Whether a verdict would be the same if the scores were a little different."""

    CLEAR = "clear"
    NEAR = "near"


_A, _V, _C = Automation, Verdict, Clearness
_PEOPLE = (_A.HUMAN, _A.SHADOW, _A.ASSIST)

TABLE: dict[tuple[Automation, Verdict, Clearness], Verdict] = {
    **{(degree, verdict, clear): _V.REVIEW
       for degree in _PEOPLE for verdict in (_V.OK, _V.REVIEW, _V.NG) for clear in _C},
    **{(degree, _V.INVALID, clear): _V.INVALID for degree in _A for clear in _C},
    (_A.PARTIAL, _V.OK,     _C.CLEAR): _V.OK,
    (_A.PARTIAL, _V.OK,     _C.NEAR):  _V.REVIEW,
    (_A.PARTIAL, _V.REVIEW, _C.CLEAR): _V.REVIEW,
    (_A.PARTIAL, _V.REVIEW, _C.NEAR):  _V.REVIEW,
    (_A.PARTIAL, _V.NG,     _C.CLEAR): _V.NG,
    (_A.PARTIAL, _V.NG,     _C.NEAR):  _V.REVIEW,
    (_A.FULL,    _V.OK,     _C.CLEAR): _V.OK,
    (_A.FULL,    _V.OK,     _C.NEAR):  _V.OK,
    (_A.FULL,    _V.REVIEW, _C.CLEAR): _V.REVIEW,
    (_A.FULL,    _V.REVIEW, _C.NEAR):  _V.REVIEW,
    (_A.FULL,    _V.NG,     _C.CLEAR): _V.NG,
    (_A.FULL,    _V.NG,     _C.NEAR):  _V.NG,
}  # fmt: skip
"""What the station says, by degree, the model's verdict, and whether that is clear."""


class Settled(msgspec.Struct, frozen=True):
    """What the station says of a part, and who had a say in it.

    Attributes:
        verdict: What leaves the station.
        automation: The degree in force.
        proposed: What the model alone would have said, where that differs; None where not.
    """

    verdict: Verdict
    automation: Automation
    proposed: Verdict | None = None


def settle(degree: Automation, judged: Verdict, clear: Clearness) -> Settled:
    """Make the station's verdict of the model's.

    >>> settle(Automation.PARTIAL, Verdict.NG, Clearness.NEAR).verdict
    <Verdict.REVIEW: 'review'>
    >>> settle(Automation.ASSIST, Verdict.OK, Clearness.CLEAR).proposed
    <Verdict.OK: 'ok'>
    """
    verdict = TABLE[degree, judged, clear]
    return Settled(verdict, degree, judged if verdict is not judged else None)


def in_force(configured: Automation, down_to: Automation | None, *, drifted: bool) -> Automation:
    """Return the degree in force: while the light is drifted a station may step down, never up.

    Args:
        configured: The station's degree.
        down_to: Where it steps down to; None stays.
        drifted: Whether light or camera have drifted.

    >>> in_force(Automation.FULL, Automation.ASSIST, drifted=True)
    <Automation.ASSIST: 'assist'>
    >>> in_force(Automation.SHADOW, Automation.ASSIST, drifted=True)
    <Automation.SHADOW: 'shadow'>
    """
    if not drifted or down_to is None:
        return configured
    return min(configured, down_to, key=_DEGREES.index)


def clearness(
    scores: Mapping[str, float], thresholds: Mapping[str, Thresholds], *, margin: float
) -> Clearness:
    """Tell whether scores are clear of the thresholds.

    A part is clear where its verdict stays with every threshold moved by the margin, up or down:
    `ok` with all stages well below `review`, `ng` with one of them well above `ng`.

    Args:
        scores: By stage, of those that looked.
        thresholds: By stage, of those that decide.
        margin: As a share of the `ng` threshold.

    >>> limits = {"gap": Thresholds(0.8, 1.0)}
    >>> [str(clearness({"gap": score}, limits, margin=0.1)) for score in (0.6, 0.75, 1.05, 1.2)]
    ['clear', 'near', 'near', 'clear']
    """
    nears = []
    for name, limits in thresholds.items():
        if name not in scores:
            continue
        reach = margin * limits.ng
        if scores[name] >= limits.ng + reach:
            return Clearness.CLEAR  # whatever the others say, it is ng
        nears.append(scores[name] > limits.review - reach)
    return Clearness.NEAR if any(nears) else Clearness.CLEAR


class Degrees(msgspec.Struct, frozen=True):
    """How a station decides.

    Attributes:
        configured: Its degree.
        down_to: The degree while light or camera have drifted; None stays.
        margin: How far a clear score is from a threshold, as a share of the `ng` threshold.
    """

    configured: Automation = Automation.FULL
    down_to: Automation | None = None
    margin: float = 0.1

    def settle(
        self,
        judged: Verdict,
        scores: Mapping[str, float],
        thresholds: Mapping[str, Thresholds],
        *,
        drifted: bool,
    ) -> Settled:
        """Make the station's verdict of the model's; see `settle`."""
        degree = in_force(self.configured, self.down_to, drifted=drifted)
        return settle(degree, judged, clearness(scores, thresholds, margin=self.margin))


def may_be_said(degree: Automation, proposed: Verdict | None) -> Verdict | None:
    """Return the model's proposal where people at the line may hear of it.

    >>> may_be_said(Automation.SHADOW, Verdict.NG) is None
    True
    """
    return proposed if _DEGREES.index(degree) >= _DEGREES.index(Automation.ASSIST) else None
