"""What is missing of a stream: each invariant of the module."""

from __future__ import annotations

import doctest

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.collector import gaps
from edge_agent.collector.gaps import (
    BEGINNING,
    Gap,
    GapState,
    Hole,
    Stored,
    is_due,
    look_again,
    merged,
    pause_s,
    scan,
    uncovered,
    wanted,
    without,
)

_S = 1_000_000_000
GAP = Gap(device="press-4", stream="s", hole=Hole(12, 14, 501, 620), found_ns=5)
BELOW, ABOVE = Stored(11, 461, 500), Stored(15, 621, 640)


def batches(*present: int, size: int = 10, received_ns: int = 0) -> list[Stored]:
    return [Stored(n, (n - 1) * size + 1, n * size, received_ns) for n in present]


def test_the_examples_hold() -> None:
    assert doctest.testmod(gaps).failed == 0


def test_a_hole_is_a_gap_unless_notices_cover_it() -> None:
    known = batches(1, 2, 5)
    assert scan(BEGINNING, known, [], until_ns=0).holes == [Hole(3, 4, 21, 40)]
    assert scan(BEGINNING, known, [(21, 30), (31, 45)], until_ns=0).holes == []
    partly = scan(BEGINNING, known, [(15, 25)], until_ns=0)
    assert partly.holes == [Hole(3, 4, 26, 40)]
    assert partly.seen_to == 5


def test_records_may_be_missing_where_no_batch_is() -> None:
    known = [Stored(1, 1, 10), Stored(2, 21, 30)]
    assert scan(BEGINNING, known, [], until_ns=0).holes == [Hole(2, 1, 11, 20)]
    assert scan(BEGINNING, known, [(11, 20)], until_ns=0).holes == []


def test_what_is_young_is_not_judged() -> None:
    known = [*batches(1, 2), *batches(4, 5, received_ns=100)]
    young = scan(BEGINNING, known, [], until_ns=99)
    assert (young.seen_to, young.holes) == (2, [])
    old = scan(BEGINNING, known, [], until_ns=100)
    assert (old.seen_to, old.holes) == (5, [Hole(3, 3, 21, 30)])


@given(st.sets(st.integers(1, 40)), st.integers(0, 40))
def test_each_hole_is_found_once(present: set[int], cut: int) -> None:
    known = batches(*sorted(present))
    low, high = [b for b in known if b.batch <= cut], [b for b in known if b.batch > cut]
    first = scan(BEGINNING, low, [], until_ns=0)
    second = scan(low[-1] if low else BEGINNING, high, [], until_ns=0)
    found = [n for h in first.holes + second.holes for n in range(h.first_batch, h.last_batch + 1)]
    assert found == [n for n in range(1, max(present, default=0)) if n not in present]


def test_asked_with_growing_pauses() -> None:
    assert is_due(GAP, now_ns=5)
    asked = msgspec.structs.replace(GAP, asked=3, asked_ns=1000 * _S)
    assert not is_due(asked, now_ns=(1000 + pause_s(3)) * _S - 1)
    assert is_due(asked, now_ns=(1000 + pause_s(3)) * _S)
    assert [pause_s(n) for n in range(1, 9)] == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert pause_s(10**9) == 3600


def test_a_clock_that_was_set_back_does_not_end_the_asking() -> None:
    asked = msgspec.structs.replace(GAP, asked=1, asked_ns=10**18)
    assert is_due(asked, now_ns=1)


def test_only_open_gaps_with_batches_are_asked_for() -> None:
    for state in (GapState.GONE, GapState.FILLED):
        assert not is_due(msgspec.structs.replace(GAP, state=state), now_ns=10**18)
    records_only = msgspec.structs.replace(GAP, hole=Hole(12, 11, 501, 620))
    assert not is_due(records_only, now_ns=10**18)


def test_a_gap_closes_from_all_sides() -> None:
    assert look_again(GAP, [BELOW, ABOVE], []) == [GAP.hole]
    middle = Stored(13, 541, 580)
    assert look_again(GAP, [BELOW, middle, ABOVE], []) == [
        Hole(12, 12, 501, 540),
        Hole(14, 14, 581, 620),
    ]
    assert look_again(GAP, [BELOW, middle, ABOVE], [(501, 540), (581, 620)]) == []
    whole = [Stored(12, 501, 540), middle, Stored(14, 581, 620)]
    assert look_again(GAP, [BELOW, *whole, ABOVE], []) == []


def test_what_is_gone_is_cut_out() -> None:
    def shape(spans: list[tuple[int, int]]) -> list[tuple[int, int, str]]:
        return [(p.hole.first_batch, p.hole.last_batch, p.state.value) for p in without(GAP, spans)]

    assert shape([]) == [(12, 14, "open")]
    assert shape([(1, 10**18)]) == [(12, 14, "gone")]
    assert shape([(13, 13)]) == [(12, 12, "open"), (13, 13, "gone"), (14, 14, "open")]
    assert shape([(14, 20), (12, 12)]) == [(12, 12, "gone"), (13, 13, "open"), (14, 14, "gone")]
    assert shape([(1, 11), (15, 16)]) == [(12, 14, "open")]


def test_what_is_wanted_is_joined_by_stream() -> None:
    more = msgspec.structs.replace(GAP, hole=Hole(15, 15, 621, 640))
    other = msgspec.structs.replace(GAP, stream="t")
    assert wanted([more, GAP, other]) == {
        ("press-4", "s"): [(12, 15)],
        ("press-4", "t"): [(12, 14)],
    }


SPANS = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 8)).map(lambda p: (p[0], p[0] + p[1]))
)


@given(SPANS, st.integers(1, 60), st.integers(-1, 30))
def test_uncovered_and_merged_agree_with_sets(
    spans: list[tuple[int, int]], first: int, length: int
) -> None:
    def numbers(found: list[tuple[int, int]]) -> set[int]:
        return {n for low, high in found for n in range(low, high + 1)}

    assert numbers(merged(spans)) == numbers(spans)
    span = (first, first + length)
    left = uncovered(span, merged(spans))
    assert numbers(left) == numbers([span]) - numbers(spans)
    assert left == merged(left)
