"""Output drift: are scores and verdicts still what they were when the model went live?

The first parts after a model goes live, in good light, are the reference. It is frozen then, kept
over restarts, and never learned again: what drifts slowly must not become the new normal.

Each part moves a few one-sided CUSUM charts (ISO 7870-4; Page, Biometrika 41, 1954):

- *level*, up and down, of `u`: the share of the reference that scored less than this part (half of
  the equal ones counted). The mean of `u` is the Mann-Whitney statistic between the parts since the
  change and the reference: 0.5 as before, 1 when every part scores above all of the reference.
- *spread*, up and down, of `|2u - 1|`: scores went apart, or the model always says the same.
- *ng* up and down and *review* up, of the verdicts: Bernoulli CUSUM (Reynolds and Stoumbos, Journal
  of Quality Technology 31, 1999): looks after every part, where a p-chart (Montgomery, Introduction
  to Statistical Quality Control, 7.2) waits for a sample.

Each chart adds a log likelihood ratio, whose exponential is a fair bet when nothing has changed. So
the mean run length between false alarms is at least `exp(limit)`, however often one looks (Lorden,
Annals of Mathematical Statistics 42, 1971; for bounded values as here: Hoeffding's lemma, and Shin,
Ramdas and Rinaldo, E-detectors, 2022). The limit follows from what a person can be asked to bear,
said in days of running at this takt, and the number of charts.

Parts do not come independently: neighbours are alike, and lots differ. The reference says how much:
neighbours stretch the charts' time by `inflation`, and what lots do by themselves lies inside
`band`, in which nothing adds up.

Invariants:
    - A frozen reference never changes.
    - While the light is not as before, nothing is said and nothing adds up.
    - A chart that was raised clears only when it is back at half its limit: it does not chatter.
    - What is kept is bounded, whatever the number of parts.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge_agent.clock import iso
from edge_agent.decision.verdict import Verdict
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from edge_agent.clock import Stamp

    Floats = npt.NDArray[np.float64]

MIN_PARTS = 200
MARKS = 256
"""Scores that a reference keeps: between them its distribution is taken as straight."""

SLOPE = 1.0
"""Of the charts of `u`: tuned to changes of its mean by a twelfth beyond the band, which is what a
shift of the scores by a third of their standard deviation does."""

LEAST_BAND = 0.05
"""A shift of the mean of `u` that is no change worth a person's time: P(worse) of 0.55."""

_SIGMAS = 2.0
_UNIFORM = 1 / 12
"""Variance of `u`, and of the spread, in the reference (a uniform variable is sub-Gaussian with its
own variance, so the bet stays fair)."""

_TIMES = 3.0
"""The verdict charts look for a share three times as large, or a third of it."""

_BURSTS = 2.0
"""Bad parts come together (a worn tool, a bad lot), so verdict charts go at half their pace."""

