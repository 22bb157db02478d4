"""The alarm desk: takes conditions from every stage, keeps and announces what follows.

Invariants:
    - A transition is in the spool, synced, and in the saved book before it is announced.
    - `observe` may be called on the path of a part: it touches no disk and no network.
    - Transitions are kept and announced in the order in which they happened.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from edge_agent import clock
from edge_agent.alarms.book import Alarm, AlarmBook, Transition
from edge_agent.alarms.catalogue import AlarmKind, key_of
from edge_agent.alarms.state import AlarmEvent
from edge_agent.errors import SpoolError, UsageError
from edge_agent.files import write_durably

log = logging.getLogger(__name__)

LANE = "alarms"


class Keeper(Protocol):
    """Where transitions are kept; `edge_agent.spool.Spool` is one."""

    def append(self, lane: str, record: bytes) -> int:
        """Keep a record; raises SpoolError."""


Announce = Callable[[Transition, Alarm], None]
"""Called with each kept transition and the alarm as it then stands."""


class AlarmDesk:
    """Keep the book of alarms for all stages. Thread-safe.

    Args:
        keeper: Takes the transitions.
        announce: Tells the world.
        saved: File that carries the book over a restart.
    """

    def __init__(self, keeper: Keeper, announce: Announce, saved: Path) -> None:
        self._keeper = keeper
        self._announce = announce
        self._saved = saved
        self._book = AlarmBook(clock.boot_id())
        self._lock = threading.Lock()
        self._quiet: set[str] = set()  # keys with nothing standing and nothing pending
        self._queue: queue.SimpleQueue[tuple[Transition, Alarm] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="alarm-desk", daemon=True)
        self._restore()

    def start(self) -> None:
        """Start announcing."""
        self._thread.start()

    def observe(self, kind: AlarmKind, source: str, text: str) -> None:
        """Take note of a condition; an empty text says that nothing is wrong."""
        key = key_of(kind, source)
        if not text and key in self._quiet:
            return
        with self._lock:
            transition = self._book.observe(kind, source, text=text, at=clock.now())
            alarm = self._book.get(key)
            if not text and (alarm is None or not alarm.active):
                self._quiet.add(key)
            else:
                self._quiet.discard(key)
            self._post(transition)

    def act(self, key: str, event: AlarmEvent) -> None:
        """Do what a person asks; see `AlarmBook.act`.

        Raises:
            UsageError: There is no such alarm.
        """
        with self._lock:
            self._post(self._book.act(key, event, clock.now()))

    def alarms(self) -> list[Alarm]:
        """Return all alarms that ever stood."""
        with self._lock:
            return self._book.alarms()

    def standing(self) -> list[Alarm]:
        """Return the alarms that are not normal."""
        with self._lock:
            return self._book.standing()

    def close(self) -> None:
        """Keep and announce what is waiting, then stop."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _post(self, transition: Transition | None) -> None:
        if transition is not None:
            alarm = self._book.get(transition.key)
            assert alarm is not None
            self._queue.put((transition, alarm))

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            transition, alarm = item
            log.warning("alarm %s %s: %s", transition.key, transition.state, transition.text)
            try:
                self._keeper.append(LANE, msgspec.json.encode(transition))
                with self._lock:
                    snapshot = self._book.snapshot()
                write_durably(self._saved, snapshot)
            except (SpoolError, OSError) as error:
                # Said all the same: an alarm that cannot be kept must still be heard.
                log.error("alarm %s cannot be kept: %s", transition.key, error)  # noqa: TRY400
            self._announce(transition, alarm)

    def _restore(self) -> None:
        try:
            self._book.restore(self._saved.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, UsageError) as error:
            log.error("alarms of before are lost: %s: %s", self._saved, error)  # noqa: TRY400
