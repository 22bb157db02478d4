from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.uplink.window import Sealed, Window


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
    window = Window(4, timeout_s=1, timeout_max_s=3)
    for number in wanted:
        window.take(Batch(number), 0)
    return window


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
    assert numbers(window.due(0.9)) == []
    assert numbers(window.due(1)) == [1, 2]
    assert numbers(window.due(2.9)) == []
    assert window.acknowledge(2, 7) == 1
    assert numbers(window.due(3)) == [1]  # after 2 s
    assert numbers(window.due(5.9)) == []
    assert numbers(window.due(6)) == [1]  # after 3 s, which is the most
    assert numbers(window.due(9)) == [1]
    assert window.acknowledge(1, 1) == 1
    assert window.acknowledge(1, 1) == 0
    assert window.next_due_at() is None
    assert window.room == 4


def test_a_new_link_starts_over() -> None:
    window = filled(1, 2)
    window.due(1)
    window.restart(1.5)
    assert numbers(window.due(1.5)) == [1, 2]
    assert numbers(window.due(2.4)) == []
    assert numbers(window.due(2.5)) == [1, 2]


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
            assert set(numbers(window.due(now))) <= waiting
        else:
            window.restart(now)
    assert numbers(window.due(now + 100)) == sorted(waiting)
    assert window.room == 4 - len(waiting)
