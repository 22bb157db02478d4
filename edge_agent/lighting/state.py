"""What the watch says of a frame."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class LightLevel(StrEnum):
    """How the light stands against the baseline."""

    NORMAL = "normal"
    WARNING = "warning"
    DRIFTED = "drifted"
    INVALID = "invalid"


class LightCause(msgspec.Struct, frozen=True):
    """One thing that is wrong with light or camera.

    Attributes:
        kind: `brightness`, `gradient`, `ambient`, `color`, `exposure`, `flicker`, `defocus`,
            `dirt`, `camera_moved`, `frozen` or `product`.
        size: How much, signed, in `unit`.
        unit: Of `size`.
        where: In the image, in words; empty if everywhere.
        confidence: From 0 to 1.
        text: All of it in plain words, and what to do.
        since_ns: Wall clock of the first frame that showed it; 0 where no time was given.
    """

    kind: str
    size: float
    unit: str
    where: str
    confidence: float
    text: str
    since_ns: int = 0


class LightState(msgspec.Struct, frozen=True):
    """What the watch says of one frame.

    Attributes:
        level: How the light stands.
        causes: What is wrong, the likeliest first.
        statistics: The frame's figures by name; see `edge_agent.lighting.meter`.
        excess: The largest distance from the baseline, in hard limits: above 1 cannot be judged.
    """

    level: LightLevel
    causes: tuple[LightCause, ...]
    statistics: dict[str, float]
    excess: float
