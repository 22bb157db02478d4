"""What the light was, from hours ago to years ago, in a bounded store: means that pair up.

Time is kept in buckets. The newest are a quarter of an hour wide; where there are more than
`BUCKETS` of one width, the two oldest of them become one of twice the width (an exponential
histogram; Datar, Gionis, Indyk & Motwani, "Maintaining stream statistics over sliding windows",
2002). So the newest six hours are known to a quarter of an hour, and the last year to some days, in
less than 300 buckets.

Invariants:
    - A history never holds more than `BUCKETS` * `WIDTHS` buckets, however long it runs.
    - A figure that was taken is in exactly one bucket until the oldest of all are dropped: pairing
      keeps mean, spread and count.
    - It is bound to one baseline: read back for another it begins anew.
    - Frames from before what is known already (a clock that was not set yet) are left out; when
      the clock stays there for a day, it was wrong before, and the history begins anew.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from edge_agent.errors import UsageError
from edge_agent.lighting.state import LightLevel, LightState

WATCHED = ("level", "slope_x", "slope_y", "red", "blue", "blur")
"""Statistics that age."""

WIDTH_S = 900
"""Of the newest buckets."""

BUCKETS = 24
"""Of one width."""

WIDTHS = 12
"""Each twice the one before: 2.8 years in all."""

SLOW_CAUSES = frozenset({"brightness", "gradient", "color", "defocus"})
"""What ageing looks like. While anything else stands the light is not the lamps' alone."""

_BACK_S = 86_400.0
"""By how much a clock may be set back and be believed, and how long until it is believed."""

