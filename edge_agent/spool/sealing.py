"""The thread of a spool: it syncs, seals, evicts, and tries a disk again that does not work.

Invariants, each held by a test of its name in tests/unit/spool/test_sealing.py:

1. *never dies*: a round that fails is counted, told, and followed by the next one.
2. *the disk is bounded*: beyond the quota the oldest batches of the least important lane go, each
   with a notice; while nothing can be sealed, the journals take no more than the quota either.
3. *what failed to sync is not trusted*: its segment takes no more records, and is sealed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from edge_agent.spool import journal
from edge_agent.spool.ends import End
from edge_agent.spool.files import Files
from edge_agent.spool.lanes import Backlog, Damage, Lane, LaneStats, Stats
from edge_agent.spool.ring import Ring
from edge_agent.spool.rows import Damaged
from edge_agent.spool.syncing import LOG_BYTES, Fresh, Syncing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_agent.spool.segment import Segment
    from edge_agent.spool.settings import SpoolSettings

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_IDLE_MS = 200
_DRAIN = 256
_RETIRED_MOST = 8
_DAMAGES = 8
_OVER_BYTES = 2**20
_AGAIN_BYTES = 2**20


class Sealing:
    """What the spool's thread does.

    Args:
        directory: Of the spool.
        lanes: The most important first.
        settings: Of the spool.
        on_sealed: Called after new batches were committed.
    """

    def __init__(
        self,
        directory: Path,
        lanes: Sequence[Lane],
        settings: SpoolSettings,
        on_sealed: Callable[[], None],
    ) -> None:
        self.on_sealed = on_sealed
        self.files = Files(directory, settings, self._report)
        self.ring = Ring([lane.name for lane in lanes], settings.memory_bytes)
        self.ends = {lane.name: End(lane, settings) for lane in lanes}
        self.wake = threading.Event()
        self.syncing = Syncing(self.files, lambda: tuple(self.ends.values()), self.distrust)
        self.error = ""
        self.damage = ""  # what is wrong with the database, until it is made anew
        self._directory = directory
        self._lanes = tuple(lanes)
        self._settings = settings
        self._faults = 0
        self._synced_ns = 0
        self._stopping = False
        self._flush_asked = 0
        self._flushed = 0
        self._flush_done = threading.Condition()
        self._damages: deque[Damage] = deque(maxlen=_DAMAGES)

    # --- asked by other threads --------------------------------------------------------------

    def flush(self, timeout_s: float) -> bool:
        """Ask for a round that seals everything, and wait for it; False if it was not in time."""
        with self._flush_done:
            self._flush_asked += 1
            ticket = self._flush_asked
            self.wake.set()
            return self._flush_done.wait_for(lambda: self._flushed >= ticket, timeout_s)

    def stop(self) -> None:
        """Ask for the last round."""
        self._stopping = True
        self.wake.set()

    def close(self) -> None:
        """Close the files, after the thread has ended."""
        for end in self.ends.values():
            for segment in (*end.retired, end.segment, end.spare):
                if segment is not None:
                    segment.close()
        self.files.close()

    def distrust(self, end: End, error: OSError) -> None:
        """Write no more to a segment that could not be synced: what it holds is sealed at once."""
        self.error = self.error or f"{error.strerror}"
        with end.lock:
            for segment in end.retired:
                segment.is_doubtful = segment.is_doubtful or segment.size != segment.synced
            if end.segment is not None:
                end.segment.is_doubtful = True
                end.retired.append(end.segment)
                end.segment, end.spare = end.spare, None
                if end.segment is not None:
                    self._begin(end)
            if end.segment is None:
                end.waits = True
        self.wake.set()

    def acknowledge(self, end: End, ranges: Sequence[tuple[int, int]]) -> int:
        """Forget batches; return how many were there. The database lock is held."""
        freed = self.files.kept.acknowledge(end.row, ranges)
        end.forget(freed)
        return freed.batches

    def backlog(self) -> Backlog:
        """Count what waits."""
        parts = [self._lane_stats(end).backlog for end in tuple(self.ends.values())]
        return Backlog(
            sum(part.records for part in parts),
            sum(part.batches for part in parts),
            sum(part.bytes for part in parts),
        )

    def stats(self) -> Stats:
        """Tell how the spool stands."""
        lanes = {name: self._lane_stats(end) for name, end in tuple(self.ends.items())}
        waiting = sum(lane.in_memory for lane in lanes.values())
        error = self.error or self.files.kept.log_error
        if waiting:
            error = f"{error or 'disk does not work'}; {waiting} records wait in memory"
        return Stats(lanes, self._faults, error, self.files.torn_bytes, tuple(self._damages))

    def _lane_stats(self, end: End) -> LaneStats:
        ring = self.ring if end.lane in self._lanes else None
        return end.stats(ring)

    # --- the thread --------------------------------------------------------------------------

    def run(self) -> None:
        """Sync, seal and evict until the spool is closed."""
        pause = min(self._settings.sync_ms or _IDLE_MS, self._settings.batch_age_ms) / 1000
        wait = pause
        while True:
            self.wake.wait(wait)
            self.wake.clear()
            stopping, ticket = self._stopping, self._flush_asked
            try:
                self._round(force=stopping or ticket > self._flushed)
            except Exception as error:  # noqa: BLE001 - supervised: counted, told, tried again
                self.note_fault(error)
                wait = _RETRY_S
            else:
                self.error, wait = "", pause
                with self._flush_done:
                    self._flushed = ticket
                    self._flush_done.notify_all()
            if stopping:
                return

    def note_fault(self, error: Exception) -> None:
        """Count and tell a failure."""
        self._faults += 1
        if isinstance(error, Damaged):
            self.damage = str(error)
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.error = f"{self._directory}: {text or type(error).__name__}"
        log.warning("spool: records wait for the disk: %s", self.error)
        if self._settings.memory_bytes and self._is_over_quota():
            for end in self.ends.values():
                end.waits = True

    def _report(self, text: str) -> None:
        log.error("spool: %s", text)
        self._damages.append(Damage(text, time.monotonic_ns()))

    def open(self) -> None:
        """Open the files, and give each lane its segments.

        Raises:
            SpoolError: Another process holds them.
            OSError: The disk fails.
            sqlite3.Error: The disk fails.
        """
        with self.files.kept.lock:
            found = self.files.open(self._lanes)
        ends: dict[str, End] = {}
        for each in found:
            end = self.ends.get(each.lane.name) or End(each.lane, self._settings)
            end.row, end.holding = each.row, each.holding
            end.next_number = each.row.sealed + 1
            ends[each.lane.name] = end
        self.ends = ends
        for lane in self._lanes:
            self._drain(ends[lane.name])

    def _round(self, *, force: bool) -> None:
        if self.damage:
            self._rebuild()
        elif not self.files.kept.is_open:
            self.open()
        try:
            sealed = self._seal_due(force=force)
        finally:
            self._sync(force=force)
        if sealed:
            self._evict()
        waiting = [end for lane in self._lanes if (end := self.ends[lane.name]).waits]
        for end in waiting:
            self._drain(end)
        if waiting and force:
            sealed = self._seal_due(force=True) or sealed
        if sealed:
            self.on_sealed()

    def _rebuild(self) -> None:
        """Make the database anew; what was lost with the old one is told in each stream."""
        with self.files.kept.lock:
            self.files.rebuild(self.damage, [end.row for end in self.ends.values()])
            for end in self.ends.values():
                end.holding = self.files.kept.database.holding(end.row)
            self.damage = ""

    def _sync(self, *, force: bool) -> None:
        now_ns = time.monotonic_ns()
        if not force and now_ns - self._synced_ns < self._settings.sync_ms * 900_000:
            return
        self.syncing.sync(tuple(self.ends.values()))
        self._synced_ns = now_ns

    def _seal_due(self, *, force: bool) -> bool:
        sealed = False
        fresh: list[Fresh] = []
        due = [end for end in self.ends.values() if force or self._is_due(end)]
        for end in self.ends.values():
            # What would be due soon goes along: one write for both.
            if (end in due or (due and self._is_due(end, early=0.5))) and (
                len(end.retired) < _RETIRED_MOST
            ):
                self._rotate(end)
            made = self._fresh(end)
            if made is not None:
                fresh.append(made)
                continue
            while end.retired:
                self._seal_segment(end, end.retired[0])
                sealed = True
        return self._shelve(fresh) or sealed

    def _fresh(self, end: End) -> Fresh | None:
        """Make a small batch of what a lane has retired; None where the database must take it."""
        if len(end.retired) != 1 or end.retired[0].size > LOG_BYTES:
            return None
        segment, row = end.retired[0], end.row
        content = journal.parse(segment.read())
        if len(content.runs) != 1 or content.runs[0].first != row.sealed + 1:
            return None
        (run,) = content.runs
        whole = run.last == segment.last and not content.damaged_tail and not content.torn_bytes
        if not whole or len(run.records) > self._settings.batch_records:
            return None
        with self.files.kept.lock:
            if not self.files.kept.can_shelve(row):
                return None
        return Fresh(end, segment, self.files.kept.fresh_batch(row, run.records))

    def _shelve(self, fresh: Sequence[Fresh]) -> bool:
        """Bring small batches to the disk by the sync log, with what else is due, in one write."""
        if not fresh:
            return False
        done = self.syncing.shelve(fresh)
        for each in fresh:
            if not done:
                self._seal_segment(each.end, each.segment)
                continue
            with self.files.kept.lock:
                each.end.holding.batches += 1
                each.end.holding.records += each.batch.last - each.batch.first + 1
                each.end.holding.bytes += len(each.batch.data)
            self._use_again(each.end, each.segment)
        return True

    def _use_again(self, end: End, segment: Segment) -> None:
        """Make the lane's spare of a segment that is sealed, or delete it."""
        with self.syncing.lock, end.lock:
            end.retired.remove(segment)
        if end.spare is None and not segment.is_doubtful and segment.size <= _AGAIN_BYTES:
            try:
                segment.renew()
            except OSError:
                segment.is_doubtful = True
            else:
                with end.lock:
                    end.spare = segment
                return
        segment.path.unlink(missing_ok=True)
        segment.close()

    def _is_due(self, end: End, early: float = 1.0) -> bool:
        segment = end.segment
        if segment is None or segment.records == 0:
            return False
        if segment.records >= end.seal_at_records or segment.size >= end.seal_at_bytes:
            return True
        now_ns = time.monotonic_ns()
        segment.started_ns = segment.started_ns or now_ns
        return now_ns - segment.started_ns >= early * self._settings.batch_age_ms * 1_000_000

    def _rotate(self, end: End) -> None:
        """Give `append` a new segment and retire the one it had."""
        if end.segment is None or end.segment.records == 0:
            return
        if end.spare is None:
            end.spare = self.files.new_segment(end.lane, end.row)
        with end.lock:
            end.retired.append(end.segment)
            end.segment, end.spare = end.spare, None
            self._begin(end)

    def _begin(self, end: End) -> None:
        """Write into the head of a lane's segment where it begins. The lane's lock is held."""
        assert end.segment is not None
        try:
            end.segment.begin(end.next_number - 1)
        except OSError as error:
            self.error = self.error or f"{error.strerror}"
            end.waits = True  # nothing is written behind a head that is not there

    def _seal_segment(self, end: End, segment: Segment) -> None:
        """Seal the oldest retired segment, then delete it."""
        content = journal.parse(segment.read())
        with self.files.kept.lock:
            before = end.row.damaged
            for batch in self.files.kept.seal(end.row, content.runs, last=segment.last):
                end.holding.batches += 1
                end.holding.records += batch.count
                end.holding.bytes += len(batch.data)
        if end.row.damaged > before:
            log.error("%d records of lane %s are damaged", end.row.damaged - before, end.lane.name)
        if content.is_damaged:
            self.files.forget(segment.path, content)
            segment.is_doubtful = True
        self._use_again(end, segment)

    def _evict(self) -> None:
        """Bring the spool under its quota: the oldest batches of the least important lane.

        What is open in a lane goes before batches of a more important one, so that is waited for.
        """
        quota = self._settings.quota_bytes
        for end in reversed(self.ends.values()):
            while self.backlog().bytes > quota and end.holding.batches:
                with self.files.kept.lock:
                    freed = self.files.kept.evict_oldest(end.row)
                    end.forget(freed)
                log.warning(
                    "spool is over its quota: %d records of lane %s evicted",
                    freed.records,
                    end.lane.name,
                )
            if end.segment is not None and end.segment.records:
                return

    def _is_over_quota(self) -> bool:
        """Whether even eviction would not bring it under the quota: nothing can be sealed."""
        return self.backlog().bytes > self._settings.quota_bytes + _OVER_BYTES

    def _drain(self, end: End) -> None:
        """Bring what waits in memory into the journal; then `append` writes there again."""
        if self._is_over_quota():
            return
        if end.segment is None:
            segment = end.spare or self.files.new_segment(end.lane, end.row)
            segment.begin(end.next_number - 1)
            with end.lock:
                end.segment, end.spare = segment, None
        if end.spare is None:
            end.spare = self.files.new_segment(end.lane, end.row)
        name = end.lane.name
        while True:
            with end.lock:
                dropped, records = self.ring.take(name, _DRAIN)
                if not dropped and not records:
                    end.waits = False
                    return
            written = 0
            try:
                if dropped:
                    self._write_off(end, dropped)
                    dropped = 0
                for record in records:
                    end.segment.write(end.next_number, record)
                    end.next_number += 1
                    written += 1
                if records:
                    self.syncing.sync([end])
            finally:
                if dropped or written < len(records):
                    self.ring.put_back(name, dropped, records[written:])

    def _write_off(self, end: End, dropped: int) -> None:
        """Number dropped records and note their loss, after all before them is sealed."""
        self._rotate(end)
        while end.retired:
            self._seal_segment(end, end.retired[0])
        last = end.row.sealed + dropped
        with self.files.kept.lock:
            self.files.kept.write_off(end.row, last, "dropped")
        log.error("%d records of lane %s found no room in memory", dropped, end.lane.name)
        with end.lock:
            end.next_number = last + 1
            self._begin(end)
