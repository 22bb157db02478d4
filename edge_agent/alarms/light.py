"""Which lighting alarms stand: what the watch says of each frame, made into conditions.

Invariants:
    - One cause is one alarm, two causes are two: each kind of cause is a condition of its own.
    - A cause that the watch has confirmed (`drifted`) stands until it says so no more; frames that
      cannot be judged in between do not end it.
    - A frame beyond its hard limits (`invalid`) is no alarm alone: a hand before the lens is none.
      Three of the last ten frames out for the same cause are one, though the others are well lit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from edge_agent.alarms.catalogue import LIGHT, AlarmKind
from edge_agent.lighting import LightCause, LightLevel

_NEWEST, _BAD = 10, 3
_OTHER = "other"


class LightAlarms:
    """The conditions of one station's light. Not thread-safe."""

    def __init__(self) -> None:
        self._confirmed: dict[str, str] = {}
        self._newest: deque[dict[str, str]] = deque(maxlen=_NEWEST)

    @property
    def is_drifted(self) -> bool:
        """Whether a change of light or camera is confirmed."""
        return bool(self._confirmed)

    def update(self, level: LightLevel, causes: Sequence[LightCause]) -> dict[AlarmKind, str]:
        """Take a frame, and return the text of every condition; empty where none stands.

        Args:
            level: How the frame stands against the baseline.
            causes: What is wrong.
        """
        texts: dict[str, str] = {}
        for cause in causes:
            texts.setdefault(cause.kind if cause.kind in LIGHT else _OTHER, cause.text)
        self._newest.append(texts if level is LightLevel.INVALID else {})
        if level is LightLevel.DRIFTED:
            self._confirmed = texts
        elif level is not LightLevel.INVALID:
            self._confirmed = {}
        standing = {**self._lasting(), **self._confirmed}
        return {kind: standing.get(cause, "") for cause, kind in LIGHT.items()}

    def _lasting(self) -> dict[str, str]:
        """Return what put frames out often enough to be more than chance, as it was last said."""
        kinds = {kind for texts in self._newest for kind in texts}
        said = {kind: [texts[kind] for texts in self._newest if kind in texts] for kind in kinds}
        return {kind: texts[-1] for kind, texts in said.items() if len(texts) >= _BAD}
