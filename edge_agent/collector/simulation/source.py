"""The sealed batches of a simulated device: what its spool would hold, in memory.

Invariants, each held by a test of its name in tests/unit/collector/simulation/test_source.py:

1. *kept until acknowledged*: a batch leaves only by its acknowledgement.
2. *counted once*: an acknowledgement of what is not here changes nothing.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Sequence

import msgspec

from edge_agent.collector.simulation.lines import KIND, Body, seal
from edge_agent.spool import batch as layout
from edge_agent.spool.lanes import Lane

LANE = Lane("ok", KIND)


class SimulatedBatch(msgspec.Struct, frozen=True):
    """A sealed batch; see `edge_agent.uplink.window.Sealed`.

    Attributes:
        kind: What its records are.
        stream: Of the device.
        batch: Its number.
        data: What is sent.
        content_type: How it is laid out.
        encoding: How it is compressed.
        count: Records in it.
        sealed_at: Monotonic time, in seconds.
    """

    kind: str
    stream: str
    batch: int
    data: bytes
    content_type: str
    encoding: str
    count: int
    sealed_at: float


class MemorySource:
    """Batches of one device. Any thread may call it.

    Attributes:
        stream: Its stream.
        made: Records made.
        acknowledged: Records that the collector has.
        batches: Batches made.
        waits_s: For each acknowledged batch, how long it took from sealing.
        lanes: See `BatchSource`.
        is_readable: See `BatchSource`.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.made = self.acknowledged = self.batches = 0
        self.waits_s = array("f")
        self.lanes: Sequence[Lane] = (LANE,)
        self.is_readable = True
        self._waiting: dict[int, SimulatedBatch] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, body: Body) -> None:
        """Seal records as the next batch."""
        with self._lock:
            number, first = self.batches + 1, self.made + 1
            data = seal(body, stream=self.stream, batch=number, first=first)
            self._waiting[number] = SimulatedBatch(
                kind=KIND,
                stream=self.stream,
                batch=number,
                data=data,
                content_type=(
                    layout.CONTENT_TYPE_COLUMNS
                    if body.header.schema == layout.SCHEMA_COLUMNS
                    else layout.CONTENT_TYPE
                ),
                encoding=layout.ENCODING,
                count=body.header.count,
                sealed_at=time.monotonic(),
            )
            self.batches = number
            self.made += body.header.count

    def pending(self, lane: str, *, after: int, limit: int) -> Sequence[SimulatedBatch]:
        """See `BatchSource`."""
        assert lane == LANE.name
        with self._lock:  # batches are added in the order of their numbers
            newer = (batch for number, batch in self._waiting.items() if number > after)
            return [batch for batch, _ in zip(newer, range(limit), strict=False)]

    def acknowledge(self, stream: str, ranges: Sequence[tuple[int, int]]) -> int:
        """See `BatchSource`."""
        if stream != self.stream:
            return 0
        now = time.monotonic()
        with self._lock:
            numbers = [n for n in self._waiting if any(low <= n <= high for low, high in ranges)]
            for number in numbers:
                batch = self._waiting.pop(number)
                self.acknowledged += batch.count
                self.waits_s.append(now - batch.sealed_at)
        return len(numbers)

    def unacknowledged(self) -> list[tuple[int, int]]:
        """Return the record numbers that the collector never acknowledged, as ranges.

        Batches hold what they hold: the numbers are read from the batches themselves.
        """
        with self._lock:
            headers = [layout.decode(batch.data)[0] for batch in self._waiting.values()]
        return [(header.first, header.last) for header in headers]
