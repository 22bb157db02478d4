from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.spool.ring import Ring

LANES = ("alarms", "ng", "ok")
COST = 100
RECORD = b"x" * (COST - 64)


def test_what_is_held_is_bounded() -> None:
    ring = Ring(LANES, 10 * COST)
    for _ in range(1000):
        assert ring.put("ok", RECORD)
    assert ring.size_bytes == 10 * COST
    assert (ring.count("ok"), ring.dropped("ok")) == (10, 990)


def test_the_least_important_go_first() -> None:
    ring = Ring(LANES, 3 * COST)
    for lane in ("ok", "ng", "alarms", "ng", "alarms"):
        assert ring.put(lane, RECORD)
    assert [ring.count(lane) for lane in LANES] == [2, 1, 0]
    assert [ring.dropped(lane) for lane in LANES] == [0, 1, 1]
    assert not ring.put("ok", RECORD)  # nothing less important is left to drop
    assert ring.dropped("ok") == 2


def test_dropped_is_counted_and_told_before_what_is_held() -> None:
    ring = Ring(LANES, 2 * COST)
    for _ in range(5):
        ring.put("ok", RECORD)
    assert ring.take("ok", 9) == (3, [])
    assert ring.take("ok", 9) == (0, [RECORD] * 2)
    assert ring.take("ok", 9) == (0, [])
    assert ring.size_bytes == 0


def test_without_room_nothing_is_held() -> None:
    ring = Ring(LANES, 0)
    assert not ring.put("alarms", RECORD)
    assert ring.take("alarms", 9) == (1, [])


@given(
    st.lists(
        st.tuples(st.sampled_from(LANES), st.sampled_from(["put", "take", "back"])), max_size=80
    )
)
def test_each_lane_comes_out_in_order_with_every_record_accounted_for(
    steps: list[tuple[str, str]],
) -> None:
    ring = Ring(LANES, 6 * 70)
    put = dict.fromkeys(LANES, 0)
    out: dict[str, deque[int | None]] = {lane: deque() for lane in LANES}
    for lane, step in steps:
        if step == "put":
            ring.put(lane, b"%06d" % put[lane])
            put[lane] += 1
        dropped, records = ring.take(lane, 3) if step != "put" else (0, [])
        if step == "back":
            ring.put_back(lane, dropped, records)
        else:
            out[lane].extend([None] * dropped + [int(record) for record in records])
    for lane in LANES:
        while (taken := ring.take(lane, 99)) != (0, []):
            out[lane].extend([None] * taken[0] + [int(record) for record in taken[1]])
        assert len(out[lane]) == put[lane]
        assert all(number in {None, index} for index, number in enumerate(out[lane]))
