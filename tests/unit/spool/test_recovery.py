from __future__ import annotations

from edge_agent.spool import recovery
from edge_agent.spool.journal import Content, Run
from edge_agent.spool.rows import BatchRow, LaneRow
from edge_agent.spool.synclog import Entry, Fresh, Gone, Open

ROW = LaneRow(1, "ok", "inspections", "s", sealed=10, batches=2)


def texts(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last + 1)]


def numbered(first: int, last: int) -> dict[int, bytes]:
    return dict(enumerate(texts(first, last), first))


def mark(stream: str) -> int:
    return 10 if stream == "s" else 0


def test_what_was_told_twice_is_there_once() -> None:
    batch = Fresh("s", 3, 11, 12, b"b")
    logged = recovery.gather(
        [
            Entry([Open("ok", "s", 11, texts(11, 12))]),
            Entry([Open("ok", "s", 12, texts(12, 14))], [batch, Fresh("s", 4, 13, 14, b"c")]),
            Entry([], [batch], [Gone("s", 1, 3)]),
        ]
    )
    assert logged.records == {"ok": {"s": numbered(11, 14)}}
    assert logged.batches == {"s": [BatchRow("s", 3, 11, 12, b"b"), BatchRow("s", 4, 13, 14, b"c")]}
    assert logged.waiting() == [BatchRow("s", 4, 13, 14, b"c")]


def test_the_log_fills_up_what_the_journals_lost() -> None:
    holed = Content("s", [Run(9, texts(9, 12)), Run(16, texts(16, 18))], base=8)
    known = recovery.union({"s": numbered(13, 15)}, [holed], ROW, mark)
    assert known == {"s": numbered(11, 18)}
    whole = recovery.fill(holed, known, ROW)
    assert whole.runs == [Run(11, texts(11, 18))]
    assert not whole.is_damaged
    assert known == {}


def test_a_hole_that_nothing_fills_is_damage() -> None:
    holed = Content("s", [Run(11, texts(11, 12)), Run(16, texts(16, 18))], base=10)
    known = recovery.union({}, [holed], ROW, mark)
    assert recovery.fill(holed, known, ROW).is_damaged


def test_a_journal_without_a_head_is_of_its_lane() -> None:
    headless = Content("", [Run(12, texts(12, 13))], torn_bytes=40)
    known = recovery.union({"s": numbered(11, 11)}, [headless], ROW, mark)
    assert known == {"s": numbered(11, 13)}
    new = LaneRow(1, "ok", "inspections", "t")
    assert recovery.union({}, [headless], new, lambda _: 0) == {"": numbered(12, 13)}


def test_streams_of_before_are_kept_apart() -> None:
    other = Content("old", [Run(1, texts(1, 3))])
    known = recovery.union({"old": numbered(3, 4)}, [other], ROW, mark)
    assert known == {"old": numbered(1, 4)}


def test_a_tail_that_the_log_has_is_not_lost() -> None:
    torn = Content("s", [Run(11, texts(11, 12))], torn_bytes=50, damaged_tail=3, base=10)
    known = recovery.union({"s": numbered(11, 14)}, [torn], ROW, mark)
    assert recovery.fill(torn, known, ROW).damaged_tail == 1


def test_segments_that_follow_on_each_other_are_not_ahead() -> None:
    first = Content("s", [Run(11, texts(11, 15))], base=10)
    second = Content("s", [Run(16, texts(16, 17))], base=15)
    assert not recovery.ahead([second, first], {}, ROW)
    assert not recovery.ahead([second], {"s": numbered(11, 15)}, ROW)
    assert recovery.ahead([second], {}, ROW)


def test_of_a_stream_that_ended_all_that_is_missing_is_known() -> None:
    contents = [Content("old", [], base=20), Content("old", [], base=7), Content("s", [], base=10)]
    known = {"old": numbered(12, 15), "older": numbered(1, 2), "s": numbered(11, 11)}
    assert recovery.ended(contents, known, ROW) == {"old": 20, "older": 2}
    assert recovery.missing(known["old"], 20, 9) == [(10, 11), (16, 20)]
    assert recovery.missing(None, 20, 20) == []
