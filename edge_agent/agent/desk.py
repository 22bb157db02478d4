"""The alarm desk: takes conditions from every stage, keeps and announces what follows.

Invariants:
    - A transition is in the spool, synced, and then in the saved book, before it is announced. The
      saved book never runs ahead of the spool: an alarm that it holds has been told.
    - What cannot be kept is announced all the same: an alarm must be heard.
    - `observe` may be called on the path of a part: it touches no disk and no network.
    - Transitions are kept and announced in the order in which they happened; a fault on the way of
      one is counted and logged, and the next one goes its way.
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
from edge_agent.errors import UsageError
from edge_agent.files import write_durably

log = logging.getLogger(__name__)

LANE = "alarms"


class Keeper(Protocol):
    """Where transitions are kept; `edge_agent.spool.Spool` is one."""

    def append(self, lane: str, record: bytes) -> int:
        """Keep a record; raises SpoolError."""

    def sync(self, lane: str) -> None:
        """Wait until what was kept would outlive a power cut; raises SpoolError."""


Announce = Callable[[Transition, Alarm], None]
"""Called with each kept transition and the alarm as it then stands."""


class _Posted(msgspec.Struct, frozen=True):
    """A transition on its way, with the alarm and the whole book as they stood right after it."""

    transition: Transition
    alarm: Alarm
    book: bytes


class AlarmDesk:
    """Keep the book of alarms for all stages. Thread-safe.

    Args:
        keeper: Takes the transitions.
        announce: Tells the world.
        saved: File that carries the book over a restart.

    Attributes:
        faults: How often something could not be kept or announced.
    """

    def __init__(self, keeper: Keeper, announce: Announce, saved: Path) -> None:
        self.faults = 0
        self._keeper = keeper
        self._announce = announce
        self._saved = saved
        self._book = AlarmBook(clock.boot_id())
        self._lock = threading.Lock()
        self._quiet: set[str] = set()  # keys with nothing standing and nothing pending
        self._queue: queue.SimpleQueue[_Posted | None] = queue.SimpleQueue()
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
            self._queue.put(_Posted(transition, alarm, self._book.snapshot()))

    def _run(self) -> None:
        while (posted := self._queue.get()) is not None:
            transition = posted.transition
            log.warning("alarm %s %s: %s", transition.key, transition.state, transition.text)
            for what, step in (
                ("kept", self._keep), ("saved", self._save), ("announced", self._tell)
            ):  # fmt: skip
                try:
                    step(posted)
                except Exception as error:  # noqa: BLE001 - the next alarm must be heard: counted
                    self.faults += 1
                    log.error("alarm %s cannot be %s: %s", transition.key, what, error)  # noqa: TRY400 - one line says it

    def _keep(self, posted: _Posted) -> None:
        self._keeper.append(LANE, msgspec.json.encode(posted.transition))
        self._keeper.sync(LANE)

    def _save(self, posted: _Posted) -> None:
        write_durably(self._saved, posted.book)

    def _tell(self, posted: _Posted) -> None:
        self._announce(posted.transition, posted.alarm)

    def _restore(self) -> None:
        try:
            self._book.restore(self._saved.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, UsageError) as error:
            log.error("alarms of before are lost: %s: %s", self._saved, error)  # noqa: TRY400
