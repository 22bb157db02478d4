"""Small plots as SVG, drawn by hand: a page needs no library and no script for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.learning import Point
    from calibration.projection import Floats

_WIDE, _HIGH = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 20, 20, 40
_BINS = 40
_GOOD, _BAD, _REVIEW = "#3c9a5a", "#c8372d", "#e09a00"


def histogram(good: Floats, bad: Floats, *, review: float, ng: float) -> str:
    """Draw the scores of good and bad parts, each as a share of its kind, and the thresholds.

    Scores above twice `ng` are counted in the last bar.
    """
    low = float(min(good.min(), review)) * 0.95
    high = max(ng * 1.1, min(float(max(good.max(), bad.max(initial=0.0))), 2 * ng))
    edges = np.linspace(low, high, _BINS + 1)
    shares = [
        np.histogram(np.clip(scores, low, high), edges)[0] / max(len(scores), 1)
        for scores in (good, bad)
    ]
    most = max(float(share.max()) for share in shares)
    wide = (_WIDE - _LEFT - _RIGHT) / _BINS
    lines = []
    for share, colour in zip(shares, (_GOOD, _BAD), strict=True):
        for place, value in enumerate(share.tolist()):
            if value:
                tall = value / most * (_HIGH - _TOP - _BOTTOM)
                lines.append(
                    f'<rect x="{_LEFT + place * wide:.1f}" y="{_HIGH - _BOTTOM - tall:.1f}" '
                    f'width="{wide - 1:.1f}" height="{tall:.1f}" fill="{colour}" '
                    'fill-opacity="0.6"/>'
                )
    for value, colour, text in ((review, _REVIEW, "review"), (ng, _BAD, "ng")):
        x = _LEFT + (value - low) / (high - low) * (_WIDE - _LEFT - _RIGHT)
        lines.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HIGH - _BOTTOM}" '
            f'stroke="{colour}" stroke-width="2"/>' + _text(x, _TOP - 6, text, colour)
        )
    lines += [
        _text(_LEFT + share * (_WIDE - _LEFT - _RIGHT), _HIGH - 20, f"{value:.2f}")
        for share, value in ((0.0, low), (0.5, (low + high) / 2), (1.0, high))
    ]
    kinds = f"green: {len(good)} good parts" + (f", red: {len(bad)} bad parts" if len(bad) else "")
    lines.append(_text(_WIDE / 2, _HIGH - 4, f"score ({kinds})"))
    return _svg(lines)


def curve(points: Sequence[Point]) -> str:
    """Draw the level of good scores over the number of parts, on a scale of doublings."""
    x = np.log2([point.parts for point in points])
    level = np.array([point.level for point in points])
    across = _LEFT + 60 + (x - x[0]) / (x[-1] - x[0]) * (_WIDE - _LEFT - _RIGHT - 120)
    room = max(float(np.ptp(level)), 0.05 * float(level.mean()))
    down = _TOP + 30 + (level.max() - level) / room * (_HIGH - _TOP - _BOTTOM - 50)
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
    lines = [f'<polyline points="{path}" fill="none" stroke="{_GOOD}" stroke-width="2"/>']
    for a, b, point in zip(across.tolist(), down.tolist(), points, strict=True):
        area = "" if np.isnan(point.auroc) else f", AUROC {point.auroc:.3f}"
        lines.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{_GOOD}"/>')
        lines.append(_text(a, b - 10, f"{point.level:.2f}{area}"))
        lines.append(_text(a, _HIGH - 20, str(point.parts)))
    lines.append(_text(_WIDE / 2, _HIGH - 4, "good parts fitted to (95 % of others score below)"))
    return _svg(lines)


def scatter(
    x: tuple[Floats, Floats], y: tuple[Floats, Floats], limits: tuple[float, float],
    names: tuple[str, str],
) -> str:  # fmt: skip
    """Draw the scores that two ways to run a model give to the same parts, against each other.

    Args:
        x: Scores of good and of bad parts, the one way.
        y: The same, the other way.
        limits: The `ng` threshold of each.
        names: What the two ways are.
    """
    every = np.concatenate([*x, *y])
    low, high = float(every.min()) * 0.95, float(min(every.max(), 2 * max(limits))) * 1.05
    wide, tall = _WIDE - _LEFT - _RIGHT, _HIGH - _TOP - _BOTTOM

    def place(one: float, two: float) -> tuple[float, float]:
        across, up = (min((value - low) / (high - low), 1.0) for value in (one, two))
        return _LEFT + across * wide, _HIGH - _BOTTOM - up * tall

    (x0, y0), (x1, y1) = place(low, low), place(high, high)
    lines = [f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="#bbb"/>']
    across, down = place(*limits)
    lines.append(
        f'<path d="M{across:.1f} {_TOP}V{_HIGH - _BOTTOM}M{_LEFT} {down:.1f}H{_WIDE - _RIGHT}" '
        f'stroke="{_BAD}" stroke-dasharray="4 3" fill="none"/>'
    )
    for one, two, colour in zip(x, y, (_GOOD, _BAD), strict=True):
        for a, b in zip(one.tolist(), two.tolist(), strict=True):
            cx, cy = place(a, b)
            lines.append(
                f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3" fill="{colour}" fill-opacity="0.6"/>'
            )
    lines += [
        _text(_LEFT + share * wide, _HIGH - 20, f"{low + share * (high - low):.2f}")
        for share in (0.0, 0.5, 1.0)
    ]
    lines.append(
        _text(_WIDE / 2, _HIGH - 4, f"across: score in {names[0]}, up: in {names[1]}; dashed: ng")
    )
    return _svg(lines)


def _svg(lines: Sequence[str]) -> str:
    axis = (
        f'<line x1="{_LEFT}" y1="{_HIGH - _BOTTOM}" x2="{_WIDE - _RIGHT}" y2="{_HIGH - _BOTTOM}" '
        'stroke="#888"/>'
    )
    inside = "\n".join([axis, *lines])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{_HIGH}" '
        f'viewBox="0 0 {_WIDE} {_HIGH}" font-size="12" font-family="sans-serif">{inside}</svg>'
    )


def _text(x: float, y: float, text: str, colour: str = "#444") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{colour}">{text}</text>'
