"""What a record costs on the wire: bytes, and the time to encode and decode it.

python -m tests.bench.wire [--records 1200] [--figures-every 17] [--keep FILE | --from FILE]

The records are those of the agent's own path on the simulated line, with the shipped bundle:
scores, light and latencies are as noisy as they are, no frame comes twice. Their times are set
100 ms apart, with a jitter of up to 100 us. They go into batches by their lanes, as in the agent.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from edge_agent import clock
from edge_agent.agent.lanes import LANES, lane_of
from edge_agent.agent.path import PartPath
from edge_agent.camera.drivers.simulated import Settings
from edge_agent.camera.frame import EndOfFrames
from edge_agent.camera.registry import make_camera
from edge_agent.camera.triggers import Trigger
from edge_agent.config import Lighting
from edge_agent.demo.workspace import reference_bundle
from edge_agent.inspection.engines import EngineSettings
from edge_agent.record.inspection import InspectionRecord, encode
from edge_agent.rollout.bundle import read_bundle
from edge_agent.rollout.live import make_live
from edge_agent.spool import batch
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Spool

_SIZES = (20, 50, 100, 200, 500, 1000)
_WARM_UP = 40
_TAKT_NS, _JITTER_NS, _BOOTED_NS = 100_000_000, 100_000, 26_104_908_433_745
_ROUNDS = 5


def judge(count: int, figures_every: int) -> list[InspectionRecord]:
    """Judge parts of the simulated line; their records as the agent makes them."""
    settings = Settings(takt_ms=0, parts=count + _WARM_UP, seed=1)
    camera = make_camera("simulated", settings, station="line1", trigger=Trigger.FREE_RUN)
    with tempfile.TemporaryDirectory(prefix="edge-wire-") as folder:
        spool = Spool(Path(folder), LANES, SpoolSettings(batch_age_ms=60_000))
        path = PartPath(
            "line1", spool, outputs=(), observe=_ignore, deadline_ms=10_000,
            figures_every=figures_every,
        )  # fmt: skip
        path.model = make_live(read_bundle(reference_bundle()), "onnx", EngineSettings())
        camera.open()
        records = []
        with contextlib.suppress(EndOfFrames):
            while frame := camera.read(1.0):
                stamped = msgspec.structs.replace(frame, captured=clock.now())
                records.append(_at_takt(path.process(stamped).record, frame.sequence))
        camera.close()
        spool.close()
    return records[_WARM_UP:]


def _at_takt(record: InspectionRecord, number: int) -> InspectionRecord:
    """Move a record to when its part would have come; what the clocks say beside that stays."""
    due_ns = _BOOTED_NS + number * _TAKT_NS + record.mono_ns % _JITTER_NS
    due_ns -= due_ns % 1000
    wall_ns = record.wall_ns - record.mono_ns + due_ns
    return msgspec.structs.replace(record, wall_ns=wall_ns, mono_ns=due_ns, time=clock.iso(wall_ns))


def _ignore(_kind: object, _text: str) -> None:
    pass


def _bare(record: InspectionRecord) -> InspectionRecord:
    """Leave out what only a simulated line knows."""
    return msgspec.structs.replace(record, truth=None)


def sealed(records: list[bytes]) -> bytes:
    """Seal records as the spool does."""
    header = batch.Header(
        schema="", stream="9f86d081884c7d65", batch=77, kind="inspections", first=70_001,
        last=70_000 + len(records), count=len(records),
    )  # fmt: skip
    return batch.encode(header, records, level=SpoolSettings().zstd_level)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1200)
    parser.add_argument("--figures-every", type=int, default=Lighting().figures_every)
    parser.add_argument("--keep", type=Path, help="write the records to this file")
    parser.add_argument("--from", dest="source", type=Path, help="read the records from this file")
    options = parser.parse_args()
    lines = [f"{'records':>8} {'as they are':>12} {'no truth':>9}  bytes a record"]
    if options.source:
        made = [
            msgspec.json.decode(line, type=InspectionRecord)
            for line in options.source.read_bytes().splitlines()
        ]
    else:
        made = judge(options.records, options.figures_every)
    if options.keep:
        options.keep.write_bytes(b"".join(encode(record) + b"\n" for record in made))
    ok = [record for record in made if lane_of(record.verdict) == "ok"]
    kinds = [[encode(change(record)) for record in ok] for change in (_same, _bare)]
    for size in (size for size in _SIZES if size <= len(ok)):
        costs = [len(sealed(records[:size])) / size for records in kinds]
        lines.append(f"{size:>8} {costs[0]:>12.1f} {costs[1]:>9.1f}")
    records = kinds[0][:500]
    payload = sealed(records)
    lines.append(f"{sum(map(len, records)) / len(records):.0f} bytes a record before")
    lines.append(f"encode {_rate(lambda: sealed(records), len(records))} records/s of CPU time")
    lines.append(
        f"decode {_rate(lambda: batch.decode(payload), len(records))} records/s of CPU time"
    )
    sys.stdout.write("\n".join([*lines, ""]))


def _same(record: InspectionRecord) -> InspectionRecord:
    return record


def _rate(call: object, records: int) -> int:
    assert callable(call)
    took = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        call()
        took.append(time.thread_time() - began)
    return round(records / min(took))


if __name__ == "__main__":
    main()
