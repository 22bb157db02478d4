from __future__ import annotations

import threading
import time

from edge_agent.collector.inbox import Inbox


def put_soon(inbox: Inbox[int], item: int, size: int) -> tuple[threading.Thread, list[bool]]:
    said: list[bool] = []
    thread = threading.Thread(target=lambda: said.append(inbox.put(item, size)))
    thread.start()
    return thread, said


def test_bounded() -> None:
    inbox = Inbox[int](100)
    assert inbox.put(1, 1000)
    thread, said = put_soon(inbox, 2, 1)
    time.sleep(0.05)
    assert not said
    assert inbox.take(10) == [1]
    thread.join(2)
    assert said == [True]


def test_in_order() -> None:
    inbox = Inbox[int](100)
    for item in range(5):
        inbox.put(item, 1)
    assert inbox.take(3) == [0, 1, 2]
    assert inbox.take(3) == [3, 4]


def test_closing_frees_whoever_waits() -> None:
    inbox = Inbox[int](10)
    inbox.put(1, 100)
    thread, said = put_soon(inbox, 2, 1)
    time.sleep(0.02)
    inbox.close()
    thread.join(2)
    assert said == [False]
    assert inbox.take(5) == [1]
    assert inbox.take(5) == []
