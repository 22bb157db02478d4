"""Outputs: where verdicts go. One file each.

The contract: `emit` is on the path of a part, so it hands the verdict on and returns at once; what
is slow (a network, a PLC that does not answer) happens on a thread of the output's own.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from edge_agent.decision.automation import Automation
from edge_agent.decision.verdict import Cause, Verdict


class VerdictMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A verdict on its way out.

    Attributes:
        station: Where.
        part: Which part.
        sequence: The camera's frame number.
        verdict: What was said.
        automation: The degree of automation in force.
        proposed: What the model proposes, where it differs and may be said (`assist` and above).
        scores: By stage; higher is worse. None where the model is silent (`human`).
        causes: Why, where the scores do not say it.
        time: Wall time of capture, ISO 8601, UTC.
        record: Number of its record in the spool; 0 when it could not be kept.
    """

    station: str
    part: str
    sequence: int
    verdict: Verdict
    automation: Automation = Automation.FULL
    proposed: Verdict | None = None
    scores: dict[str, float] = {}
    causes: tuple[Cause, ...] = ()
    time: str
    record: int = 0


class Output(Protocol):
    """One place where verdicts go."""

    def emit(self, message: VerdictMessage) -> None:
        """Hand a verdict on; never blocks, never raises."""
