"""The book of all alarms of a device: pure rules over conditions, people and a time.

Invariants:
    - While an alarm stands, its text says what is wrong now; that is no transition.
    - A condition that stands shorter than the on-delay raises nothing; one that is gone shorter
      than the off-delay clears nothing: no alarm chatters.
    - Every change of an alarm's state is exactly one transition, numbered by nobody here: the
      spool numbers it.
    - `snapshot` and `restore` carry the book over a restart: an alarm that stood still stands.
"""

from __future__ import annotations

import msgspec

from edge_agent.alarms.catalogue import AlarmKind, Priority, key_of, kind_of
from edge_agent.alarms.state import AlarmEvent, AlarmState, following
from edge_agent.clock import Stamp, iso
from edge_agent.errors import UsageError


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm as it stands.

    Attributes:
        key: `kind/source`.
        source: The station, or the stage.
        state: After ISA-18.2.
        priority: How soon a person must respond.
        text: What is wrong, how much and what to do, in plain words.
        since: Wall time since when the condition stands (or stood last), ISO 8601.
        active: Whether the condition stands.
    """

    key: str
    source: str
    state: AlarmState
    priority: Priority
    text: str
    since: str
    active: bool


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an alarm's state: what is spooled, announced and stored."""

    key: str
    station: str
    state: AlarmState
    event: AlarmEvent
    priority: Priority
    text: str
    since: str
    time: str
    wall_ns: int
    mono_ns: int
    boot: str


class AlarmBook:
    """All alarms of a device. Not thread-safe: its owner holds a lock.

    Args:
        boot: The id of this boot, for the transitions.
    """

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._alarms: dict[str, Alarm] = {}
        self._turned: dict[str, int] = {}  # since when the condition differs from `active`

    def observe(self, kind: AlarmKind, source: str, *, text: str, at: Stamp) -> Transition | None:
        """Take note of a condition, and return the transition that follows, if any.

        Args:
            kind: From the catalogue.
            source: The station or stage.
            text: What is wrong; empty when nothing is.
            at: The time of this observation.
        """
        key, stands = key_of(kind, source), bool(text)
        alarm = self._alarms.get(key)
        active = alarm.active if alarm else False
        if stands == active:
            self._turned.pop(key, None)
            if alarm is not None and stands:  # it stands as it stood; what it says may be new
                self._alarms[key] = msgspec.structs.replace(alarm, text=_text(text, kind))
            return None
        begin = self._turned.setdefault(key, at.mono_ns)
        delay_s = kind.on_delay_s if stands else kind.off_delay_s
        if at.mono_ns - begin < delay_s * 1e9:
            return None
        del self._turned[key]
        since = iso(at.wall_ns - (at.mono_ns - begin))
        if alarm is None or stands:
            state = alarm.state if alarm else AlarmState.NORMAL
            alarm = Alarm(
                key=key, source=source, state=state, priority=kind.priority,
                text=_text(text, kind), since=since, active=stands,
            )  # fmt: skip
        event = AlarmEvent.RAISE if stands else AlarmEvent.CLEAR
        return self._turn(msgspec.structs.replace(alarm, active=stands), event, at)

    def act(self, key: str, event: AlarmEvent, at: Stamp) -> Transition | None:
        """Do what a person asks: acknowledge, shelve, and so on; None if that changes nothing.

        Raises:
            UsageError: There is no such alarm, or the event is not a person's: conditions raise and
                clear.
        """
        if event in {AlarmEvent.RAISE, AlarmEvent.CLEAR}:
            raise UsageError(f"alarm {key!r}: only its condition can {event} it")
        if key not in self._alarms:
            known = ", ".join(sorted(self._alarms)) or "none yet"
            raise UsageError(f"alarm {key!r}: there is none of this key; known: {known}")
        return self._turn(self._alarms[key], event, at)

    def get(self, key: str) -> Alarm | None:
        """Return one alarm, if it ever stood."""
        return self._alarms.get(key)

    def alarms(self) -> list[Alarm]:
        """Return all alarms that ever stood, by key."""
        return [self._alarms[key] for key in sorted(self._alarms)]

    def standing(self) -> list[Alarm]:
        """Return the alarms that are not normal, by key."""
        return [alarm for alarm in self.alarms() if alarm.state is not AlarmState.NORMAL]

    def snapshot(self) -> bytes:
        """Return the book as bytes, for `restore`."""
        return msgspec.json.encode(self.alarms())

    def restore(self, data: bytes) -> None:
        """Take over the alarms of a book before this one.

        Raises:
            UsageError: These bytes are no book.
        """
        try:
            alarms = msgspec.json.decode(data, type=list[Alarm])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"alarm book: {error}") from error
        self._alarms = {alarm.key: alarm for alarm in alarms if kind_of(alarm.key)}

    def _turn(self, alarm: Alarm, event: AlarmEvent, at: Stamp) -> Transition | None:
        before = alarm.state
        after = following(before, event, active=alarm.active)
        self._alarms[alarm.key] = alarm = msgspec.structs.replace(alarm, state=after)
        if after is before:
            return None
        return Transition(
            key=alarm.key, station=alarm.source, state=after, event=event,
            priority=alarm.priority, text=alarm.text, since=alarm.since, time=iso(at.wall_ns),
            wall_ns=at.wall_ns, mono_ns=at.mono_ns, boot=self._boot,
        )  # fmt: skip


def _text(text: str, kind: AlarmKind) -> str:
    return f"{text}; {kind.remedy}" if kind.remedy else text
