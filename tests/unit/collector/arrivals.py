"""Messages for the tests of the collector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from edge_agent.collector import messages
from edge_agent.collector.messages import Arrival, Delivery
from edge_agent.spool import batch
from edge_agent.uplink import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = "edge/v1"
LIMIT_BYTES = 2**20


def inspection(number: int, **more: Any) -> bytes:
    values = {
        "station": "press",
        "part": f"p{number}",
        "sequence": number,
        "time": "2026-05-01T06:00:00.000Z",
        "wall_ns": 1,
        "mono_ns": 2,
        "boot": "b",
        "verdict": "ok",
        "scores": {"anomaly": 0.25},
        "model": "abc",
        "new": {"field": [1, 2]},
    }
    return msgspec.json.encode(values | more)


def sealed(
    number: int, records: Sequence[bytes], *, first: int = 1, kind: str = "inspections",
    lost: tuple[batch.Loss, ...] = (), stream: str = "0123456789abcdef",
) -> bytes:  # fmt: skip
    header = batch.Header(
        schema=batch.SCHEMA, stream=stream, batch=number, kind=kind, first=first,
        last=first + len(records) - 1, count=len(records), lost=lost,
    )  # fmt: skip
    return batch.encode(header, records, level=3)


def arrival(payload: bytes, *, topic: str = "batch/inspections", device: str = "dev1") -> Arrival:
    return Arrival(f"{ROOT}/{device}/{topic}", payload, 1_700_000_000_000_000_000)


def birth(*, device: str = "dev1", online: bool = True) -> bytes:
    return wire.encode(wire.Birth(device=device, online=online, boot="b", version="0.1"))


def delivery(payload: bytes, *, topic: str = "batch/inspections", device: str = "dev1") -> Delivery:
    found = messages.read(
        ROOT, arrival(payload, topic=topic, device=device), limit_bytes=LIMIT_BYTES
    )
    assert isinstance(found, Delivery)
    return found
