"""When will the light be beyond its limit? A trend in the slow story, and the day it leads to.

Lamps age by a per cent or so a year: no chart over frames sees that, since it lies below any dead
band for months. Means over hours and days do. Each window of the history (4 days, 8, 16, ...) is
cut into equal bins, and a line is laid through them by least squares, a daily cycle beside it where
the bins are short enough to show one. A line is a trend only if all of this holds:

- It is significant, and was so before the newest quarter of the data came. The memory of the
  residuals is taken into account: the variance of the slope grows by (1 + r) / (1 - r), and its
  degrees of freedom shrink by as much, r their correlation from bin to bin (Santer et al.,
  J. Geophys. Res. 105, 2000), which n residuals about a line show too low by (2 + 4 r) / n
  (Kendall, 1954; Marriott & Pope, 1954), and which is never taken for less than that of light that
  remembers six hours.
- A line fits better than one step does: a lamp that was cleaned or exchanged is no ageing.
- The newest bins lie on it: what was a trend until a repair is none.
- It has moved the light by enough to matter, and the limit is not many times farther off than the
  data reach back.

The longest window that passes speaks, as it is the surest; one that began to fall of late does not
lie on its long lines, and is seen by the shorter ones. The interval of the day is that of a line
read backwards (Fieller, 1954): where the bounds of the line, not the line, meet the limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.lighting.baseline import Baseline, Limit
from edge_agent.lighting.history import BUCKETS, WATCHED, WIDTH_S, WIDTHS, Bucket

DAY_S = 86_400.0

FALSE_Z = 4.5
"""A trend must be so many deviations off zero, by a Student's t of its few degrees of freedom."""

_INTERVAL_Z = 2.2
"""About nine of ten, on simulated stations: bins show too little of a slow lamp's memory."""

_SHORTEST_S = 3.0 * DAY_S
_FEWEST_BINS = 10
_LEAST_FREEDOM = 3.0
_MOST_MEMORY = 0.95
_USUAL_MEMORY_S = 6.0 * 3600.0
"""How long light remembers at the least: a short window cannot show it."""

_EARLIER_Z = 2.5
"""A trend was there before the newest quarter of the window: so many deviations, without it."""

_CYCLE_BINS_S = DAY_S / 3.0
_FARTHEST = 10.0
"""How many times farther than the data reach back a limit may lie."""

_LEAST_MOVE = {"blur": 0.05}
_LEAST_MOVE_ELSE = 0.25
"""Unit of the statistic; less in a window is not worth a word."""

_STRAY = 0.25
"""Share of the whole move by which the newest bins may lie off the line; the last one by twice."""

MONITORED_BY: Mapping[str, str] = {
    "level": "brightness", "slope_x": "gradient", "slope_y": "gradient", "red": "color",
    "blue": "color", "blur": "defocus",
}  # fmt: skip
"""What a statistic is watched for: where that cannot be, nothing is forecast of it."""

_WORDS: Mapping[str, tuple[str, str, str]] = {
    "level": ("%", "light", "plan to clean or replace the lamps"),
    "slope_x": ("%", "light from left to right", "plan to clean or replace the lamp of one side"),
    "slope_y": ("%", "light from top to bottom", "plan to clean or replace the lamp of one side"),
    "red": ("%", "red in the light", "plan to replace the lamps together"),
    "blue": ("%", "blue in the light", "plan to replace the lamps together"),
    "blur": ("px²", "blur", "plan to clean the lens and check its lock"),
}
_BOTH = {"slope_x": ("left", "right"), "slope_y": ("top", "bottom")}

Vector = npt.NDArray[np.float64]


class Trend(msgspec.Struct, frozen=True):
    """A line through the slow story of one statistic.

    Attributes:
        value: Of the line, now, in the statistic's unit against the baseline.
        per_day: Its slope, unit a day.
        value_variance: Of `value`.
        slope_variance: Of `per_day`.
        covariance: Of both.
        freedom: Effective degrees of freedom.
        span_days: How far back the data reach that it rests on.
    """

    value: float
    per_day: float
    value_variance: float
    slope_variance: float
    covariance: float
    freedom: float
    span_days: float


class Forecast(msgspec.Struct, frozen=True):
    """When a statistic of the light will be beyond its limit, as it goes now.

    Attributes:
        statistic: One of `WATCHED`.
        value: Where it is, against the baseline.
        unit: Of `value`.
        per_day: How it goes.
        days: Until it is at its limit.
        earliest_days: The same, at the near end of an interval that holds nine times of ten.
        latest_days: At the far end.
        span_days: How far back the data reach that it rests on.
        text: All of it in plain words, and what to do.
    """

    statistic: str
    value: float
    unit: str
    per_day: float
    days: float
    earliest_days: float
    latest_days: float
    span_days: float
    text: str


