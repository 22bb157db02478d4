"""What is sent of the source's batches, when, and what is said of it. On the uplink's thread.

Invariants, each held by a test of its name in tests/unit/uplink/test_batches.py or test_uplink.py:

1. *forgotten only when acknowledged*: the source is told to forget a batch by whom `uplink.ack`
   names, and by nothing else.
2. *urgent overtakes*: nothing is handed to a link that is not clear but what is urgent, so an
   urgent batch never waits behind more than one other and what the kernel took.
3. *within the budget*: what is not urgent asks the budget, sent for the first time or again.
4. *an answer costs little*: what the collector misses is answered of what is in memory, one
   message at a time, whatever ranges it names.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from edge_agent import clock
from edge_agent.uplink import wire
from edge_agent.uplink.client import Taken
from edge_agent.uplink.settings import AckBy
from edge_agent.uplink.window import Sealed, Window, merged

if TYPE_CHECKING:
    from edge_agent.topics import Topics
    from edge_agent.uplink.budget import Budget
    from edge_agent.uplink.client import Client
    from edge_agent.uplink.settings import UplinkSettings

log = logging.getLogger(__name__)

LOOK_S = 0.5  # how often new batches are looked for without being told of them
_WANT_PAUSE_S = 0.1
_WANTS_MOST = 16
_ANSWER_SHARE = 0.75
_URGENT_ROOM = 4
"""How many messages of those that the broker takes at once are kept for what is urgent."""
_DEAR_S = 3600.0
"""The longest pause before a batch is sent again where there is a budget."""

_FOR_EVER_S = 10 * 365 * 86_400
"""The expiry of a batch that only the broker has."""


class Lane(Protocol):
    """A lane of the source."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def urgent(self) -> bool:
        """Whether it goes before others."""

    @property
    def share(self) -> float:
        """How much of a byte budget it may use, 0 to 1."""


