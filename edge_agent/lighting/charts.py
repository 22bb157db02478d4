"""Control charts on many statistics at once, designed for series that remember.

Three charts each. Two exponentially weighted moving averages (EWMA; Roberts, 1959; ISO 7870-6),
one quick and one slow, against the frozen centre; and a step chart: the mean of the newest frames
against the mean of those just before, which finds a sudden change long before the averages do where
lamps wander slowly by themselves. A step counts only as far as the level is off its centre too.

Frames are not independent. The autocovariance of each statistic is fitted as white noise plus a
first-order autoregression, gamma(0) = s^2 and gamma(k) = s^2 a phi^k over the lags 1 to 12 (one
lag alone misleads; Box, Jenkins & Reinsel, ch. 3), and each limit is L times the standard deviation
that such a series gives its chart (Schmid, "On EWMA charts for time series", 1997), the error of
the estimated centre included (Jones, Champ & Rigdon, 2001). L comes from how rare a false alarm
shall be, shared among all charts (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np
import numpy.typing as npt

QUICK, SLOW = 0.2, 0.02
NEW, BEFORE = 4, 6
"""Frames whose mean is held against the mean of those before them."""

LAGS = 12
FEW_FRAMES = 50
"""With fewer, how a statistic varies over time is not known: only gross changes are charted."""

UNFIXED = 1.2
"""How much wider limits are where nothing but parts is seen: parts come in lots, of which the good
frames showed few."""

DEFAULT_FRAMES = 2_592_000
"""Frames between false alarms: 30 days at a part a second."""

_CHARTS = 3 * 24
_OUTLIER = 4.0
_MOST_WIDER = 2.0
_UNKNOWN_WIDER = 4.0
_SELDOM = 0.92
"""L of the slow chart against that of the quick one: expected crossings of a frame are
sqrt(2 (1 - r)) exp(-L^2 / 2) / (2 pi), r the chart's correlation from frame to frame, about 0.999
(Rice, 1945)."""
_MAX_PHI = 0.995

Vector = npt.NDArray[np.float64]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """How one statistic varies when all is well.

    Attributes:
        centre: Its median.
        spread: Standard deviation, without outliers.
        share: Part of the variance that is remembered from frame to frame, 0 to 1.
        phi: How long: the share that is left after a frame, 0 to 1.
        frames: How many frames this was learned from.
    """

    centre: float
    spread: float
    share: float
    phi: float
    frames: int

    def covariance(self, lags: Vector) -> Vector:
        """Return the autocovariance at lags (in frames)."""
        lags = np.abs(lags)
        remembered = self.spread**2 * self.share * self.phi**lags
        return np.where(lags == 0, self.spread**2, remembered)

    def ewma_spread(self, weight: float) -> float:
        """Return the standard deviation of an EWMA of such a series.

        Var = w/(2-w) * [g0 + 2 sum_k (1-w)^k g_k], summed in closed form.
        """
        q = (1.0 - weight) * self.phi
        tail = 2.0 * self.share * q / (1.0 - q)
        return self.spread * math.sqrt(weight / (2.0 - weight) * (1.0 + tail))

    def centre_error(self) -> float:
        """Return the standard error of the centre."""
        tail = 2.0 * self.share * self.phi / (1.0 - self.phi)
        return self.spread * math.sqrt(min(1.0, (1.0 + tail) / self.frames))

    def step_spread(self) -> float:
        """Return the standard deviation of the step chart's statistic."""
        weights = np.concatenate([np.full(NEW, 1.0 / NEW), np.full(BEFORE, -1.0 / BEFORE)])
        at = np.arange(len(weights), dtype=np.float64)
        covariance = self.covariance(at[:, np.newaxis] - at[np.newaxis, :])
        return math.sqrt(max(float(weights @ covariance @ weights), 0.0))

    def widening(self) -> float:
        """Return the factor that makes up for a spread that was estimated from few frames.

        The relative error of a standard deviation is 1 / sqrt(2 n), n the number of frames that
        are as good as independent: n (1 - r^2) / (1 + r^2) for an autoregression.
        """
        if self.frames < FEW_FRAMES:
            return _UNKNOWN_WIDER
        r = self.share * self.phi**2
        independent = max(2.0, self.frames * (1.0 - r) / (1.0 + r))
        return min(_MOST_WIDER, 1.0 + 0.5 / math.sqrt(2.0 * independent))


def remember(values: npt.ArrayLike, *, outliers: float = _OUTLIER) -> Memory:
    """Fit how a statistic varies, outliers (a hand in view) taken in to some deviations.

    Args:
        values: One per frame in order of time; NaN where it could not be measured.
        outliers: From so many deviations on.
    """
    series = np.asarray(values, np.float64)
    series = series[np.isfinite(series)]
    if series.size == 0:
        return Memory(centre=0.0, spread=0.0, share=0.0, phi=0.0, frames=1)
    centre = float(np.median(series))
    away = series - centre
    robust = 1.4826 * float(np.median(np.abs(away)))
    if robust == 0.0:
        robust = float(away.std())
    away = np.clip(away, -outliers * robust, outliers * robust)
    spread = float(away.std())
    share, phi = _fit_memory(away, spread)
    return Memory(centre=centre, spread=spread, share=share, phi=phi, frames=int(series.size))