def forecasts(buckets: Sequence[Bucket], baseline: Baseline, now_s: float) -> tuple[Forecast, ...]:
    """Say what of the light is on its way to a limit, the nearest first.

    Args:
        buckets: The history, the oldest first.
        baseline: It was held against.
        now_s: Wall time.
    """
    found = []
    for name in WATCHED:
        limit = baseline.limits.get(name)
        if limit is None or baseline.monitors.get(MONITORED_BY[name]):
            continue
        trend = find_trend(buckets, name, now_s)
        said = forecast(name, trend, limit) if trend else None
        if said:
            found.append(said)
    return tuple(sorted(found, key=lambda each: each.days))


def forecast(name: str, trend: Trend, limit: Limit) -> Forecast | None:
    """Return when a trend meets its limit; None where it does not, or too far off to say.

    Args:
        name: The statistic.
        trend: Its line.
        limit: What can be judged.
    """
    falls = trend.per_day < 0
    if name == "blur" and falls:
        return None
    below = limit.below if limit.below is not None else limit.reach
    edge = limit.centre - below if falls else limit.centre + limit.reach
    days = (edge - trend.value) / trend.per_day
    if not 0.0 < days <= _FARTHEST * trend.span_days:
        return None
    earliest, latest = _interval(trend, edge, days)
    unit = _WORDS[name][0]
    away = trend.value - limit.centre
    text = _text(name, (away, trend.per_day), (days, earliest, latest))
    return Forecast(
        name,
        round(away, 3),
        unit,
        round(trend.per_day, 5),
        round(days, 1),
        round(earliest, 1),
        round(latest, 1),
        round(trend.span_days, 1),
        text,
    )


def _interval(trend: Trend, edge: float, days: float) -> tuple[float, float]:
    """Return when the bounds of the line a + b t meet an edge.

    They are the roots of (edge - a - b t)^2 = q^2 (var a + 2 t cov + t^2 var b).
    """
    q2 = student(_INTERVAL_Z, trend.freedom) ** 2
    away = edge - trend.value
    square = trend.per_day**2 - q2 * trend.slope_variance
    half = away * trend.per_day + q2 * trend.covariance
    rest = away**2 - q2 * trend.value_variance
    root = half**2 - square * rest
    if square <= 0.0 or root < 0.0:  # cannot be for a line this significant; then no bound is known
        return 0.0, math.inf
    first, second = sorted(((half - math.sqrt(root)) / square, (half + math.sqrt(root)) / square))
    return max(0.0, min(first, days)), max(second, days)


def _text(name: str, now: tuple[float, float], days: tuple[float, float, float]) -> str:
    unit, what, remedy = _WORDS[name]
    away, rate = now
    way = "below" if rate < 0 else "beyond"
    side = "below" if away < 0 else "above"
    goes = "falling" if rate < 0 else "rising"
    if name in _BOTH:
        where = _BOTH[name][1 if rate < 0 else 0]
        what, way = f"{what}: the {where} grows darker against the other side", "beyond"
        place = f"{abs(away):.2g} {unit} off the baseline"
    else:
        place = f"{abs(away):.2g} {unit} {side} the baseline"
    if name == "level" and rate > 0:
        remedy = "check the exposure and the supply of the lamps"
    middle, low, high = (_days(each) for each in days)
    span = f" ({low} to {high})" if low != high else ""
    moves = f"{goes} by {abs(rate):.2g} {unit} a day"
    return f"{what} {place}, {moves}: {way} its limit in {middle} days{span}: {remedy}"


def _days(days: float) -> str:
    """Say days as coarsely as they are known."""
    if days >= 100.0:
        return f"{float(f'{days:.2g}'):.0f}"
    return f"{days:.0f}"


def find_trend(buckets: Sequence[Bucket], name: str, now_s: float) -> Trend | None:
    """Return the line that a statistic follows; None where it follows none that is sure.

    Args:
        buckets: The history, the oldest first.
        name: The statistic.
        now_s: Wall time.
    """
    place = WATCHED.index(name)
    known = [each for each in buckets if each.counts[place] and each.at_s <= now_s]
    if not known:
        return None
    times = np.array([each.at_s for each in known])
    counts = np.array([each.counts[place] for each in known], np.float64)
    means = np.array([each.means[place] for each in known])
    newest = float(times[-1])
    reach = newest - float(times[0])
    least = _LEAST_MOVE.get(name, _LEAST_MOVE_ELSE)
    for doublings in reversed(range(WIDTHS)):
        width = WIDTH_S * 2.0**doublings
        window = BUCKETS * width
        if window < _SHORTEST_S or window >= 2.0 * reach > 2.0 * _SHORTEST_S:
            continue
        at, values = _bins(newest - times, counts, means, width)
        trend = _fit(-at, values, width, least)
        if trend is not None:
            late = (now_s - newest) / DAY_S
            return _moved_on(trend, late)
    return None


def _moved_on(trend: Trend, days: float) -> Trend:
    """Return a trend as seen some days later."""
    return msgspec.structs.replace(
        trend,
        value=trend.value + days * trend.per_day,
        value_variance=trend.value_variance
        + 2.0 * days * trend.covariance
        + days * days * trend.slope_variance,
        covariance=trend.covariance + days * trend.slope_variance,
    )


