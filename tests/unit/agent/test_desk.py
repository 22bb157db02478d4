"""The alarm desk: kept, saved, then announced; in order; whatever fails on the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from edge_agent.agent.desk import LANE, AlarmDesk
from edge_agent.alarms.book import Alarm, AlarmBook, Transition
from edge_agent.alarms.catalogue import CAMERA, MODEL
from edge_agent.alarms.state import AlarmEvent, AlarmState
from edge_agent.errors import SpoolError, UsageError
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool


class Notes:
    """A keeper and a listener that write down what reached them, in order."""

    def __init__(self, saved: Path) -> None:
        self.saved = saved
        self.kept: list[Transition] = []
        self.told: list[tuple[Transition, Alarm]] = []
        self.order: list[str] = []
        self.books: list[list[Alarm]] = []
        self.fail: set[str] = set()

    def append(self, lane: str, record: bytes) -> int:
        assert lane == LANE
        self.order.append("append")
        if "append" in self.fail:
            raise SpoolError("the disk is full")
        self.kept.append(msgspec.json.decode(record, type=Transition))
        return len(self.kept)

    def sync(self, lane: str) -> None:
        assert lane == LANE
        self.order.append("sync")
        if "sync" in self.fail:
            raise SpoolError("the disk does not answer")

    def announce(self, transition: Transition, alarm: Alarm) -> None:
        self.order.append("announce")
        if self.saved.exists():
            book = AlarmBook("")
            book.restore(self.saved.read_bytes())
            self.books.append(book.alarms())
        if "announce" in self.fail:
            raise ConnectionError("nobody listens")
        self.told.append((transition, alarm))


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "alarms.json")


def make(notes: Notes) -> AlarmDesk:
    return AlarmDesk(notes, notes.announce, notes.saved)


def test_a_transition_is_spooled_synced_and_saved_before_it_is_announced(notes: Notes) -> None:
    desk = make(notes)
    desk.start()
    desk.observe(MODEL, "line1", "no bundle")
    desk.close()
    assert notes.order == ["append", "sync", "announce"]
    assert [alarm.key for alarm in notes.books[0]] == ["model/line1"]
    transition, alarm = notes.told[0]
    assert transition == notes.kept[0]
    assert (alarm.state, alarm.active) == (AlarmState.UNACKNOWLEDGED, True)


def test_transitions_are_kept_and_announced_in_their_order(notes: Notes) -> None:
    desk = make(notes)
    desk.start()
    for turn in range(50):
        desk.observe(MODEL, f"line{turn}", "no bundle")
        desk.act(f"model/line{turn}", AlarmEvent.ACKNOWLEDGE)
        desk.observe(MODEL, f"line{turn}", "")
    desk.close()
    keys = [(each.key, each.state.value) for each in notes.kept]
    assert keys == [
        (f"model/line{turn}", state)
        for turn in range(50)
        for state in ("unacknowledged", "acknowledged", "normal")
    ]
    assert [transition for transition, _ in notes.told] == notes.kept
    assert [alarm.state for _, alarm in notes.told] == [each.state for each in notes.kept]


def test_the_saved_book_never_runs_ahead_of_the_spool(notes: Notes) -> None:
    desk = make(notes)
    for turn in range(5):  # all of them happen before the first is kept
        desk.observe(MODEL, f"line{turn}", "no bundle")
    desk.start()
    desk.close()
    assert [len(book) for book in notes.books] == [1, 2, 3, 4, 5]


def test_observe_touches_no_disk_and_no_network(notes: Notes) -> None:
    desk = make(notes)  # not started: nobody takes what is posted
    desk.observe(MODEL, "line1", "no bundle")
    desk.act("model/line1", AlarmEvent.ACKNOWLEDGE)
    assert notes.order == []
    assert not notes.saved.exists()
    assert [alarm.state for alarm in desk.standing()] == [AlarmState.ACKNOWLEDGED]


@pytest.mark.parametrize("what", ["append", "sync", "announce"])
def test_a_fault_is_counted_and_logged_and_the_next_alarm_goes_its_way(
    notes: Notes, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = make(notes)
    desk.start()
    notes.fail.add(what)
    with caplog.at_level(logging.ERROR):
        desk.observe(MODEL, "line1", "no bundle")
        _wait_for(lambda: desk.faults == 1 and "announce" in notes.order)
    notes.fail.clear()
    desk.observe(MODEL, "line2", "no bundle")
    desk.close()
    assert notes.told[-1][0].key == "model/line2"
    assert "alarm model/line1 cannot be " in caplog.text
    # An alarm that cannot be kept must still be heard.
    assert len(notes.told) == (1 if what == "announce" else 2)
    assert len(notes.books[-1]) == 2  # and the book holds it


def test_a_folder_that_cannot_be_written_does_not_silence_an_alarm(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "gone" / "alarms.json")
    desk = make(notes)
    desk.start()
    desk.observe(MODEL, "line1", "no bundle")
    desk.close()
    assert len(notes.told) == 1
    assert desk.faults == 1


def _wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to pass")


def test_what_is_well_costs_nothing_and_is_not_kept(notes: Notes) -> None:
    desk = make(notes)
    for _ in range(100):
        desk.observe(CAMERA, "line1", "")
    assert desk.alarms() == []
    desk.observe(CAMERA, "line1", "unplugged")  # and is not mistaken for still well
    assert [alarm.key for alarm in desk.standing()] == ["camera/line1"]
    desk.observe(CAMERA, "line1", "")  # the off-delay runs: it stands
    assert desk.standing()[0].active


def test_a_condition_shorter_than_its_delay_is_forgotten(notes: Notes) -> None:
    desk = make(notes)
    slow = msgspec.structs.replace(CAMERA, on_delay_s=60.0)
    desk.observe(slow, "line1", "dark")
    desk.observe(slow, "line1", "")
    desk.observe(slow, "line1", "dark")
    assert desk.alarms() == []


def test_the_text_of_a_standing_alarm_says_what_is_wrong_now(notes: Notes) -> None:
    desk = make(notes)
    desk.observe(CAMERA, "line1", "no frames for 1 s")
    desk.observe(CAMERA, "line1", "no frames for 60 s")
    assert desk.standing()[0].text.startswith("no frames for 60 s; ")


def test_alarms_stand_over_a_restart(notes: Notes) -> None:
    desk = make(notes)
    desk.start()
    desk.observe(MODEL, "line1", "no bundle")
    desk.close()
    again = make(notes)
    assert again.standing() == desk.standing()
    again.start()
    again.observe(MODEL, "line1", "")
    again.close()
    assert again.standing()[0].state is AlarmState.RETURNED


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xff\xfe"])
def test_a_damaged_book_is_logged_and_the_desk_begins_anew(
    notes: Notes, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    notes.saved.write_bytes(data)
    with caplog.at_level(logging.ERROR):
        desk = make(notes)
    assert "alarms of before are lost" in caplog.text
    assert desk.alarms() == []


def test_an_unknown_alarm_cannot_be_acknowledged(notes: Notes) -> None:
    with pytest.raises(UsageError, match="none of this key"):
        make(notes).act("model/x", AlarmEvent.ACKNOWLEDGE)


def test_many_threads_may_observe_at_once(notes: Notes) -> None:
    desk = make(notes)
    desk.start()

    def toggle(source: str) -> None:
        for _ in range(50):
            desk.observe(MODEL, source, "no bundle")
            desk.observe(MODEL, source, "")

    threads = [threading.Thread(target=toggle, args=(f"line{turn}",)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    desk.close()
    for turn in range(4):
        states = [each.state for each in notes.kept if each.station == f"line{turn}"]
        assert states == [AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED] * 50


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", (Lane(LANE, "alarms", urgent=True),), SpoolSettings())
    yield spool
    spool.close()


def test_a_real_spool_has_the_alarm_on_the_disk_when_it_is_announced(
    tmp_path: Path, spool: Spool
) -> None:
    def on_disk() -> int:
        end = spool._sealing.ends[LANE]
        with spool._sealing.syncing.lock:
            open_ones = [each for each in end.segments() if each.records]
            synced = [each.last for each in open_ones if each.size == each.synced]
        return max(synced, default=end.row.sealed)

    found = []
    desk = AlarmDesk(spool, lambda *_: found.append(on_disk()), tmp_path / "a.json")
    desk.start()
    desk.observe(MODEL, "line1", "no bundle")
    desk.observe(MODEL, "line1", "")
    desk.close()
    assert found[0] >= 1
    assert found[1] == 2
