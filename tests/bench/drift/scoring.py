"""Score what was said of a stream.

Each detector is scored alike, from one flag a frame ("it alarms") and the kinds it names. A false
alarm is a rise of the flag on healthy frames. A change is found when the flag stands at any frame
from its coming on, in time; the delay counts frames up to and including the one that raised it. A
flag that stood already when the change came finds it only with a new name. A flag chatters when it
changes three times or more within 600 frames.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from tests.bench.drift.changes import Change, Expect, expected
from tests.bench.drift.images import Split
from tests.bench.drift.stations import KINDS
from tests.bench.drift.watching import Trace

Bools = npt.NDArray[np.bool_]

_CHATTER_FRAMES = 600
_CHATTER_CHANGES = 3
_AGED_TOO_FAR = 1000


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one stream went, for one detector.

    Attributes:
        healthy: Healthy frames, before the change.
        false: Alarms raised on them; `false_kinds` their names, `false_at` their frames.
        told: The same of frames after a told changeover.
        found: Whether the change was found; None where there was none.
        delay: In frames, the one that raised it included.
        named: Kinds at first naming.
        right: Whether the first of them is a right one; `best` whether it is the best one.
        said_before: The baseline said that it cannot watch this here.
    """

    kind: str
    seed: int
    split: Split
    number: int
    change: str
    expect: Expect
    at: int
    healthy: int
    false: int
    false_kinds: tuple[str, ...] = ()
    false_at: tuple[int, ...] = ()
    disturbed: int = 0
    told: int = 0
    found: bool | None = None
    delay: int | None = None
    named: tuple[str, ...] = ()
    right: bool = False
    best: bool = False
    chatter: bool = False
    said_before: str = ""


def rises(flag: Bools) -> list[int]:
    """Return where a flag rises."""
    before = np.concatenate([[False], flag[:-1]])
    return [int(index) for index in np.flatnonzero(flag & ~before)]


def chatters(flag: Bools) -> bool:
    """Tell whether a flag changes three times or more within 600 frames."""
    turns = np.flatnonzero(np.diff(flag.astype(np.int8)) != 0)
    spans = turns[_CHATTER_CHANGES - 1 :] - turns[: len(turns) - _CHATTER_CHANGES + 1]
    return bool((spans < _CHATTER_FRAMES).any())


def score(trace: Trace, flag: Bools, said: dict[int, tuple[str, ...]]) -> Outcome:
    """Score a detector on a stream.

    Args:
        trace: The stream.
        flag: One a frame: it alarms.
        said: Kinds named, at each frame where they changed; empty for one that names none.
    """
    kind, change = KINDS[trace.kind], trace.change
    expect = expected(change, scene=kind.scene, colour=kind.colour)
    healthy = min(trace.at, len(flag))
    raised = rises(flag[:healthy])
    false_kinds = [next(iter(_kinds_at(said, index)), "") for index in raised]
    first, named = (None, ()) if expect is Expect.NOTHING else _first(trace, flag, said)
    in_time = first is not None and not (change.loss_per_frame and first >= _AGED_TOO_FAR)
    after = flag[healthy:]
    reason = next((trace.monitors[k] for k in change.kinds if k in trace.monitors), "")
    return Outcome(
        kind=trace.kind, seed=trace.seed, split=trace.split, number=trace.number,
        change=change.name, expect=expect, at=trace.at, healthy=healthy,
        false=len(raised), false_kinds=tuple(false_kinds),
        false_at=tuple(raised), disturbed=sum(bool(_near(trace.disturbed, i)) for i in raised),
        told=len(rises(after)) if expect is Expect.NOTHING else 0,
        found=None if expect is Expect.NOTHING else in_time,
        delay=first + 1 if first is not None and in_time else None,
        named=named,
        right=bool(named) and named[0] in change.kinds,
        best=bool(named) and named[0] == change.kinds[0],
        chatter=chatters(flag), said_before=reason,
    )  # fmt: skip


def _first(
    trace: Trace, flag: Bools, said: dict[int, tuple[str, ...]]
) -> tuple[int | None, tuple[str, ...]]:
    """Return after how many frames the change was found, and what it was called."""
    at = trace.at
    standing = bool(at and flag[at - 1])
    if standing:
        old = set(_kinds_at(said, at - 1))
        for index in range(at, len(flag)):
            new = tuple(k for k in said.get(index, ()) if k not in old)
            if new:
                return index - at, new
            if not flag[index]:
                return _fresh(at, index, flag, said)
        return None, ()
    return _fresh(at, at, flag, said)


def _fresh(
    at: int, start: int, flag: Bools, said: dict[int, tuple[str, ...]]
) -> tuple[int | None, tuple[str, ...]]:
    later = np.flatnonzero(flag[start:])
    if not len(later):
        return None, ()
    index = start + int(later[0])
    return index - at, _kinds_at(said, index)


def _kinds_at(said: dict[int, tuple[str, ...]], index: int) -> tuple[str, ...]:
    earlier = [key for key in said if key <= index]
    return said[max(earlier)] if earlier else ()


def _near(disturbed: Bools, index: int) -> bool:
    return bool(disturbed[max(0, index - 20) : index + 1].any())


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Figures over many streams. Rates of changes that must be found; `may` apart."""

    healthy: int
    false: int
    false_per_100k: float
    must: int
    recall: float
    delay_p50: float
    delay_p90: float
    cause: float
    cause_best: float
    may: int
    may_recall: float
    may_cause: float
    told: int
    told_raised: int
    chatter: int
    declined: int


def summarize(outcomes: list[Outcome]) -> Summary:
    """Sum up outcomes."""
    must = [o for o in outcomes if o.expect is Expect.MUST]
    may = [o for o in outcomes if o.expect is Expect.MAY]
    told = [o for o in outcomes if o.change == "product, told"]
    found = [o for o in must if o.found]
    delays = [o.delay for o in found if o.delay is not None and "ageing" not in o.change]
    names = any(o.named for o in outcomes)
    healthy, false = sum(o.healthy for o in outcomes), sum(o.false for o in outcomes)
    return Summary(
        healthy=healthy,
        false=false,
        false_per_100k=1e5 * _share(false, healthy),
        must=len(must),
        recall=_share(len(found), len(must)),
        delay_p50=float(np.percentile(delays, 50)) if delays else float("nan"),
        delay_p90=float(np.percentile(delays, 90)) if delays else float("nan"),
        cause=_share(sum(o.right for o in found), len(found) if names else 0),
        cause_best=_share(sum(o.best for o in found), len(found) if names else 0),
        may=len(may),
        may_recall=_share(sum(bool(o.found) for o in may), len(may)),
        may_cause=_share(
            sum(o.right for o in may if o.found), sum(bool(o.found) for o in may) if names else 0
        ),
        told=len(told),
        told_raised=sum(bool(o.told) for o in told),
        chatter=sum(o.chatter for o in outcomes),
        declined=sum(bool(o.said_before) for o in must if not o.found),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def is_textured(outcome: Outcome) -> bool:
    """Tell whether the station has static texture."""
    return KINDS[outcome.kind].textured


def change_of(outcomes: list[Outcome], change: Change) -> list[Outcome]:
    """Return the outcomes of one change."""
    return [o for o in outcomes if o.change == change.name]
