"""The watch over light and camera: each frame against the frozen baseline."""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

from edge_agent.camera.frame import Image
from edge_agent.lighting.baseline import Baseline
from edge_agent.lighting.statistics import COLUMNS, ROWS, SCALARS, Statistics, measure

WARNING = 0.7
"""From this share of a limit on the light is near it."""

_LOCAL_CELLS = 3
"""So many cells of the grid may be out for the part's own reasons."""

_ALONE = 3.0
"""How much less a cell that is out alone counts."""

_WHERE_ROWS = ("top", "top", "bottom", "bottom")
_WHERE_COLUMNS = ("left", "left", "centre", "centre", "right", "right")


class LightLevel(StrEnum):
    """How the light stands against the baseline."""

    NORMAL = "normal"
    WARNING = "warning"
    DRIFTED = "drifted"
    INVALID = "invalid"


class LightCause(msgspec.Struct, frozen=True):
    """One thing that is wrong with light or camera.

    Attributes:
        kind: `brightness`, `gradient`, `ambient`, `color`, `exposure` or `defocus`.
        size: How much, signed, in `unit`.
        unit: Of `size`.
        where: In the image, in words; empty if everywhere.
        confidence: From 0 to 1.
        text: All of it in plain words.
    """

    kind: str
    size: float
    unit: str
    where: str
    confidence: float
    text: str


class LightState(msgspec.Struct, frozen=True):
    """What the watch says of one frame."""

    level: LightLevel
    causes: tuple[LightCause, ...]
    statistics: Statistics
    excess: float
    """The largest distance from the baseline, in limits: above 1 is outside."""


class LightWatch:
    """Watch the light of one station. Not thread-safe: one watch, one thread."""

    def __init__(self, baseline: Baseline) -> None:
        self.baseline = baseline

    def update(self, image: Image) -> LightState:
        """Measure a frame and say how it stands against the baseline.

        Args:
            image: HxWx3 BGR or HxW grey, uint8, at least 8 pixels a side.
        """
        seen = measure(image, self.baseline.spots)
        excess = {name: self.baseline.limits[name].excess(getattr(seen, name)) for name in SCALARS}
        cells = [
            limit.excess(value)
            for limit, value in zip(self.baseline.grid, seen.grid.tolist(), strict=True)
        ]
        worst = _worst(cells)
        largest = max(worst, *excess.values())
        if largest <= WARNING:
            return LightState(LightLevel.NORMAL, (), seen, largest)
        if largest <= 1.0:
            return LightState(LightLevel.WARNING, (), seen, largest)
        causes = _diagnose(self.baseline, seen, excess, _cell(cells) if worst > 1.0 else None)
        return LightState(LightLevel.INVALID, causes, seen, largest)


def _worst(cells: list[float]) -> float:
    """Return how far outside the grid lies, in limits.

    That is where its fourth worst cell lies: a hole, a stain or a missing piece of the part changes
    up to three cells of 24, and then the part is bad, not the light; a lamp, a shadow or a moved
    camera changes more. The worst cell alone counts a third.
    """
    ordered = sorted(cells)
    return max(ordered[-_LOCAL_CELLS - 1], ordered[-1] / _ALONE)


def _cell(cells: list[float]) -> int:
    return cells.index(max(cells))


def _diagnose(
    baseline: Baseline, seen: Statistics, excess: dict[str, float], cell: int | None
) -> tuple[LightCause, ...]:
    """Name what is outside, the likeliest reason first."""
    causes: list[LightCause] = []
    change = seen.level / max(baseline.limits["level"].centre, 1e-6) - 1.0
    if excess["level"] > 1.0:
        word = "above" if change > 0 else "below"
        text = f"light {abs(change):.0%} {word} the baseline: check lamps and exposure"
        causes.append(_cause("brightness", 100 * change, "%", "", text))
        if abs(change) > 0.5:  # in the dark or in glare, the other figures mean nothing
            return tuple(causes)
    if cell is not None:
        causes.append(_gradient(baseline, seen, cell))
    if excess["warmth"] > 1.0:
        ratio = math.exp(seen.warmth - baseline.limits["warmth"].centre) - 1.0
        word = "warmer" if ratio > 0 else "colder"
        text = f"light {abs(ratio):.0%} {word} (red to blue): check lamps and white balance"
        causes.append(_cause("color", 100 * ratio, "%", "", text))
    if excess["sharpness"] > 1.0 and seen.sharpness < baseline.limits["sharpness"].centre:
        loss = 1.0 - math.exp(0.5 * (seen.sharpness - baseline.limits["sharpness"].centre))
        text = f"image {loss:.0%} less sharp: check focus, and clean the lens"
        causes.append(_cause("defocus", -100 * loss, "%", "", text))
    for name, word in (("clipped_bright", "saturated"), ("clipped_dark", "black")):
        if excess[name] > 1.0 and getattr(seen, name) > baseline.limits[name].centre:
            share = getattr(seen, name)
            text = f"{share:.0%} of the image is {word}: check exposure and gain"
            causes.append(_cause("exposure", 100 * share, "%", "", text))
    if not causes:
        name = max(excess, key=lambda key: excess[key])
        text = f"{name} is {excess[name]:.1f} times its limit from the baseline: look at the image"
        causes.append(_cause("ambient", excess[name], "limits", "", text))
    return tuple(causes)


def _gradient(baseline: Baseline, seen: Statistics, cell: int) -> LightCause:
    change = float(seen.grid[cell]) / max(baseline.grid[cell].centre, 1e-6) - 1.0
    row, column = divmod(cell, COLUMNS)
    where = f"{_WHERE_ROWS[row * len(_WHERE_ROWS) // ROWS]} {_WHERE_COLUMNS[column]}"
    word = "brighter" if change > 0 else "darker"
    remedy = "check the lamp on that side, and that nothing moved"
    text = f"{where} is {abs(change):.0%} {word} against the rest: {remedy}"
    return _cause("gradient", 100 * change, "%", where, text)


def _cause(kind: str, size: float, unit: str, where: str, text: str) -> LightCause:
    return LightCause(kind, round(size, 1), unit, where, 1.0, text)
