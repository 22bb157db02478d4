from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from edge_agent.spool import synclog
from edge_agent.spool.synclog import Entry, Fresh, Full, Gone, Open, SyncLog

if TYPE_CHECKING:
    from pathlib import Path

HALF = 16 * 1024


def record(index: int) -> bytes:
    score = random.Random(index).random()
    return b'{"station":"line1","part":"p%06d","verdict":"ok","score":%.4f}' % (index, score)


def some(first: int, count: int = 2) -> Open:
    return Open("ok", "0123456789abcdef", first, [record(n) for n in range(first, first + count)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sync.log"


def numbers(entries: list[Entry]) -> set[int]:
    return {
        number
        for entry in entries
        for part in entry.records
        for number, _ in enumerate(part.records, part.first)
    }


def begun(path: Path) -> SyncLog:
    log = SyncLog(path, half_bytes=HALF)
    log.turn(Entry([some(1)]))
    return log


def test_written_is_kept(path: Path) -> None:
    log = begun(path)
    batch = Fresh("0123456789abcdef", 1, 1, 4, b"sealed")
    log.write(Entry([some(3)], [batch], [Gone("0123456789abcdef", 1, 1)]))
    for first in range(5, 25, 2):
        log.write(Entry([some(first)]))
    found = synclog.read(path, half_bytes=HALF)
    assert numbers(found.entries) == set(range(1, 25))
    assert found.entries[1].batches == [batch]
    assert found.entries[1].gone == [Gone("0123456789abcdef", 1, 1)]
    assert [r for e in found.entries for part in e.records for r in part.records] == [
        record(n) for n in range(1, 25)
    ]
    assert (found.generation, found.missing) == (1, 0)
    log.close()


def test_a_full_half_is_told_and_the_next_one_tells_all_again(path: Path) -> None:
    log = begun(path)
    first = 3
    while log._at < log._end:
        log.write(Entry([some(first)]))
        first += 2
    with pytest.raises(Full):
        log.write(Entry([some(first)]))
    assert first > 40
    assert numbers(synclog.read(path, half_bytes=HALF).entries) == set(range(1, first))
    log.turn(Entry([some(first - 4, 6)]))
    found = synclog.read(path, half_bytes=HALF)
    assert numbers(found.entries) == set(range(first - 4, first + 2))
    assert found.generation == 2
    log.close()


def test_generations_go_on_after_a_restart(path: Path) -> None:
    begun(path).close()
    again = SyncLog(path, after=1, half_bytes=HALF)
    again.turn(Entry())
    found = synclog.read(path, half_bytes=HALF)
    assert (found.generation, numbers(found.entries)) == (2, set())
    again.close()


def test_the_first_records_give_the_others_a_sample(path: Path) -> None:
    log = SyncLog(path, half_bytes=HALF)
    log.turn(Entry())
    log.write(Entry(batches=[Fresh("s", 1, 1, 1, b"x")]))
    with pytest.raises(Full):
        log.write(Entry([some(1)]))
    log.turn(Entry([some(1)]))
    log.write(Entry([some(3)]))
    assert log._sequence == 2
    log.close()


def test_what_is_too_large_is_refused_and_harms_nothing(path: Path) -> None:
    log = begun(path)
    noise = Open("ok", "0123456789abcdef", 3, [random.Random(1).randbytes(2 * HALF)])
    with pytest.raises(Full):
        log.write(Entry([noise]))
    with pytest.raises(Full):
        log.turn(Entry([noise]))
    log.write(Entry([some(3)]))
    assert numbers(synclog.read(path, half_bytes=HALF).entries) == {1, 2, 3, 4}
    log.close()


@pytest.mark.parametrize("kept", [0, 1, 100, 511, 512, 700])
def test_a_torn_entry_is_nothing(path: Path, kept: int) -> None:
    log = begun(path)
    log.write(Entry([some(3)]))
    at = log._at
    log.write(Entry([some(5, 400)]))
    end = log._at
    log.close()
    assert end - at > 1024
    data = bytearray(path.read_bytes())
    data[at + kept : end] = bytes(end - at - kept)
    path.write_bytes(data)
    found = synclog.read(path, half_bytes=HALF)
    assert numbers(found.entries) == {1, 2, 3, 4}
    assert found.missing == 0


def test_a_torn_turn_leaves_the_half_before(path: Path) -> None:
    log = begun(path)
    log.write(Entry([some(3)]))
    log.turn(Entry([some(3)]))
    log.close()
    data = bytearray(path.read_bytes())
    data[:512] = bytes(512)  # generation 2 is in the first half
    path.write_bytes(data)
    found = synclog.read(path, half_bytes=HALF)
    assert (found.generation, numbers(found.entries)) == (1, {1, 2, 3, 4})


def test_damage_is_told(path: Path) -> None:
    log = begun(path)
    for first in range(3, 21, 2):
        log.write(Entry([some(first)]))
    log.close()
    data = bytearray(path.read_bytes())
    data[HALF + 3 * 512 + 40] ^= 1
    path.write_bytes(data)
    found = synclog.read(path, half_bytes=HALF)
    assert found.missing == 1
    assert numbers(found.entries) == set(range(1, 21)) - {7, 8}


@pytest.mark.parametrize("seed", range(50))
def test_no_content_is_more_than_unreadable(path: Path, seed: int) -> None:
    log = begun(path)
    for first in range(3, 21, 2):
        log.write(Entry([some(first)]))
    log.close()
    places = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(places.randrange(1, 40)):
        data[HALF + places.randrange(12 * 512)] = places.randrange(256)
    path.write_bytes(data)
    assert numbers(synclog.read(path, half_bytes=HALF).entries) <= set(range(1, 21))


def test_a_log_that_is_not_there_is_empty(path: Path) -> None:
    assert synclog.read(path) == synclog.Content([])


def test_a_file_of_another_length_is_made_anew(path: Path) -> None:
    path.write_bytes(b"something else")
    log = begun(path)
    assert path.stat().st_size == 2 * HALF
    assert numbers(synclog.read(path, half_bytes=HALF).entries) == {1, 2}
    log.close()
