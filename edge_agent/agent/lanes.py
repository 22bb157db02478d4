"""The lanes of the agent's spool: what is kept longest when the disk is full.

Over its quota the spool drops the oldest batches of the last lane first. What other stages will
keep takes its place by the order of promise 5: evidence of ok parts last of all, other evidence
before it, lighting samples beside health. The shares are of `uplink.budget_bytes_per_hour`: what is
kept longest may use most of it, and evidence will have 0.5.
"""

from __future__ import annotations

from edge_agent.decision.verdict import Verdict
from edge_agent.spool.lanes import Lane

ALARMS = "alarms"
NG = "ng"
OK = "ok"
HEALTH = "health"

LANES = (
    Lane(ALARMS, "alarms", urgent=True),
    Lane(NG, "inspections"),
    Lane(OK, "inspections", share=0.9),
    Lane(HEALTH, "health", share=0.75),
)
"""The most important first: eviction begins with the last."""


def lane_of(verdict: Verdict) -> str:
    """Return the lane of a part's record: whatever is not `ok` is kept as long as `ng`.

    >>> lane_of(Verdict.OK), lane_of(Verdict.REVIEW), lane_of(Verdict.INVALID)
    ('ok', 'ng', 'ng')
    """
    return OK if verdict is Verdict.OK else NG
