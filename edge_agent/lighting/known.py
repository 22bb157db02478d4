"""Which causes are known: named when several frames agree, held until they are well past.

Invariants:
    - A cause, once named, stays until its figures have been well inside their limits for a while.
    - What a known cause explains is not named beside it.
"""

from __future__ import annotations

import time

import numpy as np

from edge_agent.lighting.charts import Charts
from edge_agent.lighting.diagnosis import HIDES, REMEDIES, SHOWN_BY, Finding
from edge_agent.lighting.state import LightCause

_AFTER = {"product": 85, "flicker": 5, "exposure": 4, "frozen": 1}
"""Frames that must agree on a cause before it is named; others less."""

_AFTER_OTHERS, _AFTER_LOST = 3, 30
_FADING_FRAMES, _CLEAR_FRAMES, _CLEAR_FROZEN = 15, 40, 12
_OVERRULES = frozenset({"frozen", "camera_moved", "defocus", "gradient", "ambient"})
"""Causes that, once named, take back what was named in their place."""

_BY_PLACE = frozenset({"ambient", "dirt"})


class KnownCauses:
    """The causes that stand."""

    def __init__(self) -> None:
        self._runs: dict[str, int] = {}
        self._onset: dict[str, int] = {}
        self._causes: dict[str, LightCause] = {}
        self._quiet: dict[str, int] = {}

    @property
    def all(self) -> dict[str, LightCause]:
        """By kind, in the order in which they were named."""
        return self._causes

    @property
    def is_fading(self) -> bool:
        """Whether the figures of all of them have come back."""
        return all(quiet >= _FADING_FRAMES for quiet in self._quiet.values())

    def update(
        self, findings: tuple[Finding, ...], charts: Charts, at_ns: int, *, has_place: bool
    ) -> None:
        """Name what has been found often enough; let go of what is long past.

        Args:
            findings: What this frame shows.
            charts: As they are after it.
            at_ns: Its wall clock time; 0 for none.
            has_place: Whether some place still stands out.
        """
        seen = {finding.kind: finding for finding in findings}
        for kind in [kind for kind in self._runs if kind not in seen]:
            del self._runs[kind]
        for kind, finding in seen.items():
            self._count(kind, finding, at_ns)
        if not self._causes:
            return
        half = np.abs(charts.quick) > 0.5 * charts.limits.quick
        for kind in [kind for kind in self._causes if kind not in seen]:
            still = any(half[i] for i in SHOWN_BY[kind]) or (kind in _BY_PLACE and has_place)
            self._quiet[kind] = 0 if still else self._quiet[kind] + 1
            if self._quiet[kind] >= (_CLEAR_FROZEN if kind == "frozen" else _CLEAR_FRAMES):
                del self._causes[kind], self._quiet[kind]

    def _count(self, kind: str, finding: Finding, at_ns: int) -> None:
        run = self._runs[kind] = self._runs.get(kind, 0) + 1
        if run == 1 and kind not in self._causes:
            self._onset[kind] = at_ns
        after = _AFTER.get(kind, _AFTER_OTHERS) if finding.unit else _AFTER_LOST
        is_new = not any(kind in HIDES[known] for known in self._causes)
        if kind in self._causes or (run >= after and is_new):
            if kind in _OVERRULES:
                for hidden in HIDES[kind] & self._causes.keys():
                    del self._causes[hidden], self._quiet[hidden]
            self._causes[kind] = cause_of(finding, self._onset.get(kind, at_ns))
            self._quiet[kind] = 0


def cause_of(finding: Finding, since_ns: int) -> LightCause:
    """Say a finding in full: what, since when, and what to do."""
    since = ""
    if since_ns:
        since = " since " + time.strftime("%H:%M", time.localtime(since_ns / 1e9))
    return LightCause(
        kind=finding.kind,
        size=round(finding.size, 2),
        unit=finding.unit or "px",
        where=finding.where,
        confidence=round(min(0.99, 0.6 + 0.13 * min(finding.excess, 3.0)), 2),
        text=f"{finding.text}{since}: {REMEDIES[finding.kind]}",
        since_ns=since_ns,
    )
