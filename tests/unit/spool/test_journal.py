from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.spool import journal
from edge_agent.spool.segment import Segment

if TYPE_CHECKING:
    from pathlib import Path

STREAM = "0123456789abcdef"
RECORDS = [b"one", b"two two", b"", b"four" * 50, b"five"]
DATA = journal.head(STREAM) + b"".join(
    journal.frame(number, record) for number, record in enumerate(RECORDS, 11)
)


def test_a_segment_reads_back(tmp_path: Path) -> None:
    segment = Segment(tmp_path / "s", stream=STREAM)
    for number, record in enumerate(RECORDS, 11):
        segment.write(number, record)
    segment.sync()
    assert (segment.records, segment.last, segment.size) == (5, 15, len(DATA))
    assert segment.read() == (tmp_path / "s").read_bytes() == DATA
    assert journal.parse(DATA) == journal.Content(STREAM, [journal.Run(11, RECORDS)])
    segment.close()


def test_a_torn_tail_is_dropped_at_every_length() -> None:
    ends = [journal.HEAD_BYTES]
    for record in RECORDS:
        ends.append(ends[-1] + 16 + len(record))
    for length in range(journal.HEAD_BYTES, len(DATA)):
        whole = sum(end <= length for end in ends) - 1
        content = journal.parse(DATA[:length])
        assert [r for run in content.runs for r in run.records] == RECORDS[:whole]
        used = len(DATA[:length].rstrip(b"\0"))
        assert content.torn_bytes == max(0, used - ends[whole])
        assert content.damaged_tail == 0


def test_zeros_at_the_end_are_room_for_more() -> None:
    content = journal.parse(DATA + bytes(100))
    assert content.runs == [journal.Run(11, RECORDS)]
    assert (content.torn_bytes, content.damaged_tail) == (0, 0)


def test_a_frame_that_ends_in_zeros_is_torn_not_damaged() -> None:
    for gone in range(1, 12):
        content = journal.parse(DATA[:-gone] + bytes(100))
        assert [r for run in content.runs for r in run.records] == RECORDS[:-1]
        assert content.torn_bytes > 0
        assert content.damaged_tail == 0


def test_a_record_may_end_in_zeros() -> None:
    records = [b"a\0\0", b"", b"\0"]
    frames = b"".join(journal.frame(number, record) for number, record in enumerate(records, 1))
    content = journal.parse(journal.head(STREAM) + frames + bytes(50))
    assert content == journal.Content(STREAM, [journal.Run(1, records)])


def test_a_flipped_byte_costs_one_record_and_is_seen() -> None:
    for at in range(journal.HEAD_BYTES, len(DATA)):
        data = bytearray(DATA)
        data[at] ^= 0xFF
        content = journal.parse(bytes(data))
        kept = {
            run.first + index: record
            for run in content.runs
            for index, record in enumerate(run.records)
        }
        assert len(kept) == 4
        assert all(record == RECORDS[number - 11] for number, record in kept.items())
        if 15 not in kept:  # the last: torn or damaged, but not silently whole
            assert content.torn_bytes


def test_a_damaged_last_frame_is_counted() -> None:
    content = journal.parse(DATA[:-1] + b"X")
    assert (content.damaged_tail, content.runs[-1].last) == (1, 14)


def test_a_damaged_head_keeps_the_records() -> None:
    content = journal.parse(b"X" + DATA[1:])
    assert content == journal.Content("", [journal.Run(11, RECORDS)])


@given(st.binary(max_size=400))
def test_any_bytes_can_be_parsed(data: bytes) -> None:
    for whole in (data, journal.head(STREAM) + data):
        content = journal.parse(whole)
        assert 0 <= content.torn_bytes <= len(whole)
