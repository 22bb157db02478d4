"""Plots as inline SVG: curves and histograms, without a plotting library or an outside file."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from calibration.evaluation.metrics import Scores, Values
    from edge_agent.decision.verdict import Thresholds

COLOURS = ("#1f5fa8", "#c2571a")
"""Of the first and the second bundle."""

_GOOD, _BAD = "#3d9a50", "#cf3b3b"
_WIDTH, _HEIGHT = 440, 330
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 14, 14, 42
_BINS = 48
_LEGEND = 0.26
_WIDE = 8.0
"""From this ratio of the largest to the least score on, the axis is logarithmic."""


class Curve(msgspec.Struct, frozen=True):
    """A line of a plot.

    Attributes:
        name: For the legend.
        x: From 0 to 1.
        y: From 0 to 1.
        band: Where it may lie: x, lower and upper y; None for no band.
    """

    name: str
    x: Values
    y: Values
    band: tuple[Values, Values, Values] | None = None


def draw_curves(curves: Sequence[Curve], *, x_name: str, y_name: str, diagonal: bool) -> str:
    """Draw curves in the unit square."""
    parts = _frame(x_name, y_name)
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        x, y = _x(tick), _y(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_y(0)}" x2="{x:.1f}" y2="{_y(1)}"/>')
        parts.append(f'<line class="grid" x1="{_x(0)}" y1="{y:.1f}" x2="{_x(1)}" y2="{y:.1f}"/>')
        parts.append(_text(x, _y(0) + 16, f"{tick:g}", "middle"))
        parts.append(_text(_LEFT - 7, y + 4, f"{tick:g}", "end"))
    if diagonal:
        parts.append(f'<line class="chance" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>')
    for number, curve in enumerate(curves):
        if curve.band:
            x_of, low, high = curve.band
            edge = zip(np.append(x_of, x_of[::-1]), np.append(low, high[::-1]), strict=True)
            outline = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in edge)
            parts.append(f'<polygon class="band" fill="{COLOURS[number]}" points="{outline}"/>')
        points = zip(curve.x.tolist(), curve.y.tolist(), strict=True)
        path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="curve" stroke="{COLOURS[number]}" points="{path}"/>')
        y = _y(0) - 14 - 18 * (len(curves) - 1 - number)
        parts.append(
            f'<line x1="{_x(_LEGEND)}" y1="{y - 4}" x2="{_x(_LEGEND) + 18}" y2="{y - 4}" '
            f'stroke="{COLOURS[number]}" stroke-width="3"/>'
        )
        parts.append(_text(_x(_LEGEND) + 24, y, curve.name, "start"))
    return _svg(parts)


def draw_histogram(scores: Scores, thresholds: Thresholds) -> str:
    """Draw how the scores of good and defective images lie against the thresholds."""
    axis = _axis(np.concatenate([scores.good, scores.bad, [thresholds.review, thresholds.ng]]))
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    counts = [
        np.histogram([axis.place(score) for score in each.tolist()], edges)[0] / len(each)
        for each in (scores.good, scores.bad)
    ]
    top = max(float(each.max()) for each in counts) * 1.12
    name = "score, logarithmic" if axis.is_log else "score"
    parts = _frame(name, "share of its images")
    for colour, shares in zip((_GOOD, _BAD), counts, strict=True):
        parts += [
            _bar(colour, left, right, share / top)
            for left, right, share in zip(edges[:-1], edges[1:], shares.tolist(), strict=True)
            if share
        ]
    parts += [
        _text(_x(axis.place(value)), _y(0) + 16, f"{value:.3g}", "middle") for value in axis.ticks()
    ]
    parts += [
        _text(_LEFT - 7, _y(share / top) + 4, f"{100 * share:.0f}%", "end")
        for share in (0.0, top / 2, top)
    ]
    parts += _limit(axis, "review", thresholds.review)
    parts += _limit(axis, "ng", thresholds.ng)
    for row, (colour, name) in enumerate(((_GOOD, "good"), (_BAD, "defective"))):
        x, y = _x(0.8), _y(1) + 48 + 18 * row
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="12" height="12" fill="{colour}" '
            'fill-opacity="0.55"/>'
        )
        parts.append(_text(x + 17, y + 11, name, "start"))
    return _svg(parts)


class _Axis(msgspec.Struct, frozen=True):
    """Where on the axis a score lies; `low` and `high` are logarithms where `is_log`."""

    low: float
    high: float
    is_log: bool

    def place(self, value: float) -> float:
        """Return the place of a score, from 0 to 1."""
        at = math.log10(value) if self.is_log else value
        share = (at - self.low) / max(self.high - self.low, 1e-9)
        return min(1.0, max(0.0, share))

    def ticks(self) -> list[float]:
        """Return the scores that are written below the axis."""
        places = [self.low + (self.high - self.low) * step / 5 for step in range(6)]
        return [10**place for place in places] if self.is_log else places


def _axis(values: Values) -> _Axis:
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > _WIDE:
        return _Axis(math.log10(low), math.log10(high), is_log=True)
    return _Axis(low, high, is_log=False)


def _bar(colour: str, left: float, right: float, height: float) -> str:
    y = _y(height)
    return (
        f'<rect x="{_x(left):.1f}" y="{y:.1f}" width="{_x(right) - _x(left):.1f}" '
        f'height="{_y(0) - y:.1f}" fill="{colour}" fill-opacity="0.55"/>'
    )


def _limit(axis: _Axis, name: str, value: float) -> Iterator[str]:
    """Draw a threshold: `review` dashed and named on its left, `ng` on its right, room given."""
    place = axis.place(value)
    x = _x(place)
    dash = ' stroke-dasharray="5 4"' if name == "review" else ""
    yield f'<line class="limit"{dash} x1="{x:.1f}" y1="{_y(0)}" x2="{x:.1f}" y2="{_y(1)}"/>'
    on_left = place > 0.2 if name == "review" else place > 0.85
    shift, anchor = (-5, "end") if on_left else (5, "start")
    row = 0 if name == "review" else 1
    yield _text(x + shift, _TOP + 14 + 15 * row, f"{name} {value:.2f}", anchor)


def _frame(x_name: str, y_name: str) -> list[str]:
    middle = (_y(0) + _y(1)) / 2
    return [
        (
            f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{_x(1) - _LEFT}" '
            f'height="{_y(0) - _TOP}"/>'
        ),
        _text((_x(0) + _x(1)) / 2, _HEIGHT - 6, x_name, "middle"),
        (
            f'<text x="13" y="{middle}" text-anchor="middle" '
            f'transform="rotate(-90 13 {middle})">{escape(y_name)}</text>'
        ),
    ]


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: list[str]) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{body}</svg>'