def _fit_memory(away: Vector, spread: float) -> tuple[float, float]:
    """Fit share * phi^k to the autocorrelations at lags 1 to 12 by least squares over a grid."""
    count = len(away)
    if spread == 0.0 or count < 4 * LAGS:
        return 0.0, 0.0
    away = away - away.mean()
    lags = np.arange(1, LAGS + 1)
    seen = np.array([float(away[lag:] @ away[:-lag]) for lag in lags]) / (count * spread**2)
    best = (float(seen @ seen), 0.0, 0.0)
    for phi in (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.99, _MAX_PHI):
        shape = phi**lags
        share = min(1.0, max(0.0, float(seen @ shape) / float(shape @ shape)))
        error = float(((seen - share * shape) ** 2).sum())
        if error < best[0]:
            best = (error, share, phi)
    return best[1], best[2]


def sigmas(frames: float = DEFAULT_FRAMES, charts: int = _CHARTS) -> float:
    """Return L: how many standard deviations a limit lies out.

    Args:
        frames: Frames between false alarms on average (the average run length).
        charts: How many charts share that.

    >>> round(sigmas(), 1)
    5.8
    """
    return -NormalDist().inv_cdf(0.5 / (frames * charts))


class Limits(msgspec.Struct, frozen=True):
    """Where the charts of each statistic signal; each a vector, one value a statistic."""

    centre: Vector
    quick: Vector
    slow: Vector
    step: Vector
    band: Vector


def design(memories: Sequence[Memory], bands: Sequence[float], *, sigmas_out: float) -> Limits:
    """Set the limits of every chart: L deviations, and never inside the dead band.

    Args:
        memories: How each statistic varies.
        bands: How far each may move before it matters, in its unit.
        sigmas_out: L, from `sigmas`.
    """
    quick, slow, step = [], [], []
    for memory, band in zip(memories, bands, strict=True):
        out, error = sigmas_out * memory.widening(), memory.centre_error()
        quick.append(max(band, out * math.hypot(memory.ewma_spread(QUICK), error)))
        wander = math.hypot(memory.ewma_spread(SLOW), error)
        slow.append(max(band, _SELDOM * out * wander))
        step.append(max(0.8 * band, out * memory.step_spread()))
    return Limits(
        np.array([memory.centre for memory in memories]),
        np.array(quick),
        np.array(slow),
        np.array(step),
        np.array(bands, np.float64),
    )


def _weights() -> Vector:
    """Return what the frames of the ring count for: by place of the newest, for mean and step."""
    newest = np.concatenate([np.full(NEW, 1.0 / NEW), np.zeros(BEFORE)])
    step = np.concatenate([np.full(NEW, 1.0 / NEW), np.full(BEFORE, -1.0 / BEFORE)])
    ages = np.arange(NEW + BEFORE)
    return np.stack(
        [np.stack([newest, step])[:, (at - ages) % (NEW + BEFORE)] for at in range(NEW + BEFORE)]
    )


class Charts:
    """The running charts. Not thread-safe.

    Invariants:
        - The centre never moves.
        - One frame, however far out, moves an average by no more than four limits.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        size = len(limits.centre)
        self._most = 4.0 * limits.quick
        self.quick = np.zeros(size)
        self.slow = np.zeros(size)
        self._ring = np.zeros((NEW + BEFORE, size))
        self._newest = np.zeros(size)
        self._weights = _weights()
        self._count = 0

    def update(self, values: Vector) -> npt.NDArray[np.bool_]:
        """Take the statistics of a frame; return which signal. NaN leaves a chart as it is."""
        limits, ring = self.limits, self._ring
        away = values - limits.centre
        np.copyto(away, self.quick, where=np.isnan(away))
        at = self._count % len(ring)
        ring[at] = away
        self._count += 1
        self._newest, step = self._weights[at] @ ring
        inside = np.minimum(np.maximum(away, -self._most), self._most)
        self.quick += QUICK * (inside - self.quick)
        self.slow += SLOW * (inside - self.slow)
        out: npt.NDArray[np.bool_] = np.abs(self.quick) > limits.quick
        out |= np.abs(self.slow) > limits.slow
        if self._count >= len(ring):
            out |= (np.abs(step) > limits.step) & (np.abs(self._newest) > limits.band)
        return out

    def recent(self) -> Vector:
        """Return how far the newest frames lie from the centre, on average."""
        if self._count < NEW:
            return np.asarray(self._ring[: max(self._count, 1)].mean(0))
        return self._newest

    def away(self) -> Vector:
        """Return how far each statistic lies off.

        By the newest frames; where only the slow chart signals, by that.
        """
        newest = self.recent()
        only_slow = (np.abs(self.slow) > self.limits.slow) & (np.abs(newest) < np.abs(self.slow))
        return np.where(only_slow, self.slow, newest)
