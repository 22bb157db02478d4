"""What one record costs: on the path of a part beside an INSERT, and in bytes that reach a disk.

python -m tests.bench.append [--rate 300] [--records 3000] [--directory DIR]
python -m tests.bench.append --wear [--records 900]     (root: a loop device with ext4)
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_agent.agent.lanes import LANES, NG, OK
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool
from tests.rigs.disk import Disk, missing

if TYPE_CHECKING:
    from collections.abc import Callable

_WEARS = (
    ("defaults", 200, 2000),
    ("commit=60", 200, 2000),
    ("defaults", 1000, 2000),
    ("commit=60", 1000, 2000),
)
"""Mount options of the file system, and settings."""


def inspection(index: int, draw: random.Random) -> bytes:
    """Write a record as long and as varied as a real one."""
    due_us = index * 100_000 + draw.randrange(100)
    return msgspec.json.encode(
        {
            "station": "line1",
            "sequence": index,
            "part": f"1-{index:06d}",
            "time": f"2026-05-01T06:{index // 600 % 60:02d}:{index // 10 % 60:02d}.{index % 10}13Z",
            "wall_ns": 1_777_615_200_123_456_000 + due_us * 1000,
            "mono_ns": 26_109_008_532_000 + due_us * 1000,
            "boot": "2225602a3c684fe38f32a7106087e6d9",
            "verdict": "ng" if index % 10 == 9 else "ok",
            "scores": {"anomaly": round(0.8 + draw.random() / 5, 4)},
            "thresholds": {"anomaly": {"review": 1.1252, "ng": 1.1466}},
            "bundle": "simulated-line 1",
            "model": "653aebb175bc",
            "engine": "onnx",
            "lighting": {
                "state": "normal",
                "excess": round(draw.random() / 50, 3),
                "baseline": "f208a38e0acd",
                "statistics": {"level": round(draw.gauss(0, 0.2), 3)},
            },
            "latency_us": {
                "queue": draw.randrange(4, 9),
                "lighting": draw.randrange(450, 550),
                "preprocess": draw.randrange(180, 220),
                "inference": draw.randrange(5600, 6000),
                "total": draw.randrange(6400, 6900),
            },
        }
    )


def measure(keep: Callable[[bytes], object], records: list[bytes], rate: float) -> str:
    """Time a call for each record, at a rate, and say p50, p99 and the worst in microseconds."""
    took_us = []
    due = time.perf_counter()
    for record in records:
        began = time.perf_counter_ns()
        keep(record)
        took_us.append((time.perf_counter_ns() - began) / 1000)
        due += 1 / rate
        time.sleep(max(0.0, due - time.perf_counter()))
    took_us.sort()
    p99 = took_us[int(len(took_us) * 0.99)]
    return f"p50 {took_us[len(took_us) // 2]:.1f} us, p99 {p99:.1f} us, worst {took_us[-1]:.0f} us"


def wear(
    records: list[bytes], settings: SpoolSettings, options: str = "defaults"
) -> tuple[float, float]:
    """Append at ten records a second, acknowledged as they are sealed.

    Returns:
        Bytes a record that the process wrote (/proc/self/io), and that reached the device.
    """
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="edge-wear-") as folder:
        disk = Disk(Path(folder))
        disk.unmount()
        disk.mount(options=f"errors=continue,{options}")
        try:
            spool = Spool(disk.root / "spool", LANES, settings)
            spool.append(OK, records[0])
            spool.flush()
            before, io_before = disk.written_bytes(), _process_bytes()
            due = time.perf_counter()
            for index, record in enumerate(records):
                spool.append(NG if index % 10 == 9 else OK, record)
                for lane in spool.lanes:
                    for sealed in spool.pending(lane.name):
                        spool.acknowledge(sealed.stream, [(sealed.batch, sealed.batch)])
                due += 0.1
                time.sleep(max(0.0, due - time.perf_counter()))
            after, io_after = disk.written_bytes(), _process_bytes()
            spool.close()
        finally:
            disk.destroy()
    return (io_after - io_before) / len(records), (after - before) / len(records)


def _process_bytes() -> int:
    fields = Path("/proc/self/io").read_text(encoding="ascii").split()
    return int(fields[fields.index("write_bytes:") + 1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=300, help="records a second")
    parser.add_argument("--records", type=int, default=3000)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--wear", action="store_true", help="bytes that reach a disk")
    options = parser.parse_args()
    draw = random.Random(1)
    records = [inspection(index, draw) for index in range(options.records)]
    if options.wear:
        lacking = missing()
        if lacking:
            parser.error(lacking)
        for mount, sync_ms, age_ms in _WEARS:
            settings = SpoolSettings(sync_ms=sync_ms, batch_age_ms=age_ms)
            process, device = wear(records, settings, mount)
            print(  # noqa: T201 - its result
                f"{mount:>9}, sync_ms {sync_ms:5}, batch_age_ms {age_ms:6}: {device:6.0f} bytes a "
                f"record reach the device ({process:.0f} from the process)",
                flush=True,
            )
        return
    measure_path(records, options.rate, options.directory)


def measure_path(records: list[bytes], rate: float, where: Path | None) -> None:
    """Measure what a record costs on the path of a part."""
    with tempfile.TemporaryDirectory(dir=where) as name:
        directory = Path(name)
        spool = Spool(directory / "spool", [Lane("inspections", "inspections")], SpoolSettings())
        said = measure(lambda record: spool.append("inspections", record), records, rate)
        print(f"append      {said}")  # noqa: T201 - its result
        spool.flush()
        size = spool.backlog().bytes / len(records)
        raw = sum(map(len, records)) / len(records)
        print(f"            {size:.1f} bytes a record sealed, {raw:.0f} before")  # noqa: T201 - its result
        spool.close()
        database = sqlite3.connect(directory / "bare.db", isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, record BLOB)")
        insert = "INSERT INTO records (record) VALUES (?)"
        said = measure(lambda record: database.execute(insert, (record,)), records, rate)
        print(f"bare INSERT {said}")  # noqa: T201 - its result
        database.close()


if __name__ == "__main__":
    main()