_Figures = tuple[float, ...]


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """What the light was for a while; each tuple has one value a statistic of `WATCHED`.

    Attributes:
        at_s: Mean wall time of its frames, s.
        doublings: Its width is `WIDTH_S` times two to this power.
        counts: Frames in which the statistic could be measured.
        means: Their mean, in the statistic's unit.
        squares: Their mean squared distance from that.
    """

    at_s: float
    doublings: int
    counts: tuple[int, ...]
    means: _Figures
    squares: _Figures

    @property
    def frames(self) -> int:
        """The most frames that any statistic has."""
        return max(self.counts)

    def spread(self, name: str) -> float:
        """Return the standard deviation of a statistic within the bucket."""
        return math.sqrt(self.squares[WATCHED.index(name)])


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of a history."""

    baseline: str
    buckets: Annotated[tuple[Bucket, ...], msgspec.Meta(max_length=BUCKETS * WIDTHS)]
    schema: Literal["edge/light-history/1"] = "edge/light-history/1"


class History:
    """The slow story of one station's light. Not thread-safe: its owner holds a lock.

    Args:
        baseline: Digest of the baseline that the figures are held against.
        buckets: As they were kept, the oldest first.
    """

    def __init__(self, baseline: str, buckets: tuple[Bucket, ...] = ()) -> None:
        self.baseline = baseline
        self._closed = list(buckets)
        self._begin(0.0)
        self._behind_s = math.nan  # since when the clock is

    def _begin(self, begin_s: float) -> None:
        """Open a new bucket."""
        self._begin_s = begin_s
        self._until_s = begin_s + WIDTH_S
        self._frames = 0
        self._seconds = 0.0
        self._counts = [0] * len(WATCHED)
        self._means = [0.0] * len(WATCHED)
        self._squares = [0.0] * len(WATCHED)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """All that is known, the oldest first; the newest is still being filled."""
        if not self._frames:
            return tuple(self._closed)
        return (*self._closed, self._open())

    def _open(self) -> Bucket:
        squares = (
            float(square) / count if count else 0.0
            for square, count in zip(self._squares, self._counts, strict=True)
        )
        return Bucket(
            self._begin_s + self._seconds / self._frames,
            0,
            tuple(self._counts),
            tuple(map(float, self._means)),
            tuple(squares),
        )

    def take(self, state: LightState, at_ns: int) -> None:
        """Take what the watch said of a frame, where the lamps alone speak from it.

        Args:
            state: As the watch said it.
            at_ns: Wall clock time of the frame.
        """
        if state.level is LightLevel.INVALID:
            return
        for cause in state.causes:
            if cause.kind not in SLOW_CAUSES:
                return
        statistics = state.statistics
        self.put([statistics[name] for name in WATCHED], at_ns / 1e9)

    def put(self, figures: list[float], at_s: float) -> None:
        """Take the figures of a frame.

        Args:
            figures: One a statistic of `WATCHED`; NaN where it could not be measured.
            at_s: Wall clock time of the frame, s.
        """
        if (at_s >= self._until_s or at_s < self._begin_s or not self._frames) and not self._turn(
            at_s
        ):
            return
        self._frames += 1
        self._seconds += max(0.0, at_s - self._begin_s)
        counts, means, squares = self._counts, self._means, self._squares
        for place, value in enumerate(figures):
            if value != value:  # noqa: PLR0124 - NaN
                continue
            counts[place] += 1
            away = value - means[place]  # Welford's sums, which lose no digits
            means[place] += away / counts[place]
            squares[place] += away * (value - means[place])

    def _turn(self, at_s: float) -> bool:
        """Begin the bucket that a time belongs to; return whether there is one."""
        newest_s = self._begin_s if self._frames else self._closed[-1].at_s if self._closed else 0.0
        if at_s >= newest_s - _BACK_S:
            self._behind_s = math.nan
            if at_s < self._until_s and self._frames:  # a little back: it goes with the newest
                return True
            if self._frames:
                self._closed.append(self._open())
                _pair_up(self._closed)
            self._begin(max(at_s, newest_s))
            return True
        if not self._behind_s <= at_s:
            self._behind_s = at_s
        if at_s - self._behind_s < _BACK_S:
            return False
        self._closed.clear()
        self._begin(at_s)
        return True

    def encode(self) -> bytes:
        """Return the bytes of its file."""
        return msgspec.json.encode(_Kept(self.baseline, tuple(map(_rounded, self.buckets))))

    @classmethod
    def decode(cls, data: bytes, baseline: str, origin: str) -> History:
        """Read what was kept; of another baseline nothing is taken.

        Raises:
            UsageError: It is not a history; `origin` names it.
        """
        try:
            kept = msgspec.json.decode(data, type=_Kept)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"light history {origin}: {error}") from error
        whole = all(
            len(each.counts) == len(each.means) == len(each.squares) == len(WATCHED)
            for each in kept.buckets
        )
        if not whole:
            raise UsageError(f"light history {origin}: its buckets lack statistics")
        return cls(baseline, kept.buckets if kept.baseline == baseline else ())


def _rounded(bucket: Bucket) -> Bucket:
    """Return a bucket as it is written: what is beyond a ten-thousandth is noise."""
    return Bucket(
        round(bucket.at_s),
        bucket.doublings,
        bucket.counts,
        tuple(round(mean, 4) for mean in bucket.means),
        tuple(round(square, 4) for square in bucket.squares),
    )


def _pair_up(buckets: list[Bucket]) -> None:
    """Make one of the two oldest buckets of a width of which there are too many."""
    for doublings in range(WIDTHS):
        places = [i for i, each in enumerate(buckets) if each.doublings == doublings]
        if len(places) <= BUCKETS:
            return
        first = places[0]
        if doublings == WIDTHS - 1:
            del buckets[first]
            return
        buckets[first : first + 2] = [_joined(buckets[first], buckets[first + 1])]


def _joined(one: Bucket, other: Bucket) -> Bucket:
    """Return one bucket of two (Chan, Golub & LeVeque, 1983)."""
    counts, means, squares = [], [], []
    for place in range(len(WATCHED)):
        left, right = one.counts[place], other.counts[place]
        count = max(left + right, 1)
        away = other.means[place] - one.means[place]
        counts.append(left + right)
        means.append(one.means[place] + away * right / count)
        spread = left * one.squares[place] + right * other.squares[place]
        squares.append((spread + away * away * left * right / count) / count)
    share = other.frames / max(one.frames + other.frames, 1)
    return Bucket(
        one.at_s + (other.at_s - one.at_s) * share,
        one.doublings + 1,
        tuple(counts),
        tuple(means),
        tuple(squares),
    )
