"""What the agent says of itself: to `edge-agent status`, and in health records."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_agent.alarms.book import Alarm
from edge_agent.decision.verdict import worst_stage
from edge_agent.lighting.forecast import Forecast
from edge_agent.record.inspection import InspectionRecord

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Percentiles(msgspec.Struct, frozen=True):
    """Latency from capture to verdict out, in milliseconds, over the newest parts."""

    p50: float
    p95: float
    p99: float


class LastPart(msgspec.Struct, frozen=True):
    """The newest part of a station; `score` is that of `stage`, the worst that decides.

    `automation` is the degree in force, and `proposed` what the model alone would have said, where
    that differs.
    """

    part: str
    verdict: str
    score: float | None
    light: str
    stage: str = ""
    scores: dict[str, float] = {}
    automation: str = ""
    proposed: str = ""

    @classmethod
    def of(cls, record: InspectionRecord) -> LastPart:
        """Return what its record says of a part."""
        stage = worst_stage(record.scores, record.thresholds)
        return cls(
            record.part,
            record.verdict.value,
            record.scores.get(stage),
            record.lighting.state,
            stage,
            record.scores,
            record.automation.value,
            record.proposed.value if record.proposed else "",
        )


class ProductStatus(msgspec.Struct, frozen=True):
    """What a station makes; `recipe` is empty for a part number without one."""

    part_number: str
    recipe: str


class StationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a station is doing.

    Attributes:
        parts: Parts that got a verdict since the start.
        verdicts: Parts by verdict.
        finished: The camera gave its last frame, and all of them are judged.
        faults: Faults that were caught.
        bundle: Name and version of the live bundle; empty for none.
        model: First 12 digits of its digest.
        engine: What runs it.
        latency_ms: From capture to verdict out; None before the first part.
        last: The newest part.
        automation: The station's degree, as configured; the newest part has the one in force.
        product: What is made; None where nobody ever told.
        forecasts: What of the light is on its way to a limit, the nearest first.
    """

    parts: int
    verdicts: dict[str, int]
    finished: bool
    faults: int
    bundle: str
    model: str
    engine: str
    latency_ms: Percentiles | None
    last: LastPart | None
    automation: str = "full"
    product: ProductStatus | None = None
    forecasts: tuple[Forecast, ...] = ()


class LaneStatus(msgspec.Struct, frozen=True):
    """How a lane of the spool is doing.

    Attributes:
        stream: Its stream id.
        appended: Number of its last record.
        waiting: Records that the collector has not acknowledged.
        lost: Records lost to quota, damage, or a disk that took nothing for too long.
        kind: What its records are.
        in_memory: Records of those that wait for the disk.
    """

    stream: str
    appended: int
    waiting: int
    lost: int
    kind: str = ""
    in_memory: int = 0


class UplinkStatus(msgspec.Struct, frozen=True):
    """How the uplink is doing.

    Attributes:
        connected: Whether the broker has accepted us.
        sent_bytes: Payload bytes of batches.
        acknowledged: Batches the collector has.
        error: Why the link is down; empty if all is well.
        hour_bytes: What the link cost in the last hour, both ways, headers included.
        budget_bytes: What it may cost in an hour; 0 for no limit.
        held: Lanes that wait for the budget.
    """

    connected: bool
    sent_bytes: int
    acknowledged: int
    error: str
    hour_bytes: int = 0
    budget_bytes: int = 0
    held: tuple[str, ...] = ()


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent is doing.

    Attributes:
        state: `running` or `stopping`.
        uptime_s: Since the process began.
        rss_mb: Resident memory, MiB.
    """

    device: str
    version: str
    pid: int
    state: str
    uptime_s: float
    rss_mb: float
    stations: dict[str, StationStatus]
    alarms: list[Alarm]
    spool: dict[str, LaneStatus]
    backlog_bytes: int
    uplink: UplinkStatus


def percentiles(latencies_ns: Sequence[int]) -> Percentiles | None:
    """Return nearest-rank percentiles of latencies, in milliseconds.

    >>> percentiles([1_000_000, 2_000_000, 3_000_000])
    Percentiles(p50=2.0, p95=3.0, p99=3.0)
    """
    if not latencies_ns:
        return None
    ordered = sorted(latencies_ns)
    p50, p95, p99 = (ordered[-(-len(ordered) * share // 100) - 1] / 1e6 for share in (50, 95, 99))
    return Percentiles(round(p50, 3), round(p95, 3), round(p99, 3))


def resident_mb() -> float:
    """Return this process's resident memory in MiB."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return round(int(fields[1]) * _PAGE_BYTES / 2**20, 1)
