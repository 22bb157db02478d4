"""What a simulated line inspects, and how its records become batches of many devices.

Encoding a batch in columns costs more than sending and storing it does. So devices share lines:
those of one line look at the same parts at the same time and write the same records, whose
numbers, times and boot are true of each of them. The records of a batch are encoded once for the
line; each device's header goes before them, and both are compressed as one frame. That costs 7 %
more bytes than the spool's own batches, which reset the tables of the compression more often.
"""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import msgspec

from edge_agent.clock import boot_id, iso
from edge_agent.decision.verdict import Thresholds, Verdict
from edge_agent.record.inspection import InspectionRecord, Latency, Lighting, encode
from edge_agent.spool import batch as layout

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.clock import Stamp

KIND = "inspections"
_LEVEL = 3
_THRESHOLDS = {"anomaly": Thresholds(review=0.5, ng=0.6)}
_DIGEST = "0123456789ab"


class Line:
    """One simulated line; the same seed makes the same parts."""

    def __init__(self, name: str, *, seed: int) -> None:
        self._name = name
        self._random = random.Random(seed)
        self._level = 0.0
        self._sequence = 0

    def inspect(self, count: int, *, since: Stamp, until: Stamp) -> list[bytes]:
        """Write the records of parts that came evenly between two moments.

        Args:
            count: How many.
            since: Just before the first.
            until: When the last one came.
        """
        step_ns = (until.mono_ns - since.mono_ns) // count
        ages_ns = [(count - n) * step_ns for n in range(1, count + 1)]
        return [self._record(until.wall_ns - age, until.mono_ns - age) for age in ages_ns]

    def _record(self, wall_ns: int, mono_ns: int) -> bytes:
        draw = self._random
        self._sequence += 1
        self._level = 0.99 * self._level + draw.gauss(0, 0.05)  # light wanders, it does not jump
        score = round(max(0.0, draw.gauss(0.31, 0.06)), 4)
        verdict = Verdict.OK if score < 0.5 else Verdict.REVIEW if score < 0.6 else Verdict.NG
        queue, lighting = int(draw.gammavariate(2, 60)), int(draw.gauss(900, 60))
        preprocess, inference = int(draw.gauss(1200, 80)), int(draw.gammavariate(40, 200))
        record = InspectionRecord(
            station=self._name,
            sequence=self._sequence,
            part=f"{self._name}-{self._sequence:07d}",
            time=iso(wall_ns),
            wall_ns=wall_ns - wall_ns % 1000,
            mono_ns=mono_ns - mono_ns % 1000,
            boot=boot_id(),
            verdict=verdict,
            scores={"anomaly": score},
            thresholds=_THRESHOLDS,
            bundle="simulated 1",
            model=_DIGEST,
            engine="onnx",
            lighting=Lighting(
                "normal", excess=round(abs(self._level) / 3, 3), baseline=_DIGEST,
                statistics={"level": round(self._level, 3)},
            ),
            latency_us=Latency(
                queue, lighting, preprocess, inference, queue + lighting + preprocess + inference
            ),
        )  # fmt: skip
        return encode(record)


class Body(msgspec.Struct, frozen=True):
    """The records of a batch, encoded, without whose they are.

    Attributes:
        header: Its header, of nobody yet.
        content: What follows the header's line.
    """

    header: layout.Header
    content: bytes


def encode_body(records: Sequence[bytes]) -> Body:
    """Encode records once for all devices that wrote them."""
    count = len(records)
    header = layout.Header(
        schema="", stream="-", batch=1, kind=KIND, first=1, last=count, count=count
    )
    text = zstd.decompress(layout.encode(header, records, level=1))
    line, _, content = text.partition(b"\n")
    return Body(msgspec.json.decode(line, type=layout.Header), content)


def seal(body: Body, *, stream: str, batch: int, first: int) -> bytes:
    """Make a device's batch of records that are encoded."""
    header = msgspec.structs.replace(
        body.header, stream=stream, batch=batch, first=first, last=first + body.header.count - 1
    )
    return zstd.compress(msgspec.json.encode(header) + b"\n" + body.content, _LEVEL)
