from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.uplink.window import Sealed, Window, merged


class Batch(msgspec.Struct, frozen=True):
    batch: int
    kind: str = "k"
    stream: str = "s"
    data: bytes = b""
    content_type: str = ""
    encoding: str = ""


def numbers(batches: list[Sealed]) -> list[int]:
    return [batch.batch for batch in batches]


def filled(*wanted: int) -> Window:
    """Return a window of batches that the broker has since the time 0."""
    window = Window(4, timeout_s=1, timeout_max_s=3)
    for number in wanted:
        window.take(Batch(number), 0)
        window.arrived(number, 0)
    return window


def resent(window: Window, now: float) -> list[int]:
    """Send again what is due, and have it arrive."""
    due = numbers(window.due(now))
    for number in due:
        window.again(number, now)
        window.arrived(number, now)
    return due


def test_bounded() -> None:
    assert filled(1, 2, 3).room == 1
    assert filled(1, 2, 3, 4).room == 0


def test_oldest_first() -> None:
    window = filled(3, 5, 9)
    assert window.cursor == 9
    assert numbers(window.due(1)) == [3, 5, 9]


def test_again_until_acknowledged() -> None:
    window = filled(1, 2)
    assert window.next_due_at() == 1
    assert resent(window, 0.9) == []
    assert resent(window, 1) == [1, 2]
    assert resent(window, 2.9) == []
    assert window.acknowledge(2, 7) == 1
    assert resent(window, 3) == [1]  # after 2 s
    assert resent(window, 5.9) == []
    assert resent(window, 6) == [1]  # after 3 s, which is the most
    assert resent(window, 9) == [1]
    assert window.acknowledge(1, 1) == 1
    assert window.acknowledge(1, 1) == 0
    assert window.next_due_at() is None
    assert window.room == 4


def test_not_twice_on_one_way() -> None:
    window = filled()
    window.take(Batch(1), 0)
    assert resent(window, 2.9) == []
    window.arrived(1, 2.9)  # it was on its way for nearly three seconds
    assert resent(window, 3.8) == []
    assert numbers(window.due(3.9)) == [1]
    window.again(1, 3.9)
    assert numbers(window.due(6.8)) == []  # not while it is on its way
    assert numbers(window.due(6.9)) == [1]  # but a broker that never answers is told again
    window.arrived(2, 7)  # of an older life
    assert len(window) == 1


def test_a_new_link_starts_over() -> None:
    window = filled(1, 2)
    resent(window, 1)
    window.restart(1.5)
    assert resent(window, 1.5) == [1, 2]
    assert resent(window, 2.4) == []
    assert resent(window, 2.5) == [1, 2]


def test_a_new_link_to_a_broker_that_remembers_goes_on() -> None:
    window = filled(1, 2)
    window.take(Batch(3), 0.5)
    window.resume(0.6)
    assert resent(window, 0.6) == [3]
    assert resent(window, 1) == [1, 2]
    assert resent(window, 1.6) == [3]


def test_wanted_is_due() -> None:
    window = filled(3, 5, 6, 9)
    assert window.want([(1, 1), (3, 5), (9, 10**9)], 0.5) == [(1, 1), (4, 4)]
    assert numbers(window.due(0.5)) == [3, 5, 9]
    assert window.want([(7, 8), (10, 12)], 0.5) == [(7, 8)]  # 10 and on are still to come
    assert resent(window, 0.5) == [3, 5, 9]
    assert window.want([(3, 3)], 0.6) == []
    assert numbers(window.due(0.6)) == []  # it went a moment ago


@given(
    st.sets(st.integers(1, 30), max_size=8),
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), max_size=6),
)
def test_what_is_wanted_is_due_or_gone_or_to_come(
    flying: set[int], spans: list[tuple[int, int]]
) -> None:
    window = Window(8, timeout_s=1, timeout_max_s=8)
    for number in sorted(flying):
        window.take(Batch(number), 0)
    wanted = {number for low, more in spans for number in range(low, low + more + 1)}
    gone = window.want(merged([(low, low + more) for low, more in spans]), 1)
    gone_numbers = [number for low, high in gone for number in range(low, high + 1)]
    assert len(gone_numbers) == len(set(gone_numbers))
    assert set(gone_numbers) == {n for n in wanted - flying if n <= window.cursor}
    assert set(numbers(window.due(1))) == wanted & flying


@given(st.lists(st.tuples(st.sampled_from(["take", "ack", "due", "restart"]), st.integers(1, 30))))
def test_whatever_happens_nothing_is_forgotten(actions: list[tuple[str, int]]) -> None:
    window = Window(4, timeout_s=1, timeout_max_s=8)
    waiting: set[int] = set()
    now = 0.0
    for action, number in actions:
        now += 0.1
        if action == "take" and window.room:
            waiting.add(window.cursor + 1)
            window.take(Batch(window.cursor + 1), now)
        elif action == "ack":
            gone = {n for n in waiting if n <= number}
            assert window.acknowledge(1, number) == len(gone)
            waiting -= gone
        elif action == "due":
            assert set(resent(window, now)) <= waiting
        else:
            window.restart(now)
    assert numbers(window.due(now + 100)) == sorted(waiting)
    assert window.room == 4 - len(waiting)