_LEAST_SHARE = 0.002
_CHARTS = 7
_NEAR, _FAR = (5, 10, 20, 40), (100, 200)
"""Batches, in parts, by which neighbours, and lots, are told in the reference."""


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What scores and verdicts were when the model went live; frozen.

    Attributes:
        model: First 12 digits of the digest of the bundle.
        part_number: Of the recipe; empty where none was told.
        parts: How many it is of.
        frozen: Wall time when it was frozen, ISO 8601.
        takt_s: Median time between parts.
        marks: Scores, as shares of the `ng` threshold, growing.
        shares: Of each mark: which share of the parts scored less, half of the equal ones counted.
        spread: Mean of `|2u - 1|`.
        inflation: How many parts say as much as one that came alone, for level and spread.
        band: How far the means may move by themselves, for level and spread.
        ng: Parts that the model judged `ng`.
        review: Parts that the model judged `review`.
        bursts: As `inflation`, for `ng` and `review`.
    """

    model: str
    part_number: str = ""
    parts: Annotated[int, msgspec.Meta(ge=1)]
    frozen: str
    takt_s: Annotated[float, msgspec.Meta(gt=0.0)]
    marks: Annotated[list[float], msgspec.Meta(min_length=1, max_length=MARKS)]
    shares: list[float]
    spread: float
    inflation: tuple[float, float]
    band: tuple[float, float]
    ng: int
    review: int
    bursts: tuple[float, float]

    def __post_init__(self) -> None:
        """Refuse what cannot be looked up in."""
        if len(self.marks) != len(self.shares) or any(a >= b for a, b in pairwise(self.marks)):
            raise ValueError("marks must grow, and have a share each")

    def share_below(self, score: float) -> float:
        """Return which share of the reference scored less; 0.5 for its median."""
        marks, shares = self.marks, self.shares
        place = bisect_left(marks, score)
        if place == len(marks):
            return 1.0
        mark = marks[place]
        if mark == score:
            return shares[place]
        if place == 0:
            return 0.0
        low, from_share = marks[place - 1], shares[place - 1]
        return from_share + (shares[place] - from_share) * (score - low) / (mark - low)

    def encode(self) -> bytes:
        """Write it as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes, origin: str) -> Reference:
        """Read what `encode` wrote.

        Raises:
            UsageError: It is none; `origin` says of what.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{origin}: no reference of scores: {error}") from error


def freeze(
    scores: Sequence[float],
    verdicts: Sequence[Verdict],
    *,
    model: str,
    part_number: str,
    takt_s: float,
    at_ns: int,
) -> Reference:
    """Make a reference of the first parts.

    Args:
        scores: As shares of the `ng` threshold, in the order of the parts.
        verdicts: The model's, of the same parts.
        model: First 12 digits of the bundle's digest.
        part_number: Of the recipe.
        takt_s: Median time between parts.
        at_ns: Wall time.
    """
    import numpy as np  # noqa: PLC0415 - only here

    values = np.asarray(scores, np.float64)
    unique, first, counts = np.unique(values, return_index=False, return_inverse=True,
                                      return_counts=True)  # fmt: skip
    middles = (np.cumsum(counts) - counts / 2) / len(values)
    u = middles[first]
    apart = np.abs(2 * u - 1)
    some = np.unique(np.linspace(0, len(unique) - 1, MARKS).round().astype(int))
    is_ng = np.array([each is Verdict.NG for each in verdicts], np.float64)
    is_review = np.array([each is Verdict.REVIEW for each in verdicts], np.float64)
    level, spread = _unrest(u), _unrest(apart)
    return Reference(
        model=model, part_number=part_number, parts=len(values), frozen=iso(at_ns),
        takt_s=max(takt_s, 0.001), marks=unique[some].tolist(), shares=middles[some].tolist(),
        spread=float(apart.mean()), inflation=(level[0], spread[0]), band=(level[1], spread[1]),
        ng=int(is_ng.sum()), review=int(is_review.sum()),
        bursts=(_inflation(is_ng), _inflation(is_review)),
    )  # fmt: skip


def _unrest(values: Floats) -> tuple[float, float]:
    """Return inflation and band of a statistic on [0, 1] (see `Reference`).

    The band holds the smallest change worth speaking of, what the reference's own mean may be off
    (three standard errors), and two standard deviations between lots, over and above what
    neighbours explain.
    """
    inflation = _inflation(values)
    variance, count = float(values.var()), len(values)
    lots = max(
        (_means(values, size).var(ddof=1) - inflation * variance / size for size in _far(count)),
        default=0.0,
    )
    error = 3 * math.sqrt(inflation * variance / count)
    return inflation, LEAST_BAND + error + _SIGMAS * math.sqrt(max(0.0, float(lots)))


def _far(count: int) -> list[int]:
    return [size for size in (*_FAR, count // 10) if count >= 5 * size]


def _inflation(values: Floats) -> float:
    """Return how much larger the variance of batch means is than that of independent parts'.

    Batch means (Montgomery, 10.4.4): the largest over some sizes, and one standard error of it.
    """
    variance = float(values.var())
    if variance == 0.0:
        return 1.0
    found = [1.0]
    for size in _NEAR:
        batches = len(values) // size
        if batches >= 10:
            ratio = size * float(_means(values, size).var(ddof=1)) / variance
            found.append(ratio * (1 + math.sqrt(2 / (batches - 1))))
    return max(found)


def _means(values: Floats, size: int) -> Floats:
    whole = len(values) // size * size
    means: Floats = values[:whole].reshape(-1, size).mean(axis=1)
    return means


class Light(Enum):
    """What the light lets a part say of the model."""

    AS_BEFORE = "as before"
    DOUBTFUL = "doubtful"
    """Something may be wrong: this part is held against the reference, and never joins it."""

    CHANGED = "changed"
    """Something is wrong and has been said: neither this part nor those before say anything."""


class _Chart:
    """One one-sided CUSUM chart, with what happened since its sum was last nothing."""

    __slots__ = ("count", "name", "raised", "since_ns", "sum", "total")

    def __init__(self, name: str) -> None:
        self.name = name
        self.raised = False
        self.reset()

    def reset(self) -> None:
        self.sum = self.total = 0.0
        self.count = self.since_ns = 0
        self.raised = False

    def add(self, step: float, value: float, limit: float, wall_ns: int) -> None:
        """Add a log likelihood ratio; `value` is what it is of."""
        if self.sum <= 0.0:
            self.total, self.count, self.since_ns = 0.0, 0, wall_ns
        self.total += value
        self.count += 1
        self.sum = min(limit, max(0.0, self.sum + step))
        self.raised = self.sum >= limit or (self.raised and self.sum > limit / 2)


class OutputWatch:
    """Watch the scores and verdicts of one model. Not thread-safe: one watch, one thread.

    Args:
        model: First 12 digits of the bundle's digest.
        part_number: Of the recipe.
        reference: The frozen one, where there is one.
        parts: How many parts a new reference takes.
        quiet_days: At most one false alarm in so many days of running at this takt.

    >>> watch = OutputWatch("0123456789ab", parts=200)
    >>> from edge_agent.clock import Stamp
    >>> for number in range(400):
    ...     at = Stamp(number * 10**9, number * 10**9)
    ...     score = 0.1 + number * 7 % 10 / 20 + (0.4 if number >= 250 else 0.0)
    ...     said = watch.update(score, Verdict.OK, light=Light.AS_BEFORE, at=at)
    ...     if said:
    ...         print(number)
    ...         break
    301
    """

    def __init__(
        self,
        model: str,
        part_number: str = "",
        *,
        reference: Reference | None = None,
        parts: int = 2000,
        quiet_days: float = 30.0,
    ) -> None:
        self.model = model
        self.part_number = part_number
        self.reference = reference
        self._wanted = max(MIN_PARTS, parts)
        self._quiet_s = quiet_days * 86_400.0
        self._scores: list[float] = []
        self._verdicts: list[Verdict] = []
        self._times: list[int] = []
        self._level = (_Chart("level"), _Chart("level"))
        self._spread = (_Chart("spread"), _Chart("spread"))
        self._ng = (_Chart("ng"), _Chart("ng"))
        self._review = _Chart("review")
        self._charts = (*self._level, *self._spread, *self._ng, self._review)
        self._said = ""
        if reference is not None:
            self._settle(reference)

    @property
    def gathered(self) -> int:
        """How many parts the reference is of, or has so far."""
        return self.reference.parts if self.reference else len(self._scores)

    @property
    def wanted(self) -> int:
        """How many parts the reference takes."""
        return self.reference.parts if self.reference else self._wanted

    def update(self, score: float, verdict: Verdict, *, light: Light, at: Stamp) -> str:
        """Take a part that the model judged, and say what is wrong; empty for nothing.

        Args:
            score: The worst of the stages that decide, as a share of its `ng` threshold.
            verdict: The model's own, whatever the degree of automation; not `invalid`.
            light: Whether it is as it was.
            at: When the part was captured.
        """
        if light is Light.CHANGED:
            self.reset()
            return ""
        if verdict is Verdict.INVALID or not math.isfinite(score):
            return self._said
        if self.reference is None:
            if light is Light.AS_BEFORE:
                self._gather(score, verdict, at)
            return ""
        self._judge(self.reference.share_below(score), verdict, at.wall_ns)
        if any(chart.raised for chart in self._charts):
            self._said = self._words(self.reference)
        else:
            self._said = ""
        return self._said

    def reset(self) -> None:
        """Forget what has added up; the reference stays."""
        for chart in self._charts:
            chart.reset()
        self._said = ""

    # --- the reference -----------------------------------------------------------------------

    def _gather(self, score: float, verdict: Verdict, at: Stamp) -> None:
        self._scores.append(score)
        self._verdicts.append(verdict)
        self._times.append(at.mono_ns)
        if len(self._scores) < self._wanted:
            return
        pauses = sorted(max(0, after - before) for before, after in pairwise(self._times))
        reference = freeze(
            self._scores,
            self._verdicts,
            model=self.model,
            part_number=self.part_number,
            takt_s=pauses[len(pauses) // 2] / 1e9,
            at_ns=at.wall_ns,
        )
        self._scores, self._verdicts, self._times = [], [], []
        self._settle(reference)
        self.reference = reference

    def _settle(self, reference: Reference) -> None:
        """Work out once what every part needs."""
        self._limit = math.log(_CHARTS * max(100.0, self._quiet_s / reference.takt_s))
        self._pace = tuple(SLOPE / each for each in reference.inflation)
        self._allowed = tuple(each + SLOPE * _UNIFORM / 2 for each in reference.band)
        ng, review = (_steps(hits, reference.parts, bursts) for hits, bursts in zip(
            (reference.ng, reference.review), reference.bursts, strict=True))  # fmt: skip
        self._ng_steps, self._review_steps = ng, review[0]

    # --- the charts --------------------------------------------------------------------------

    def _judge(self, u: float, verdict: Verdict, wall_ns: int) -> None:
        assert self.reference is not None
        limit = self._limit
        for place, (value, centre, charts) in enumerate((
            (u, 0.5, self._level), (abs(2 * u - 1), self.reference.spread, self._spread)
        )):  # fmt: skip
            away, allowed, pace = value - centre, self._allowed[place], self._pace[place]
            charts[0].add(pace * (away - allowed), value, limit, wall_ns)
            charts[1].add(pace * (-away - allowed), value, limit, wall_ns)
        is_ng, is_review = verdict is Verdict.NG, verdict is Verdict.REVIEW
        for chart, steps in zip(self._ng, self._ng_steps, strict=True):
            chart.add(steps[is_ng], is_ng, limit, wall_ns)
        self._review.add(self._review_steps[is_review], is_review, limit, wall_ns)

    def _words(self, reference: Reference) -> str:
        """Say what has moved, how far, and since when."""
        raised = [chart for chart in self._charts if chart.raised]
        texts = []
        for chart in raised:
            mean = chart.total / max(1, chart.count)
            if chart.name == "level":
                side = "above" if mean > 0.5 else "below"
                share = mean if mean > 0.5 else 1 - mean
                texts.append(f"a part scores {side} one of the reference {share:.0%} of the time")
            elif chart.name == "spread":
                word = "further apart" if mean > reference.spread else "closer together"
                texts.append(f"scores lie {word} ({mean:.2f}, {reference.spread:.2f} before)")
            else:
                before = (
                    reference.ng if chart.name == "ng" else reference.review
                ) / reference.parts
                texts.append(f"{mean:.1%} of parts are {chart.name} ({before:.1%} before)")
        since = iso(min(chart.since_ns for chart in raised))
        return f"the scores moved: {'; '.join(texts)}; since {since}"


_Steps = tuple[float, float]
"""What a part adds to a verdict chart: one that is not of the kind, and one that is."""


def _steps(hits: int, parts: int, bursts: float) -> tuple[_Steps, _Steps]:
    """Return the steps of the chart of a growing share, and of a shrinking one.

    What is held against is the end of the share's interval (Wilson's, three standard errors) that
    lies nearer to the change: a reference of few parts claims little.
    """
    low, high = _wilson(hits, parts)
    pace = 1 / max(_BURSTS, bursts)
    up = min(0.9, max(_TIMES * high, high + 0.02))
    if up <= high:
        rising = (0.0, 0.0)  # all but all of them are: they can hardly become more
    else:
        rising = (pace * math.log((1 - up) / (1 - high)), pace * math.log(up / high))
    if low < _LEAST_SHARE:
        return rising, (0.0, 0.0)  # there were hardly any: fewer cannot be told
    down = low / _TIMES
    return rising, (pace * math.log((1 - down) / (1 - low)), pace * math.log(down / low))


def _wilson(hits: int, parts: int) -> tuple[float, float]:
    """Return Wilson's interval of a share, three standard errors wide to either side."""
    z, share = 3.0, hits / parts
    middle = (share + z * z / (2 * parts)) / (1 + z * z / parts)
    reach = (
        z * math.sqrt(share * (1 - share) / parts + z * z / (4 * parts**2)) / (1 + z * z / parts)
    )
    return max(0.0, middle - reach), min(0.999, max(_LEAST_SHARE, middle + reach))
