"""Random actions on a real spool, held against a model that is a few dictionaries."""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edge_agent.spool import batch
from edge_agent.spool.segment import Segment
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool

LANES = (Lane("alarms", "alarms", urgent=True), Lane("ng", "parts"), Lane("ok", "parts"))
NAMES = st.sampled_from([lane.name for lane in LANES])
QUOTA_BYTES = 6000
SETTINGS = SpoolSettings(
    batch_records=8, batch_age_ms=3_600_000, quota_bytes=QUOTA_BYTES, memory_bytes=1500
)  # the quota is smaller than a configuration may say: evictions are to be seen


class Brittle(Segment):
    """A segment on a disk that can be full."""

    is_full = False

    def _write(self, data: bytes, at: int) -> None:
        if Brittle.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super()._write(data, at)


def _nothing(*, force: bool) -> None:
    pass


class SpoolMachine(RuleBasedStateMachine):
    """Append, sync, seal, acknowledge, evict, fill the disk, crash, close, open."""

    def __init__(self) -> None:
        super().__init__()
        Brittle.is_full = False
        self.folder = Path(tempfile.mkdtemp(prefix="edge-model-"))
        self.told: dict[str, dict[int, bytes]] = defaultdict(dict)  # lane: number: record
        self.waiting: dict[str, list[bytes]] = defaultdict(list)  # put into memory, in order
        self.acknowledged: dict[str, set[int]] = defaultdict(set)
        self.lost: dict[str, set[int]] = defaultdict(set)
        self.seen: dict[tuple[str, int], bytes] = {}
        self.streams: dict[str, str] = {}
        self.count = 0
        self.open()

    def open(self) -> None:
        self.spool = Spool(self.folder / "spool", LANES, SETTINGS)
        streams = {name: lane.stream for name, lane in self.spool.stats().lanes.items()}
        assert self.streams in ({}, streams), "a stream ended without need"
        self.streams = streams
        self.last = {name: lane.appended for name, lane in self.spool.stats().lanes.items()}

    @rule(lane=NAMES, size=st.integers(1, 300), times=st.integers(1, 12))
    def append(self, lane: str, size: int, times: int) -> None:
        for _ in range(times):
            self.count += 1
            record = b"%d:" % self.count + self.count.to_bytes(8, "big").hex().encode() * (
                size // 8
            )
            number = self.spool.append(lane, record)
            if number:
                assert number not in self.told[lane]
                assert number == self.last[lane] + len(self.waiting[lane]) + 1, "one overtook"
                self.waiting[lane].clear()  # the disk took them, or notices tell of them
                self.last[lane] = number
                self.told[lane][number] = record
            else:
                self.waiting[lane].append(record)

    @precondition(lambda self: not Brittle.is_full and not any(self.waiting.values()))
    @rule(lane=NAMES)
    def sync(self, lane: str) -> None:
        self.spool.sync(lane)

    @precondition(lambda _: not Brittle.is_full)
    @rule()
    def seal(self) -> None:
        self.spool.flush(20)
        self.settle()

    @rule(lane=NAMES, share=st.floats(0, 1))
    def acknowledge_some(self, lane: str, share: float) -> None:
        self.acknowledge(lane, share)

    def acknowledge(self, lane: str, share: float) -> None:
        pending = self.look(lane)
        for sealed in pending[: round(len(pending) * share)]:
            assert self.spool.acknowledge(sealed.stream, [(sealed.batch, sealed.batch)]) in {0, 1}
            self.acknowledged[lane].update(range(sealed.first, sealed.last + 1))

    @rule()
    def fill_the_disk(self) -> None:
        Brittle.is_full = True

    @rule()
    def free_the_disk(self) -> None:
        Brittle.is_full = False

    @rule()
    def crash(self) -> None:
        Brittle.is_full = False
        self.spool._sealing._round = _nothing  # type: ignore[method-assign]  # it does no more
        self.spool._sealing.stop()
        self.spool._thread.join()
        self.settle()  # what the thread had brought into the journal by then
        self.spool._sealing.close()
        self.waiting.clear()
        self.open()

    @precondition(lambda _: not Brittle.is_full)
    @rule()
    def close_and_open(self) -> None:
        self.spool.flush(20)
        self.settle()
        self.spool.close()
        self.open()

    def settle(self) -> None:
        """Take it that what waited got the next numbers; which were dropped, notices tell."""
        for name, lane in self.spool.stats().lanes.items():
            if lane.in_memory == 0:
                self.waiting[name].clear()
                self.last[name] = lane.appended

    def look(self, lane: str) -> list[batch.Header]:
        """Read what is pending, and check that a batch never changes and holds what was told."""
        headers = []
        for sealed in self.spool.pending(lane, limit=10**6):
            key = (sealed.stream, sealed.batch)
            assert self.seen.setdefault(key, sealed.data) == sealed.data, "a batch changed"
            header, records = batch.decode(sealed.data)
            headers.append(header)
            for number, record in enumerate(records, header.first):
                assert self.told[lane].setdefault(number, record) == record
            for loss in header.lost:
                self.lost[lane].update(range(loss.first, loss.last + 1))
        return headers

    @invariant()
    def batches_are_what_was_appended(self) -> None:
        for lane in LANES:
            numbers = [header.first for header in self.look(lane.name)]
            assert numbers == sorted(numbers)

    def teardown(self) -> None:
        Brittle.is_full = False
        end = time.monotonic() + 20
        while self.spool.stats().error:
            assert time.monotonic() < end
            time.sleep(0.05)
        for round_ in range(3):  # each carries the notices of what the one before evicted
            for lane in LANES:
                self.append(lane.name, 1, 1)
            self.spool.flush(20)
            self.settle()
            for lane in LANES:
                self.look(lane.name)
                if round_ == 1:  # there is room from now on
                    self.acknowledge(lane.name, 0.9)
        for lane in LANES:
            stats = self.spool.stats().lanes[lane.name]
            kept = {
                number
                for header in self.look(lane.name)
                for number in range(header.first, header.last + 1)
            }
            accounted = kept | self.acknowledged[lane.name] | self.lost[lane.name]
            every = set(range(1, stats.appended + 1))
            assert every <= accounted, "gone without a notice"
            assert not kept & self.lost[lane.name]
            assert stats.damaged == 0
        assert self.spool.backlog().bytes <= QUOTA_BYTES + 1000
        self.spool.close()
        shutil.rmtree(self.folder)


def test_random_actions_agree_with_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.spool.files.Segment", Brittle)
    run_state_machine_as_test(
        SpoolMachine, settings=settings(max_examples=15, stateful_step_count=25)
    )
