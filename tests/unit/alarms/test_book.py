"""The book of alarms: delays, no chatter, one transition a change, and over a restart."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.alarms.book import Alarm, AlarmBook, Transition
from edge_agent.alarms.catalogue import CATALOGUE, LIGHT, MODEL, AlarmKind, Priority
from edge_agent.alarms.state import AlarmEvent, AlarmState
from edge_agent.clock import Stamp
from edge_agent.errors import UsageError

SLOW = AlarmKind("light/dirt", Priority.HIGH, 1.0, 3.0, "look")
KEY = "light/dirt/line1"
WALL = 1_700_000_000_000_000_000
S = AlarmState


def at(seconds: float) -> Stamp:
    return Stamp(WALL + round(seconds * 1e9), round(seconds * 1e9) + 77)


def seen(book: AlarmBook, seconds: float, text: str, kind: AlarmKind = SLOW) -> Transition | None:
    return book.observe(kind, "line1", text=text, at=at(seconds))


def raised(kind: AlarmKind = SLOW) -> AlarmBook:
    """Return a book with one alarm that stands since 0 s."""
    book = AlarmBook("boot")
    seen(book, 0.0, "dark", kind)
    assert seen(book, kind.on_delay_s, "dark", kind) is not None or kind.on_delay_s == 0.0
    return book


def state_of(book: AlarmBook) -> AlarmState:
    alarm = book.get(KEY)
    assert alarm is not None
    return alarm.state


def test_a_condition_shorter_than_the_on_delay_raises_nothing() -> None:
    book = AlarmBook("boot")
    assert seen(book, 0.0, "dark") is None
    assert seen(book, 0.999, "dark") is None
    assert seen(book, 1.0, "") is None
    assert seen(book, 1.5, "dark") is None  # the delay begins anew
    assert seen(book, 2.4, "dark") is None
    assert book.get(KEY) is None
    transition = seen(book, 2.5, "dark")
    assert transition is not None
    assert (transition.state, transition.event) == (S.UNACKNOWLEDGED, AlarmEvent.RAISE)


def test_a_condition_gone_shorter_than_the_off_delay_clears_nothing() -> None:
    book = raised()
    for seconds in range(2, 40, 2):  # gone for two seconds, back for an instant: no chatter
        assert seen(book, seconds, "") is None
        assert seen(book, seconds + 1.9, "dark") is None
    assert state_of(book) is S.UNACKNOWLEDGED
    assert seen(book, 50.0, "") is None
    transition = seen(book, 53.0, "")
    assert transition is not None
    assert (transition.state, transition.event) == (S.RETURNED, AlarmEvent.CLEAR)


def test_no_delay_acts_at_once() -> None:
    book = AlarmBook("boot")
    assert seen(book, 0.0, "none", MODEL) is not None
    assert seen(book, 0.0, "", MODEL) is not None


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.booleans()), max_size=40))
def test_between_two_changes_lies_at_least_the_delay(steps: list[tuple[float, bool]]) -> None:
    book, now = AlarmBook("boot"), 0.0
    changes: list[Transition] = []
    for pause, stands in steps:
        now += pause
        transition = seen(book, now, "dark" if stands else "")
        if transition is not None:
            changes.append(transition)
    for before, after in itertools.pairwise(changes):
        delay_s = SLOW.on_delay_s if after.event is AlarmEvent.RAISE else SLOW.off_delay_s
        assert before.event is not after.event  # raise and clear take turns
        assert after.mono_ns - before.mono_ns >= delay_s * 1e9


def test_a_transition_says_all_there_is_to_know() -> None:
    book = AlarmBook("boot-7")
    seen(book, 0.0, "light 50% below the baseline")
    assert seen(book, 1.0, "light 52% below the baseline") == Transition(
        key=KEY, station="line1", state=S.UNACKNOWLEDGED, event=AlarmEvent.RAISE,
        priority=Priority.HIGH, text="light 52% below the baseline; look",
        since="2023-11-14T22:13:20.000Z", time="2023-11-14T22:13:21.000Z",
        wall_ns=WALL + 10**9, mono_ns=10**9 + 77, boot="boot-7",
    )  # fmt: skip


def test_since_is_kept_when_the_condition_goes() -> None:
    book = raised()
    seen(book, 10.0, "")
    cleared = seen(book, 13.0, "")
    assert cleared is not None
    assert cleared.since == "2023-11-14T22:13:20.000Z"
    seen(book, 20.0, "cold")
    again = seen(book, 21.0, "cold")
    assert again is not None
    assert (again.since, again.text) == ("2023-11-14T22:13:40.000Z", "cold; look")


def test_alarms_of_two_stations_do_not_mix() -> None:
    book = AlarmBook("boot")
    book.observe(MODEL, "line1", text="none", at=at(0))
    book.observe(MODEL, "line2", text="", at=at(0))
    assert [alarm.key for alarm in book.standing()] == ["model/line1"]
    book.observe(MODEL, "line2", text="none", at=at(1))
    book.observe(MODEL, "line1", text="", at=at(2))
    assert [(alarm.key, alarm.active) for alarm in book.alarms()] == [
        ("model/line1", False),
        ("model/line2", True),
    ]


# --- people --------------------------------------------------------------------------------------


def test_an_acknowledged_alarm_returns_to_normal_by_itself() -> None:
    book = raised()
    acknowledged = book.act(KEY, AlarmEvent.ACKNOWLEDGE, at(5))
    assert acknowledged is not None
    assert acknowledged.state is S.ACKNOWLEDGED
    assert book.act(KEY, AlarmEvent.ACKNOWLEDGE, at(6)) is None  # changes nothing: says nothing
    seen(book, 10.0, "")
    cleared = seen(book, 13.0, "")
    assert cleared is not None
    assert cleared.state is S.NORMAL
    assert book.standing() == []


def test_a_shelved_alarm_follows_its_condition_in_silence() -> None:
    book = raised()
    assert book.act(KEY, AlarmEvent.SHELVE, at(2)) is not None
    assert seen(book, 3.0, "") is None
    assert seen(book, 6.0, "") is None
    alarm = book.get(KEY)
    assert alarm is not None
    assert (alarm.state, alarm.active) == (S.SHELVED, False)
    back = book.act(KEY, AlarmEvent.UNSHELVE, at(7))
    assert back is not None
    assert back.state is S.NORMAL
    book.act(KEY, AlarmEvent.SHELVE, at(8))
    seen(book, 9.0, "dark")
    assert seen(book, 10.0, "dark") is None
    again = book.act(KEY, AlarmEvent.UNSHELVE, at(11))
    assert again is not None
    assert again.state is S.UNACKNOWLEDGED


def test_an_unknown_alarm_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="alarm 'x/y': there is none of this key; known: none yet"):
        AlarmBook("boot").act("x/y", AlarmEvent.ACKNOWLEDGE, at(0))
    with pytest.raises(UsageError, match="known: light/dirt/line1"):
        raised().act("x/y", AlarmEvent.ACKNOWLEDGE, at(0))


@pytest.mark.parametrize("event", [AlarmEvent.RAISE, AlarmEvent.CLEAR])
def test_a_person_cannot_raise_or_clear_what_is_a_condition(event: AlarmEvent) -> None:
    book = raised()
    with pytest.raises(UsageError, match=f"only its condition can {event} it"):
        book.act(KEY, event, at(2))
    assert state_of(book) is S.UNACKNOWLEDGED


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("see"), st.booleans()),
            st.tuples(
                st.just("act"),
                st.sampled_from([e for e in AlarmEvent if e not in {"raise", "clear"}]),
            ),
        ),
        max_size=40,
    )
)
def test_every_change_of_state_is_exactly_one_transition(
    steps: list[tuple[str, bool | AlarmEvent]],
) -> None:
    book = raised(MODEL)
    state = book.alarms()[0].state
    for turn, (what, value) in enumerate(steps):
        if what == "see":
            transition = seen(book, turn, "none" if value else "", MODEL)
        else:
            transition = book.act("model/line1", AlarmEvent(str(value)), at(turn))
        after = book.alarms()[0].state
        assert (transition is not None) == (after is not state)
        assert transition is None or transition.state is after
        state = after


# --- over a restart ------------------------------------------------------------------------------


def test_an_alarm_that_stood_still_stands_after_a_restart() -> None:
    before = raised()
    after = AlarmBook("next boot")
    after.restore(before.snapshot())
    assert after.alarms() == before.alarms()
    assert seen(after, 100.0, "dark") is None  # it stands already
    assert seen(after, 101.0, "") is None
    cleared = seen(after, 104.0, "")
    assert cleared is not None
    assert (cleared.state, cleared.boot) == (S.RETURNED, "next boot")


def test_a_kind_that_is_no_longer_in_the_catalogue_is_forgotten() -> None:
    alarm = Alarm(
        key="ghost/line1", source="line1", state=S.UNACKNOWLEDGED, priority=Priority.LOW,
        text="", since="", active=True,
    )  # fmt: skip
    book = AlarmBook("boot")
    book.restore(msgspec.json.encode([alarm, msgspec.structs.replace(alarm, key=KEY)]))
    assert [each.key for each in book.alarms()] == [KEY]
    assert "ghost" not in CATALOGUE


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[1]", b'[{"key": "light/x"}]', b"\xff", b'[{"key": "\xff"}]']
)
def test_bytes_that_are_no_book_are_refused(data: bytes) -> None:
    book = raised(LIGHT["dirt"])
    with pytest.raises(UsageError, match="alarm book: "):
        book.restore(data)
    assert len(book.alarms()) == 1
