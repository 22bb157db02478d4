"""What a simulated device keeps."""

from __future__ import annotations

import pytest

from edge_agent import clock
from edge_agent.clock import Stamp
from edge_agent.collector.simulation.lines import Body, Line, encode_body
from edge_agent.collector.simulation.source import LANE, MemorySource
from edge_agent.spool import batch as layout

SINCE, UNTIL = Stamp(10**18, 5 * 10**9), Stamp(10**18 + 10**9, 6 * 10**9)


def body(count: int = 50) -> Body:
    return encode_body(Line("line1", seed=1).inspect(count, since=SINCE, until=UNTIL))


def numbers(source: MemorySource, *, after: int = 0, limit: int = 100) -> list[int]:
    return [each.batch for each in source.pending(LANE.name, after=after, limit=limit)]


def test_kept_until_acknowledged() -> None:
    source = MemorySource("s")
    for _ in range(3):
        source.add(body())
    assert numbers(source) == [1, 2, 3]
    assert numbers(source, after=1, limit=1) == [2]
    assert source.acknowledge("s", [(2, 2)]) == 1
    assert numbers(source) == [1, 3]
    assert source.unacknowledged() == [(1, 50), (101, 150)]
    assert (source.made, source.acknowledged, len(source.waits_s)) == (150, 50, 1)


def test_counted_once() -> None:
    source = MemorySource("s")
    source.add(body())
    assert source.acknowledge("other", [(1, 1)]) == 0
    assert source.acknowledge("s", [(1, 10**18)]) == 1
    assert source.acknowledge("s", [(1, 10**18)]) == 0
    assert (source.acknowledged, len(source)) == (50, 0)


@pytest.mark.parametrize("count", [1, 20, 50])
def test_a_batch_is_as_a_device_would_seal_it(count: int) -> None:
    """What went into it comes out, under the device's own numbers."""
    line, again = Line("line1", seed=1), Line("line1", seed=1)
    source = MemorySource("abc")
    records = [again.inspect(count, since=SINCE, until=UNTIL) for _ in range(2)]
    for _ in range(2):
        source.add(encode_body(line.inspect(count, since=SINCE, until=UNTIL)))
    second = source.pending(LANE.name, after=1, limit=1)[0]
    header, found = layout.decode(second.data)
    assert found == records[1]
    assert (header.stream, header.batch, header.kind) == ("abc", 2, "inspections")
    assert (header.first, header.last, header.count) == (count + 1, 2 * count, count)
    assert second.content_type == layout.content_type(second.data)


def test_records_are_dated_between_their_batches_and_are_not_all_alike() -> None:
    records = Line("line1", seed=1).inspect(50, since=SINCE, until=UNTIL)
    assert len(set(records)) == 50
    assert f'"wall_ns":{UNTIL.wall_ns}'.encode() in records[-1]
    assert clock.iso(SINCE.wall_ns + 20_000_000).encode() in records[0]
    assert clock.boot_id().encode() in records[0]
    other = Line("line1", seed=2).inspect(50, since=SINCE, until=UNTIL)
    assert other != records
