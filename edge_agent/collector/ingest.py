"""Take batches in: one thread owns the link, one reads what came, one writes the database.

While a group is being committed, the next one is read: the database and this process work at the
same time. Never is more than one group under way to the database.

Invariants, each held by a test of its name in tests/unit/collector/test_ingest.py or
tests/integration/test_uplink_to_store.py:

1. *commit before word*: neither broker nor device hears of a message before the transaction that
   holds it is committed.
2. *all is answered*: every message is stored or put in quarantine, and then acknowledged to the
   broker: nothing stays in its queue for ever. The device is told of stored batches only.
3. *a database that is away stops nothing*: the writer tries the same group again until it works.
4. *never dies*: what cannot be stored in a group is stored alone, or put in quarantine.
5. *bounded*: what waits, what is unpacked and what one transaction holds have limits in bytes,
   whatever devices send; while what waits is over its limit, no more is read from the broker.
6. *what is missing is asked for*: the writer looks for gaps between groups, and devices are asked
   for them; what a device has no more is noted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from edge_agent.collector import gaps, messages
from edge_agent.collector.inbox import Inbox
from edge_agent.collector.link import GoneSeen, arrival_of, client_id_of, link_of, read_gone
from edge_agent.collector.messages import Arrival, BirthSeen, Delivery, Rejected
from edge_agent.collector.store import Group, Outcome, Store, StoreUnavailable
from edge_agent.errors import StoreError
from edge_agent.topics import Topics
from edge_agent.uplink import wire
from edge_agent.uplink.client import Acknowledge, Client, Identity, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.collector.gaps import Gap
    from edge_agent.collector.settings import CollectorConfig

log = logging.getLogger(__name__)

_PUMP_S = 0.5
_RETRY_S = 0.5
_INBOX_BYTES = 64 * 2**20
_GROUP_BYTES = 32 * 2**20  # of records, unpacked: a group that has reached it is committed
_MESSAGE_BYTES = 1024  # what a message takes beside its payload, about
_Item = tuple[Message, Arrival | Rejected]
_LEAVE_S = 2.0  # the longest that a stop waits for what was dealt to this collector
_QUIET_S = 0.2
_SWEEPS = 3  # in the time that a gap is given


class Counts(msgspec.Struct):
    """What happened since the start.

    Attributes:
        stored: Batches stored.
        repeated: Batches that were there already.
        rejected: Messages put in quarantine.
        records: Records stored.
        transactions: Commits.
        asked: Gaps that devices were asked for.
        gone: Times that a device had no more what it was asked for.
    """

    stored: int = 0
    repeated: int = 0
    rejected: int = 0
    records: int = 0
    transactions: int = 0
    asked: int = 0
    gone: int = 0


class _Done(msgspec.Struct, frozen=True):
    """A group that is committed: whom to tell what."""

    messages: list[Message]
    told: dict[tuple[str, str], list[int]]  # by device and stream: the batches that are stored


class _Asked(msgspec.Struct, frozen=True):
    """Gaps that are noted as asked for."""

    gaps: list[Gap]


class Ingest:
    """The running collector. `run` blocks; `stop` may come from any thread or a signal handler."""

    def __init__(self, config: CollectorConfig, store: Store) -> None:
        self._settings = config.ingest
        self._root = config.mqtt.root
        self._store = store
        self._client = Client(
            link_of(config.mqtt, config.ingest),
            Identity(
                client_id=client_id_of(config.ingest),
                acknowledge=Acknowledge.BY_HAND,
                receive_maximum=config.ingest.receive_maximum,
            ),
            self,
            reconnect_max_s=5.0,
        )
        self._inbox: Inbox[_Item] = Inbox(_INBOX_BYTES)
        self._done: deque[_Done | _Asked] = deque()
        self._sweep_at = 0.0
        self._heard_at = 0.0
        group = config.ingest.group
        prefix = f"$share/{group}/{self._root}" if group else self._root
        self._shared = (f"{prefix}/+/batch/+", f"{prefix}/+/gone")
        self._stopping = threading.Event()
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="collector-committer")
        self._under_way: Future[None] | None = None
        self._writer = threading.Thread(target=self._write, name="collector-writer")
        self.counts = Counts()

    def run(self) -> None:
        """Take in what comes until `stop` is called; then finish what is begun."""
        self._writer.start()
        try:
            while not self._stopping.is_set():
                self._client.pump(_PUMP_S)
                self._tell()
            self._leave()
        finally:
            self._stopping.set()
            self._inbox.close()
            self._writer.join()
            self._tell()
            self._client.close()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()
        if not self._settings.group:
            self._inbox.close()  # the broker keeps what comes; in a group nobody would
        self._client.wake()

    def _leave(self) -> None:
        """Leave the group: the others get what comes, and this one finishes what it was dealt."""
        if not self._settings.group or not self._client.is_connected:
            return
        for topic in self._shared:
            self._client.unsubscribe(topic)
        now = self._heard_at = time.monotonic()
        end = now + _LEAVE_S
        while self._client.is_connected and now < min(end, self._heard_at + _QUIET_S):
            self._client.pump(_QUIET_S / 4)
            self._tell()
            now = time.monotonic()

    # --- what the client tells (on the thread of `run`) --------------------------------------

    def connected(self) -> None:
        """See `Listener`."""
        log.info("collector is connected")
        for topic in self._shared:
            self._client.subscribe(topic)
        # Each hears all births: a shared subscription is never given retained messages.
        self._client.subscribe(f"{self._root}/+/birth")

    def disconnected(self, reason: str) -> None:
        """See `Listener`."""
        log.warning("collector is down: %s", reason)

    def received(self, message: Message) -> None:
        """See `Listener`."""
        self._heard_at = time.monotonic()
        arrival = arrival_of(message, time.time_ns())
        bare = msgspec.structs.replace(message, payload=b"")
        if len(message.payload) <= self._settings.payload_limit_bytes:
            self._inbox.put((bare, arrival), len(message.payload) + _MESSAGE_BYTES)
        else:
            refused = messages.too_large(self._root, arrival, self._settings.payload_limit_bytes)
            self._inbox.put((bare, refused), _MESSAGE_BYTES)

    def _tell(self) -> None:
        """Tell broker and devices what is committed."""
        while self._done:
            done = self._done.popleft()
            if isinstance(done, _Asked):
                self._ask(done.gaps)
                continue
            for (device, stream), numbers in done.told.items():
                ack = wire.Ack(stream=stream, batches=wire.ranges(numbers))
                self._client.publish(Topics(self._root, device).ack, wire.encode(ack), qos=1)
            for message in done.messages:
                self._client.acknowledge(message)

    def _ask(self, missing: list[Gap]) -> None:
        """Ask devices for what is missing."""
        for (device, stream), batches in gaps.wanted(missing).items():
            log.warning("gap: %s, stream %s, batches %s: asked for", device, stream, batches)
            want = wire.Want(stream=stream, batches=batches[: wire.RANGES_LIMIT])
            self._client.publish(Topics(self._root, device).want, wire.encode(want), qos=1)

    # --- the writer --------------------------------------------------------------------------

    def _write(self) -> None:
        """Store what is in the inbox, as much at once as is there; look for gaps in between."""
        sweep_s = self._settings.gap_grace_s / _SWEEPS
        self._sweep_at = time.monotonic() + sweep_s
        while not self._inbox.is_over:
            wait_s = max(0.0, self._sweep_at - time.monotonic())
            taken = self._inbox.take(self._settings.group_batches, within_s=wait_s)
            try:
                if taken:
                    self._handle(taken)
                if time.monotonic() >= self._sweep_at:
                    self._sweep_at = time.monotonic() + sweep_s
                    self._settle()
                    self._sweep()
            except Exception:  # supervised: nobody is told, so the messages come again
                log.exception("a group of %d messages was left out", len(taken))
        self._committer.shutdown()

    def _sweep(self) -> None:
        """Look for gaps, and have them asked for."""
        try:
            missing = self._store.sweep(time.time_ns(), grace_s=self._settings.gap_grace_s)
        except StoreError as error:
            log.warning("gaps cannot be looked for now: %s", error)
            return
        if missing:
            self.counts.asked += len(missing)
            self._done.append(_Asked(missing))
            self._client.wake()

    def _handle(self, taken: Sequence[_Item]) -> None:
        """Read and store messages, in groups that are not too large."""
        group, done, weight = Group([], [], []), list[Message](), 0
        for message, item in taken:
            weight += self._sort(item, group)
            done.append(message)
            if weight >= _GROUP_BYTES:
                self._hand_over(group, done)
                group, done, weight = Group([], [], []), [], 0
        if done:
            self._hand_over(group, done)

    def _hand_over(self, group: Group, done: list[Message]) -> None:
        """Have a group stored as soon as the one before is, and go on meanwhile."""
        self._settle()
        self._under_way = self._committer.submit(self._supervise, group, done)

    def _settle(self) -> None:
        """Wait until the store is free."""
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _supervise(self, group: Group, done: list[Message]) -> None:
        try:
            self._store_group(group, done)
        except Exception:  # supervised: nobody is told, so the messages come again
            log.exception("a group of %d messages was left out", len(done))

    def _store_group(self, group: Group, done: list[Message]) -> None:
        try:
            told = self._commit(group)
        except StoreError as error:
            log.warning("a group of %d messages cannot be stored: %s", len(done), error)
            told = self._commit_one_by_one(group)
        if told is not None:
            self._done.append(_Done(done, told))
            self._client.wake()

    def _sort(self, came: Arrival | Rejected, group: Group) -> int:
        """Read a message into a group; return the bytes that it takes there, about."""
        item = came if isinstance(came, Rejected) else self._read(came)
        if isinstance(item, GoneSeen):
            self._note_gone(item)
            return 0
        if isinstance(item, Delivery):
            group.deliveries.append(item)
            return item.size
        if isinstance(item, BirthSeen):
            group.births.append(item)
        else:
            log.warning("quarantine: %s: %s", item.arrival.topic, item.reason)
            group.rejects.append(item)
        return len(item.arrival.payload)

    def _read(self, arrival: Arrival) -> Delivery | BirthSeen | GoneSeen | Rejected:
        try:
            if arrival.topic.endswith("/gone"):
                return read_gone(self._root, arrival)
            return messages.read(
                self._root,
                arrival,
                limit_bytes=self._settings.batch_limit_bytes,
                late_s=self._settings.late_s,
            )
        except Exception as error:  # supervised: counted, told, in quarantine
            log.exception("a message on %s could not be read", arrival.topic)
            return messages.reject(arrival, f"{type(error).__name__}: {error}")

    def _note_gone(self, seen: GoneSeen) -> None:
        """Note what a device has no more; if that cannot be now, it will say so again."""
        gone = seen.gone
        log.warning("gap: %s has %s of stream %s no more", seen.device, gone.batches, gone.stream)
        self.counts.gone += 1
        self._settle()
        try:
            self._store.gone(seen.device, gone.stream, gone.batches, time.time_ns())
        except StoreError as error:
            log.warning("what %s has no more cannot be noted now: %s", seen.device, error)

    def _commit(self, group: Group) -> dict[tuple[str, str], list[int]] | None:
        """Store a group; None when the collector was stopped before it could."""
        while True:
            try:
                outcomes = self._store.commit(group)
            except StoreUnavailable as error:
                log.warning("the database is away, trying again: %s", error)
                if self._stopping.wait(_RETRY_S):
                    return None
            else:
                return self._account(group, outcomes)

    def _account(
        self, group: Group, outcomes: Sequence[Outcome]
    ) -> dict[tuple[str, str], list[int]]:
        counts = self.counts
        told: dict[tuple[str, str], list[int]] = {}
        counts.transactions += 1
        counts.rejected += len(group.rejects)
        for delivery, outcome in zip(group.deliveries, outcomes, strict=True):
            if outcome is Outcome.CONTRADICTED:
                counts.rejected += 1
                continue
            counts.stored += outcome is Outcome.STORED
            counts.repeated += outcome is Outcome.REPEATED
            counts.records += delivery.header.count if outcome is Outcome.STORED else 0
            key = (delivery.device, delivery.header.stream)
            told.setdefault(key, []).append(delivery.header.batch)
        return told

    def _commit_one_by_one(self, group: Group) -> dict[tuple[str, str], list[int]] | None:
        """Find what cannot be stored, and put it in quarantine."""
        told: dict[tuple[str, str], list[int]] = {}
        parts = [Group([each], [], []) for each in group.deliveries]
        parts += [Group([], [each], []) for each in group.births]
        parts += [Group([], [], [each]) for each in group.rejects]
        for part in parts:
            try:
                more = self._commit(part)
            except StoreError as error:
                more = self._commit(Group([], [], _as_rejects(part, str(error))))
            if more is None:
                return None
            for key, numbers in more.items():
                told.setdefault(key, []).extend(numbers)
        return told


def _as_rejects(group: Group, reason: str) -> list[Rejected]:
    items: list[Delivery | BirthSeen | Rejected] = [
        *group.deliveries,
        *group.births,
        *group.rejects,
    ]
    return [messages.reject(item.arrival, reason) for item in items]