def _bins(age: Vector, counts: Vector, means: Vector, width: float) -> tuple[Vector, Vector]:
    """Return mean age and mean of each bin that has frames, the oldest first."""
    number = np.minimum(np.floor(age / width), BUCKETS).astype(np.intp)
    frames = np.bincount(number, counts, BUCKETS + 1)[:BUCKETS]
    ages = np.bincount(number, counts * age, BUCKETS + 1)[:BUCKETS]
    sums = np.bincount(number, counts * means, BUCKETS + 1)[:BUCKETS]
    # A few frames before a weekend say less than a whole shift does.
    full = frames > 0.02 * frames.max()
    return ages[full][::-1] / frames[full][::-1], sums[full][::-1] / frames[full][::-1]


def _fit(at_s: Vector, values: Vector, width: float, least: float) -> Trend | None:
    """Lay a line through bins, and return it if it is a trend.

    Args:
        at_s: Time of each bin, s; 0 is the newest that is known.
        values: Their means.
        width: Of a bin, s.
        least: Change over the window that matters.
    """
    if len(at_s) < _FEWEST_BINS or at_s[-1] - at_s[0] < _SHORTEST_S:
        return None
    days = at_s / DAY_S
    line = _Line(days, values, width)
    move = line.slope * line.span
    if line.freedom < _LEAST_FREEDOM or abs(move) < least or not line.is_sure(FALSE_Z):
        return None
    quarter = len(values) // 4
    strays = abs(float(line.residual[-quarter:].mean())) > _STRAY * abs(move)
    if strays or abs(float(line.residual[-1])) > 2.0 * _STRAY * abs(move):
        return None
    earlier = _Line(days[:-quarter], values[:-quarter], width)
    if earlier.slope * line.slope <= 0.0 or not earlier.is_sure(_EARLIER_Z):
        return None
    if line.squares >= _step_squares(line.matrix, values):
        return None
    # The cycle is no part of where the line is.
    return Trend(
        float(line.answer[0]),
        line.slope,
        float(line.covariance[0, 0]),
        float(line.covariance[1, 1]),
        float(line.covariance[0, 1]),
        line.freedom,
        line.span,
    )


class _Line:
    """Least squares of a line, and of a daily cycle where the bins can show one."""

    def __init__(self, days: Vector, values: Vector, width: float) -> None:
        columns = [np.ones_like(days), days]
        if width <= _CYCLE_BINS_S:
            columns += [np.sin(2.0 * math.pi * days), np.cos(2.0 * math.pi * days)]
        self.matrix = np.column_stack(columns)
        self.span = float(days[-1] - days[0])
        self.answer, _, found, _ = np.linalg.lstsq(self.matrix, values, rcond=1e-6)
        self.residual = values - self.matrix @ self.answer
        self.squares = float(self.residual @ self.residual)
        self.slope = float(self.answer[1])
        count, rank = len(values), int(found)
        memory = max(_memory(self.residual), math.exp(-width / _USUAL_MEMORY_S))
        longer = (1.0 + memory) / (1.0 - memory)
        self.freedom = count / longer - 2.0
        variance = self.squares / max(count - rank, 1) * longer
        self.covariance = variance * np.linalg.pinv(self.matrix.T @ self.matrix, hermitian=True)

    def is_sure(self, z: float) -> bool:
        """Tell whether the slope is so many deviations off zero."""
        deviation = math.sqrt(float(self.covariance[1, 1]))
        return abs(self.slope) > student(z, max(self.freedom, 1.0)) * deviation


def _memory(residual: Vector) -> float:
    """Return the correlation of residuals from bin to bin, its bias made good; 0 or more."""
    total = float(residual @ residual)
    if total <= 0.0:
        return 0.0
    seen = float(residual[1:] @ residual[:-1]) / total
    count = len(residual)
    unbiased = (seen * count + 2.0) / (count - 4.0)
    return min(max(unbiased, 0.0), _MOST_MEMORY)


def _step_squares(matrix: Vector, values: Vector) -> float:
    """Return what the best single step leaves, the daily cycle beside it as beside the line."""
    best = math.inf
    rest = np.delete(matrix, 1, axis=1)
    for place in range(1, len(values)):
        step = (np.arange(len(values)) >= place).astype(np.float64)
        both = np.column_stack([rest, step])
        answer = np.linalg.lstsq(both, values, rcond=1e-6)[0]
        left = values - both @ answer
        best = min(best, float(left @ left))
    return best


def student(z: float, freedom: float) -> float:
    """Return the quantile of Student's t that is as rare as `z` normal deviations (Wallace, 1959).

    >>> round(student(1.96, 10.0), 2)
    2.23
    """
    bent = z * (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0)
    return math.sqrt(freedom * math.expm1(bent * bent / freedom))
