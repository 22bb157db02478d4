"""Whether the light swings: flicker goes both ways, and a step does not."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from edge_agent.lighting import figures as m
from edge_agent.lighting.charts import Limits
from edge_agent.lighting.figures import Vector

_FRAMES, _NEWEST, _LEVELS = 8, 4, 12
_OFTEN, _BEATS = 4, 2


class Swings:
    """What the newest frames say of the light going up and down."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=_LEVELS)
        self._flickers: deque[bool] = deque(maxlen=_FRAMES)
        self._beats: deque[bool] = deque(maxlen=_FRAMES)

    def update(self, values: Vector, limits: Limits) -> bool:
        """Take a frame; return whether rows or level have swung in many of the newest."""
        self._levels.append(float(values[m.LEVEL] - limits.centre[m.LEVEL]))
        beats = bool(values[m.BEAT] - limits.centre[m.BEAT] > limits.band[m.BEAT])
        rows = bool(values[m.ROWS] - limits.centre[m.ROWS] > limits.band[m.ROWS])
        self._beats.append(beats)
        self._flickers.append(beats or rows)
        return sum(self._flickers) >= _OFTEN

    def go_both_ways(self, least: float) -> bool:
        """Tell whether the level both rose and fell by some per cent, more than once each."""
        levels = list(self._levels)
        steps = [after - before for before, after in pairwise(levels)]
        return min(sum(step > least for step in steps), sum(step < -least for step in steps)) >= 2

    def is_steady(self, spread: float) -> bool:
        """Tell whether the newest frames agree about the level.

        Args:
            spread: Of the level in good frames, in per cent.
        """
        if sum(self._beats) >= _BEATS:
            return False
        newest = list(self._levels)[-_NEWEST:]
        middle = abs(sum(newest) / len(newest))
        return max(newest) - min(newest) <= 0.5 * middle + 4.0 * spread
