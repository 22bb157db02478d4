"""A poisoned batch is refused with its reason, in bounded memory and time."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from edge_agent.errors import WireError
from edge_agent.spool import batch
from tests.unit.collector import poison

_LIMIT_BYTES = 3 * batch.LIMIT_BYTES


@pytest.mark.parametrize("name", [name for name in poison.PAYLOADS if name != "nested"])
def test_refused_in_bounded_memory_and_time(name: str) -> None:
    payload = poison.PAYLOADS[name]
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(WireError, match=poison.REASONS[name]):
        batch.decode(payload)
    took_s = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < _LIMIT_BYTES
    assert took_s < 5


def test_the_largest_that_is_taken_is_bounded_too() -> None:
    records = [b'{"a":%d,"b":%d}' % (n, n * n) for n in range(batch.RECORDS_MOST)]
    header = batch.Header(
        schema="",
        stream="s",
        batch=1,
        kind="health",
        first=1,
        last=len(records),
        count=len(records),
    )
    payload = batch.encode(header, records, level=1)
    tracemalloc.start()
    assert batch.decode(payload)[1] == records
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < _LIMIT_BYTES
