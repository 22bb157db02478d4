"""The invariants of `edge_agent.camera.triggers`, by their numbers."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from edge_agent.camera.triggers import FreeRun, Late, Schedule, Slot, Software, Trigger, make_pacer


def take(pacer: FreeRun | Software) -> Slot:
    slot = pacer.wait(5.0)
    assert slot is not None
    return slot


def test_invariant_1_waiting_late_never_moves_later_deadlines() -> None:
    pacer = FreeRun(10, late=Late.LOSE, queue=8)
    pacer.start()
    times = []
    for _ in range(8):
        times.append(take(pacer).captured.mono_ns)
        time.sleep(0.007)
    assert {b - a for a, b in itertools.pairwise(times)} == {10_000_000}


def test_invariant_2_a_line_does_not_wait_and_the_hole_is_seen() -> None:
    pacer = FreeRun(10, late=Late.LOSE, queue=2)
    pacer.start()
    assert take(pacer).sequence == 1
    time.sleep(0.1)
    late = take(pacer)
    assert late.sequence >= 9
    assert take(pacer).sequence == late.sequence + 1


@pytest.mark.parametrize(
    ("last", "now_ns", "queue", "kept"),
    [
        (0, -5, 2, 1),  # before the first
        (0, 0, 2, 1),
        (3, 25, 2, 4),  # in time
        (3, 39, 2, 4),  # one late: 4 is kept
        (3, 45, 2, 4),  # two late: 4 and 5 are kept
        (3, 55, 2, 5),  # three late: 4 is lost
        (3, 1005, 1, 101),
    ],
)
def test_invariant_2_as_a_rule(last: int, now_ns: int, queue: int, kept: int) -> None:
    assert Schedule(0, 10).next_kept(last, now_ns=now_ns, queue=queue) == kept


def test_invariant_3_a_file_waits() -> None:
    pacer = FreeRun(10, late=Late.WAIT)
    pacer.start()
    assert take(pacer).sequence == 1
    time.sleep(0.06)
    entered = time.monotonic_ns()
    second, third = take(pacer), take(pacer)
    assert (second.sequence, third.sequence) == (2, 3)
    assert second.captured.mono_ns >= entered
    assert third.captured.mono_ns - second.captured.mono_ns == 10_000_000


def test_invariant_4_each_order_gives_one_slot_at_its_time() -> None:
    pacer = Software()
    pacer.start()
    stamps = []
    for _ in range(3):
        stamps.append(time.monotonic_ns())
        pacer.trigger()
    slots = [take(pacer) for _ in range(3)]
    assert [slot.sequence for slot in slots] == [1, 2, 3]
    assert all(a <= b.captured.mono_ns for a, b in zip(stamps, slots, strict=True))
    assert pacer.wait(0.0) is None


def test_invariant_4_too_many_orders_leave_a_hole() -> None:
    pacer = Software(queue=2)
    pacer.start()
    for _ in range(5):
        pacer.trigger()
    assert [take(pacer).sequence, take(pacer).sequence] == [4, 5]
    assert pacer.wait(0.0) is None


def test_invariant_4_orders_from_many_threads_are_all_kept() -> None:
    pacer = Software()
    pacer.start()

    def order_ten() -> None:
        for _ in range(10):
            pacer.trigger()

    threads = [threading.Thread(target=order_ten) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slots = [take(pacer) for _ in range(80)]
    assert [slot.sequence for slot in slots] == list(range(1, 81))
    assert all(a.captured.mono_ns <= b.captured.mono_ns for a, b in itertools.pairwise(slots))


@pytest.mark.parametrize("late", list(Late))
def test_invariant_5_without_a_takt_nothing_is_lost(late: Late) -> None:
    pacer = FreeRun(0, late=late)
    pacer.start()
    slots = []
    for _ in range(20):
        slots.append(take(pacer))
        time.sleep(0.001)
    assert [slot.sequence for slot in slots] == list(range(1, 21))
    assert all(a.captured.mono_ns < b.captured.mono_ns for a, b in itertools.pairwise(slots))


@pytest.mark.parametrize("trigger", list(Trigger))
def test_invariant_6_stop_ends_a_wait(trigger: Trigger) -> None:
    pacer = make_pacer(trigger, 60_000, late=Late.LOSE)
    pacer.start()
    timer = threading.Timer(0.03, pacer.stop)
    begin = time.monotonic()
    timer.start()
    assert pacer.wait(30.0) is None
    assert time.monotonic() - begin < 2.0
    timer.join()


def test_orders_to_a_stopped_camera_are_dropped() -> None:
    pacer = Software()
    pacer.trigger()
    pacer.start()
    assert pacer.wait(0.0) is None
    pacer.trigger()
    pacer.stop()
    pacer.start()
    assert pacer.wait(0.0) is None


def test_a_capture_is_approached_and_not_taken() -> None:
    pacer = FreeRun(100, late=Late.LOSE)
    pacer.start()
    begin = time.monotonic()
    assert not pacer.approach(0.02, 0.03)  # not near in time
    assert pacer.approach(0.05, 1.0)
    assert 0.04 < time.monotonic() - begin < 0.09
    assert take(pacer).sequence == 1
    threading.Timer(0.02, pacer.stop).start()
    assert not pacer.approach(0.0, 5.0)  # stopped
    assert FreeRun(0, late=Late.LOSE).approach(1.0, 0.0)  # as fast as they are read


def test_an_order_may_come_at_any_time() -> None:
    pacer = Software()
    pacer.start()
    assert pacer.approach(1.0, 0.0)
    pacer.stop()
    assert not pacer.approach(1.0, 0.0)