class BatchSource(Protocol):
    """Where sealed batches come from and are forgotten: the spool, by shape."""

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes, the most important first; they may become more."""

    @property
    def is_readable(self) -> bool:
        """Whether `pending` tells of all that is there; not while a disk does not work."""

    def pending(self, lane: str, *, after: int, limit: int) -> Sequence[Sealed]:
        """Return the oldest batches of a lane whose number is above `after`."""

    def acknowledge(self, stream: str, ranges: Sequence[tuple[int, int]]) -> int:
        """Forget batches."""


class Batches:
    """Sends batches over a client, and takes what is said of them.

    Attributes:
        sent: Batches sent, repeated ones included.
        sent_bytes: Their payload bytes.
        resent: Batches sent again.
        acked: Batches that were acknowledged and the source then forgot.
        wanted: Messages of a collector that misses batches, answered.
        unheard: Batches that the broker had nobody for, where its word counts.
        charged_bytes: What the link has cost.
        held: Lanes that wait for the budget.
    """

    def __init__(
        self,
        source: BatchSource,
        client: Client,
        topics: Topics,
        *,
        settings: UplinkSettings,
        budget: Budget,
    ) -> None:
        self._source = source
        self._client = client
        self._topics = topics
        self._settings = settings
        self._budget = budget
        self._lanes: list[Lane] = []
        self._windows: dict[str, Window] = {}
        self._streams: dict[str, Window] = {}
        self._acks: list[wire.Ack] = []
        self._wants: deque[wire.Want] = deque(maxlen=_WANTS_MOST)
        self._answered_at = 0.0
        self._looked_at = 0.0
        self._must_look = True
        self._has_seen_all = False
        self.charged_bytes = 0
        self.sent = self.sent_bytes = self.resent = self.acked = self.wanted = self.unheard = 0
        self.held: tuple[str, ...] = ()
        self._deaf: set[str] = set()  # kinds that nobody has subscribed to
        self._learn_lanes()

    # --- what comes in -----------------------------------------------------------------------

    def look(self) -> None:
        """Look for new batches in the next round. Any thread may call this."""
        self._must_look = True

    def acknowledged(self, ack: wire.Ack) -> None:
        """Take the word of a collector."""
        self._acks.append(ack)

    def missed(self, want: wire.Want) -> None:
        """Take what a collector misses; where too many wait, the oldest is dropped."""
        self._wants.append(want)

    def restart(self, now: float) -> None:
        """Begin again on a new link; where bytes are dear, only with what the broker forgot."""
        resumes = self._budget.bytes_per_hour and self._client.is_known
        for window in self._windows.values():
            if resumes:
                window.resume(now)
            else:
                window.restart(now)
        self._must_look = True

    # --- what is asked -----------------------------------------------------------------------

    @property
    def lanes(self) -> Sequence[str]:
        """Names of the lanes, in the order in which they are sent."""
        return [lane.name for lane in tuple(self._lanes)]

    @property
    def in_flight(self) -> int:
        """How many batches were sent and are not acknowledged."""
        return sum(len(window) for window in tuple(self._windows.values()))

    @property
    def trouble(self) -> str:
        """Why batches are not forgotten though the link is up; empty if all is well."""
        if not self._deaf:
            return ""
        kinds = ", ".join(self._topics.batch(kind) for kind in sorted(self._deaf))
        return f"nobody has subscribed to {kinds} at the broker, whose word counts (uplink.ack)"

    def pause_s(self, now: float) -> float:
        """Return how long there is nothing to do unless somebody wakes us."""
        is_open = self._is_open
        if (self._acks and self._source.is_readable) or (self._must_look and is_open):
            return 0.0
        if self._wants:
            return _WANT_PAUSE_S
        if self.held or not is_open:
            return LOOK_S
        dues = [window.next_due_at() for window in self._windows.values()]
        next_due = min((due for due in dues if due is not None), default=float("inf"))
        return min(LOOK_S, max(0.0, next_due - now))

    # --- a round -----------------------------------------------------------------------------

    def forget(self) -> None:
        """Let the source forget what was acknowledged, in one go for each stream."""
        acks, self._acks = self._acks, []
        by_stream: dict[str, list[tuple[int, int]]] = {}
        for ack in acks:
            by_stream.setdefault(ack.stream, []).extend(ack.batches)
        for stream, named in by_stream.items():
            ranges = merged(named)
            self.acked += self._source.acknowledge(stream, ranges)
            window = self._streams.get(stream)
            if window is not None:
                for low, high in ranges:
                    window.acknowledge(low, high)
                self._must_look = True
        if acks and not self._source.is_readable:
            self._acks = acks + self._acks  # it could not forget them: again, once it can

    def send(self, now: float) -> None:
        """Answer, send again what is due, and what the windows have room for; urgent lanes first.

        The client is connected.
        """
        self._charge(now)
        self._answer(now)
        is_time = now - self._looked_at >= LOOK_S
        looks, self._must_look = self._must_look or is_time, False
        if is_time:
            self._looked_at = now
            self._learn_lanes()
        held: list[str] = []
        for lane in self._lanes:
            window = self._windows[lane.name]
            due = window.due(now)
            if not self._budget_allows(lane, now):
                if due or self._waits(lane, window, looks=looks):
                    held.append(lane.name)
            elif not self._send_again(lane, window, due, now) or (
                looks and not self._fill(lane, window, now)
            ):
                self._must_look = True  # goes on once the link is clear
        self.held = tuple(held)
        if looks and not self._must_look and not held:
            self._has_seen_all = self._source.is_readable

    def _waits(self, lane: Lane, window: Window, *, looks: bool) -> bool:
        """Tell whether a lane has something to send; the source is asked only when it is time."""
        if not looks:
            return lane.name in self.held
        return bool(self._source.pending(lane.name, after=window.cursor, limit=1))

    def _send_again(self, lane: Lane, window: Window, due: list[Sealed], now: float) -> bool:
        """Send what is due; False if something stopped it before that was done."""
        for batch in due:
            if not self._may_send(lane, now):
                return False
            window.again(batch.batch, now)
            self.resent += 1
            self._publish(batch, window, now)
        return True

    def _fill(self, lane: Lane, window: Window, now: float) -> bool:
        """Send what the window has room for; False if something stopped it before that."""
        limit = window.room
        if limit <= 0:
            return True
        if not self._may_send(lane, now):
            return False
        for batch in self._source.pending(lane.name, after=window.cursor, limit=limit):
            if not self._may_send(lane, now):
                return False
            self._streams[batch.stream] = window
            window.take(batch, now)
            self._publish(batch, window, now)
        return True

    @property
    def _is_open(self) -> bool:
        """Whether what is not urgent may be handed over."""
        kept = min(_URGENT_ROOM, self._client.receive_maximum // 4)
        return self._client.is_clear and self._client.room > kept

    def _may_send(self, lane: Lane, now: float) -> bool:
        return lane.urgent or (self._is_open and self._budget_allows(lane, now))

    def _budget_allows(self, lane: Lane, now: float) -> bool:
        return lane.urgent or self._budget.allows(lane.share, now=now)

    def _publish(self, batch: Sealed, window: Window, now: float) -> None:
        by_broker = self._settings.ack is AckBy.BROKER

        def on_taken(taken: Taken) -> None:
            window.arrived(batch.batch, time.monotonic())
            if by_broker:
                self._note_word(batch, taken)

        expiry_s = _FOR_EVER_S if by_broker else wire.EXPIRY_S
        self._client.publish(
            self._topics.batch(batch.kind),
            batch.data,
            qos=1,
            content_type=batch.content_type,
            properties={
                "encoding": batch.encoding,
                "stream": batch.stream,
                "batch": str(batch.batch),
            },
            stamp=lambda: wire.sending_properties(clock.boot_id(), clock.now(), expiry_s=expiry_s),
            expiry_s=expiry_s,
            on_taken=on_taken,
        )
        self.sent += 1
        self.sent_bytes += len(batch.data)
        self._charge(now)

    def _note_word(self, batch: Sealed, taken: Taken) -> None:
        """Take the broker's word, where it counts: it keeps nothing for which it has nobody."""
        if taken is Taken.TAKEN:
            number = batch.batch
            self._acks.append(wire.Ack(stream=batch.stream, batches=[(number, number)]))
            self._deaf.discard(batch.kind)
        elif taken is Taken.UNHEARD:
            self.unheard += 1
            if batch.kind not in self._deaf:
                self._deaf.add(batch.kind)
                log.warning("batches wait: %s", self.trouble)

    def _charge(self, now: float) -> None:
        """Count against the budget what the link has cost since the last time."""
        spent = self._client.spent_bytes
        self._budget.spend(spent - self.charged_bytes, now=now)
        self.charged_bytes = spent

    # --- what the collector misses -----------------------------------------------------------

    def _answer(self, now: float) -> None:
        """Make what is missed due, and say what is gone: one message at a time."""
        if not self._wants or now - self._answered_at < _WANT_PAUSE_S:
            return
        if not (self._has_seen_all or self._wants[0].stream in self._streams):
            self._wants.rotate(-1)  # what was not looked for is not gone
            return
        self._answered_at = now
        want = self._wants.popleft()
        if not self._budget.allows(_ANSWER_SHARE, now=now):
            return  # the collector asks again
        self.wanted += 1
        ranges = merged(want.batches)
        window = self._streams.get(want.stream)
        gone = window.want(ranges, now) if window is not None else ranges
        if gone and self._source.is_readable:
            answer = wire.Gone(stream=want.stream, batches=gone[: wire.RANGES_LIMIT])
            self._client.publish(self._topics.gone, wire.encode(answer), qos=1)

    def _learn_lanes(self) -> None:
        """Take up lanes that are new: a disk that comes back may bring some."""
        known = self._source.lanes
        if len(known) == len(self._lanes):
            return
        longest_s = self._settings.ack_timeout_max_ms / 1000
        if self._budget.bytes_per_hour:
            longest_s = max(longest_s, _DEAR_S)
        self._has_seen_all = False
        self._lanes = sorted(known, key=lambda lane: not lane.urgent)
        for lane in self._lanes:
            if lane.name not in self._windows:
                self._windows[lane.name] = Window(
                    self._settings.window,
                    timeout_s=self._settings.ack_timeout_ms / 1000,
                    timeout_max_s=longest_s,
                )
