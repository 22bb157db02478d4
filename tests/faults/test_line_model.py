"""Random actions on a real spool, a real store and a network between them, held against a model.

The network is a bag: what is in it comes in any order, twice, or never. The model is what `append`
said; what is right is: nothing that the device forgets is missing in the store, nothing is there
twice or changed, and in the end every number is stored or in a notice.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from edge_agent.collector import messages
from edge_agent.collector.gaps import GapState
from edge_agent.collector.messages import Arrival, Delivery
from edge_agent.collector.settings import StoreSettings
from edge_agent.collector.store import Group, Outcome, StoreUnavailable, open_store
from edge_agent.collector.stores.sqlite import SqliteStore
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool
from tests.faults.ledger import fetch

if TYPE_CHECKING:
    from edge_agent.collector.gaps import Gap

LANES = (
    Lane("alarms", "alarms", urgent=True),
    Lane("ng", "inspections"),
    Lane("ok", "inspections"),
)
NAMES = st.sampled_from([lane.name for lane in LANES])
PLACES = st.integers(0, 10**6)
QUOTA_BYTES = 8000
SETTINGS = SpoolSettings(batch_records=6, batch_age_ms=3_600_000, quota_bytes=QUOTA_BYTES)
ROOT, DEVICE = "edge/v1", "dev1"
_FOREVER_NS = 10**18
_SHARED = "/dev/shm"

Batch = tuple[str, str, bytes]  # kind, stream, payload


def _nothing(*, force: bool) -> None:
    pass


class PathMachine(RuleBasedStateMachine):
    """Append, seal, send, lose, double, disorder, commit, fail, acknowledge, ask, crash.

    An action that finds nothing does nothing, instead of not being offered: what is there depends
    on the spool's own thread too, and the choice must not.
    """

    def __init__(self) -> None:
        super().__init__()
        base = _SHARED if Path(_SHARED).is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="edge-path-", dir=base))
        self.url = f"sqlite:///{self.folder}/collector.db"
        self.told: dict[str, dict[int, bytes]] = defaultdict(dict)  # lane: number: record
        self.under_way: list[Batch] = []
        self.acks: list[tuple[str, int]] = []
        self.sent: list[Batch] = []
        self.clock_ns = 1_800_000_000 * 10**9
        self.count = 0
        self.quiet = 0
        self.open_device()
        self.open_collector()

    def open_device(self) -> None:
        self.spool = Spool(self.folder / "spool", LANES, SETTINGS)
        self.streams = {lane.stream: name for name, lane in self.spool.stats().lanes.items()}

    def open_collector(self) -> None:
        store = open_store(StoreSettings(url=self.url))
        assert isinstance(store, SqliteStore)
        self.store = store

    # --- the device --------------------------------------------------------------------------

    @rule(lane=NAMES, size=st.integers(1, 200), times=st.integers(1, 20))
    def append(self, lane: str, size: int, times: int) -> None:
        for _ in range(times):
            self.count += 1
            noise = hashlib.shake_128(b"%d" % self.count).hexdigest(size)  # does not shrink
            record = b'{"part":"%d","pad":"%s"}' % (self.count, noise.encode())
            number = self.spool.append(lane, record)
            assert number == max(self.told[lane], default=0) + 1
            self.told[lane][number] = record

    @rule()
    def seal(self) -> None:
        self.spool.flush(20)

    @rule(lane=NAMES, skip=st.integers(0, 3), most=st.integers(1, 5))
    def send(self, lane: str, skip: int, most: int) -> None:
        for sealed in self.spool.pending(lane, limit=most + skip)[skip:]:
            batch = (sealed.kind, sealed.stream, sealed.data)
            self.under_way.append(batch)
            self.sent.append(batch)

    @rule()
    def crash_device(self) -> None:
        self.spool._sealing._round = _nothing  # type: ignore[method-assign]  # it does no more
        self.spool._sealing.stop()
        self.spool._thread.join()
        self.spool._sealing.close()
        self.open_device()

    @rule()
    def restart_device(self) -> None:
        self.spool.close()
        self.open_device()

    # --- the network -------------------------------------------------------------------------

    @rule(place=PLACES)
    def lose_a_batch(self, place: int) -> None:
        if not self.under_way:
            return
        self.under_way.pop(place % len(self.under_way))

    @rule(place=PLACES)
    def double_a_batch(self, place: int) -> None:
        if not self.under_way:
            return
        self.under_way.append(self.under_way[place % len(self.under_way)])

    @rule(place=PLACES, most=st.integers(1, 6))
    def restore_the_broker_from_a_backup(self, place: int, most: int) -> None:
        if not self.sent:
            return
        first = place % len(self.sent)
        self.under_way += self.sent[first : first + most]

    @rule(place=PLACES)
    def lose_an_acknowledgement(self, place: int) -> None:
        if not self.acks:
            return
        self.acks.pop(place % len(self.acks))

    @rule(place=PLACES)
    def acknowledge(self, place: int) -> None:
        if not self.acks:
            return
        stream, number = self.acks.pop(place % len(self.acks))
        self.spool.acknowledge(stream, [(number, number)])

    # --- the collector -----------------------------------------------------------------------

    @rule(places=st.lists(PLACES, min_size=1, max_size=6))
    def commit(self, places: list[int]) -> None:
        if not self.under_way:
            return
        self.take(places)

    @rule(places=st.lists(PLACES, min_size=1, max_size=6), steps=st.integers(1, 400))
    def fail_in_mid_commit(self, places: list[int], steps: int) -> None:
        if not self.under_way:
            return
        pool = self.store._engine.raw_connection()
        connection: Any = pool.driver_connection
        connection.set_progress_handler(lambda: 1, steps)
        try:
            self.take(places)
        except StoreUnavailable:
            pass  # nothing may be stored, and nobody is told
        finally:
            connection.set_progress_handler(None, 0)
            pool.close()

    @rule()
    def crash_collector(self) -> None:
        self.store._engine.dispose()
        self.open_collector()

    @rule()
    def ask_for_what_is_missing(self) -> None:
        self.clock_ns += 3600 * 10**9
        for gap in self.store.sweep(self.clock_ns, grace_s=1):
            self.answer(gap)

    def take(self, places: list[int]) -> None:
        """Commit batches that came, in the order of the places, and acknowledge them."""
        chosen = [self.under_way[place % len(self.under_way)] for place in places]
        came: list[Delivery] = []
        for kind, _, payload in chosen:
            self.clock_ns += 10**6
            arrival = Arrival(f"{ROOT}/{DEVICE}/batch/{kind}", payload, self.clock_ns)
            read = messages.read(ROOT, arrival, limit_bytes=2**20)
            assert isinstance(read, Delivery)
            came.append(read)
        outcomes = self.store.commit(Group(came, [], []))
        assert Outcome.CONTRADICTED not in outcomes
        for batch, delivery in zip(chosen, came, strict=True):
            if batch in self.under_way:
                self.under_way.remove(batch)
            self.acks.append((delivery.header.stream, delivery.header.batch))

    def answer(self, gap: Gap) -> None:
        """Send again what the device still has, and say of the rest that it is gone."""
        assert gap.device == DEVICE
        lane = self.streams[gap.stream]
        first, last = gap.hole.first_batch, gap.hole.last_batch
        here = set()
        for sealed in self.spool.pending(lane, after=first - 1, limit=10**6):
            if sealed.batch <= last:
                here.add(sealed.batch)
                self.under_way.append((sealed.kind, sealed.stream, sealed.data))
        gone = [(n, n) for n in range(first, last + 1) if n not in here]
        if gone:
            self.store.gone(DEVICE, gap.stream, gone, self.clock_ns)

    # --- what must hold ----------------------------------------------------------------------

    @invariant()
    def what_is_stored_is_what_was_told(self) -> None:
        self.quiet += 1
        if self.quiet % 8 == 0:
            self.stored()

    def stored(self) -> dict[str, set[int]]:
        """Return the numbers that are stored, by lane; none twice, none changed."""
        found: dict[str, set[int]] = defaultdict(set)
        for table in ("inspections", "alarms"):
            for stream, number, record in fetch(
                self.url, f"SELECT stream, number, record FROM {table}"
            ):
                lane = self.streams[stream]
                assert number not in found[lane], "there twice"
                assert self.told[lane][number] == record.encode(), "changed"
                found[lane].add(number)
        return found

    def noticed(self) -> dict[str, set[int]]:
        """Return the numbers that notices in the store say are gone, by lane."""
        found: dict[str, set[int]] = defaultdict(set)
        for stream, first, last in fetch(self.url, "SELECT stream, first, last FROM losses"):
            found[self.streams[stream]].update(range(first, last + 1))
        return found

    def teardown(self) -> None:
        for _ in range(2):  # the second brings the notices of what the first evicted
            for lane in LANES:
                self.append(lane.name, 1, 1)
            self.deliver_everything()
        stored, noticed = self.stored(), self.noticed()
        for lane in LANES:
            every = set(range(1, self.spool.stats().lanes[lane.name].appended + 1))
            assert stored[lane.name] | noticed[lane.name] == every, "gone without a notice"
        self.clock_ns += 10**15
        self.store.sweep(self.clock_ns, grace_s=1)
        states = {state for (state,) in fetch(self.url, "SELECT state FROM gaps")}
        assert GapState.OPEN.value not in states, "asked for what notices tell of, or is there"
        assert self.spool.backlog().records == 0
        self.spool.close()
        self.store.close()
        shutil.rmtree(self.folder)

    def deliver_everything(self) -> None:
        self.spool.flush(20)
        while self.spool.backlog().batches:
            for lane in self.spool.lanes:
                self.send(lane.name, 0, 10)
            while self.under_way:
                self.take(list(range(min(20, len(self.under_way)))))
            while self.acks:
                self.acknowledge(0)


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        PathMachine, settings=settings(max_examples=examples, stateful_step_count=steps)
    )


def test_random_actions_on_the_whole_path_agree_with_the_model() -> None:
    run(15, 80)


@pytest.mark.slow
def test_many_random_actions_on_the_whole_path_agree_with_the_model() -> None:
    run(300, 150)
