"""What is missing of a stream, and when to ask the device for it: rules only, no IO.

Batches of a stream are numbered 1, 2, 3, ..., and so are its records. A number that is not there
is still on its way, was evicted (and a loss notice covers its records), or is a gap.

Invariants, each held by a test of its name in tests/unit/collector/test_gaps.py:

1. *a hole is a gap unless notices cover it*: what the device said is lost is no gap.
2. *what is young is not judged*: order is not promised, so a hole counts only when what came after
   it has been here for the grace time.
3. *each hole is found once*: what was scanned is not scanned again; known gaps are looked at alone.
4. *asked with growing pauses*: never without end in short order, and never given up either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

_PAUSE_S = 60
_PAUSE_MAX_S = 3600
_SECOND_NS = 1_000_000_000
_FOREVER_NS = 2**63 - 1
Span = tuple[int, int]  # first and last number


class GapState(StrEnum):
    """How it stands with a gap."""

    OPEN = "open"  # on its way, or the device did not answer yet
    GONE = "gone"  # the device does not have it any more
    FILLED = "filled"  # it was asked for, and came


class Stored(msgspec.Struct, frozen=True):
    """A batch that is stored.

    Attributes:
        batch: Its number.
        first: Number of its first record.
        last: Number of its last record.
        received_ns: When it came.
    """

    batch: int
    first: int
    last: int
    received_ns: int = 0


BEGINNING = Stored(0, 0, 0)
"""What comes before the first batch of a stream."""


class Hole(msgspec.Struct, frozen=True):
    """Numbers that are missing between two stored batches.

    Attributes:
        first_batch: First batch that is missing.
        last_batch: Last one; `first_batch - 1` if records are missing but no batch is.
        first: First record that is missing and that no notice covers.
        last: Last such record.
    """

    first_batch: int
    last_batch: int
    first: int
    last: int


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A hole of a stream that the collector keeps in mind.

    Attributes:
        device: Whose.
        stream: Which stream of its spool.
        hole: What is missing.
        found_ns: When it was found, by the collector's clock.
        asked_ns: When the device was asked last; 0 if it was not.
        asked: How often.
        state: How it stands.
    """

    device: str
    stream: str
    hole: Hole
    found_ns: int
    asked_ns: int = 0
    asked: int = 0
    state: GapState = GapState.OPEN


class Scan(msgspec.Struct, frozen=True):
    """What a look at new batches gave.

    Attributes:
        seen_to: The highest batch up to which every hole is known.
        holes: Those between the batches.
    """

    seen_to: int
    holes: list[Hole]


def scan(before: Stored, stored: Sequence[Stored], lost: Iterable[Span], *, until_ns: int) -> Scan:
    """Find the holes between batches.

    Args:
        before: The last batch that was seen.
        stored: Those after it, in the order of their numbers.
        lost: Records that are covered by loss notices, in any order.
        until_ns: A hole before a batch that came later than this is left for the next look.

    >>> scan(BEGINNING, [Stored(1, 1, 5), Stored(3, 9, 9)], [], until_ns=0).holes
    [Hole(first_batch=2, last_batch=2, first=6, last=8)]
    """
    notices = merged(lost)
    holes: list[Hole] = []
    for batch in stored:
        missing = uncovered((before.last + 1, batch.first - 1), notices)
        if missing:
            if batch.received_ns > until_ns:
                break
            first, last = missing[0][0], missing[-1][1]
            holes.append(Hole(before.batch + 1, batch.batch - 1, first, last))
        before = batch
    return Scan(before.batch, holes)


def look_again(gap: Gap, around: Sequence[Stored], lost: Iterable[Span]) -> list[Hole]:
    """Return what of a gap is still missing; nothing if it is filled.

    Args:
        gap: The gap.
        around: The stored batches from the one before it to the one after it.
        lost: Records that are covered by loss notices.
    """
    before, *rest = around
    holes = scan(before, rest, lost, until_ns=_FOREVER_NS).holes
    first, last = gap.hole.first_batch, gap.hole.last_batch
    if last < first:  # records only: what is between the same two batches
        return holes
    return [
        Hole(max(first, hole.first_batch), min(last, hole.last_batch), hole.first, hole.last)
        for hole in holes
        if hole.first_batch <= last and hole.last_batch >= first
    ]


def without(gap: Gap, gone: Sequence[Span]) -> list[Gap]:
    """Cut a gap into what the device does not have any more and what it may have.

    Which records a batch held that nobody saw is not known: each piece keeps the records of the
    whole gap until a neighbour of it comes.

    >>> gap = Gap(device="d", stream="s", hole=Hole(3, 6, 30, 60), found_ns=1)
    >>> [(p.hole.first_batch, p.hole.last_batch, p.state.value) for p in without(gap, [(1, 4)])]
    [(3, 4, 'gone'), (5, 6, 'open')]
    """
    pieces: list[Gap] = []

    def add(first: int, last: int, state: GapState) -> None:
        if first <= last:
            hole = Hole(first, last, gap.hole.first, gap.hole.last)
            pieces.append(msgspec.structs.replace(gap, hole=hole, state=state))

    at, end = gap.hole.first_batch, gap.hole.last_batch
    if end < at:
        return [gap]
    for first, last in merged(gone):
        if last < at or first > end:
            continue
        add(at, first - 1, gap.state)
        add(max(at, first), min(end, last), GapState.GONE)
        at = last + 1
    add(at, end, gap.state)
    return pieces


def is_due(gap: Gap, *, now_ns: int) -> bool:
    """Tell whether the device is to be asked (again) for a gap.

    Each pause is twice the one before, from a minute to an hour. A wall clock that was set back
    does not make it wait.
    """
    if gap.state is not GapState.OPEN or gap.hole.last_batch < gap.hole.first_batch:
        return False
    passed_ns = now_ns - gap.asked_ns
    return not gap.asked or passed_ns >= pause_s(gap.asked) * _SECOND_NS or passed_ns < 0


def pause_s(asked: int) -> int:
    """Return how long to wait for what was asked for so many times.

    >>> [pause_s(n) for n in (1, 2, 3, 100)]
    [60, 120, 240, 3600]
    """
    return min(_PAUSE_MAX_S, int(_PAUSE_S * 2 ** min(asked - 1, 30)))


def wanted(gaps: Iterable[Gap]) -> dict[tuple[str, str], list[Span]]:
    """Return the batches to ask for, by device and stream."""
    asked: dict[tuple[str, str], list[Span]] = {}
    for gap in gaps:
        span = (gap.hole.first_batch, gap.hole.last_batch)
        asked.setdefault((gap.device, gap.stream), []).append(span)
    return {key: merged(spans) for key, spans in asked.items()}


def merged(spans: Iterable[Span]) -> list[Span]:
    """Join spans that touch or overlap, in order.

    >>> merged([(5, 6), (1, 2), (3, 3), (6, 9)])
    [(1, 3), (5, 9)]
    """
    joined: list[Span] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def uncovered(span: Span, notices: Sequence[Span]) -> list[Span]:
    """Return what of a span no notice covers.

    Args:
        span: First and last number; nothing if the last is below the first.
        notices: As `merged` returns them.

    >>> uncovered((1, 9), [(0, 2), (5, 6)])
    [(3, 4), (7, 9)]
    """
    at, end = span
    left: list[Span] = []
    for first, last in notices:
        if last < at:
            continue
        if first > end:
            break
        if first > at:
            left.append((at, first - 1))
        at = last + 1
    if at <= end:
        left.append((at, end))
    return left
