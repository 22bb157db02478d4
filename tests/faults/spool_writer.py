"""A process for fault tests: it appends records to a spool and tells each number it was given.

    python spool_writer.py DIRECTORY SYNC_MS

Each line on stdout is `LANE NUMBER RECORD MONOTONIC_NS`: number 0 for a record that waits in
memory. An alarm is told once it is synced, as the agent announces it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from edge_agent.agent.lanes import ALARMS, LANES, NG, OK
from edge_agent.errors import SpoolError
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Spool

SETTINGS = {"batch_records": 40, "batch_age_ms": 30}
_TURN = (OK,) * 6 + (NG,) * 2


def main(directory: Path, sync_ms: int) -> None:
    """Append until killed."""
    spool = Spool(directory, LANES, SpoolSettings(sync_ms=sync_ms, **SETTINGS))
    index = 0
    while True:
        index += 1
        lane = ALARMS if index % 40 == 0 else _TURN[index % len(_TURN)]
        record = f"{lane}-{os.getpid()}-{index}"
        number = spool.append(lane, record.encode())
        if lane == ALARMS:
            try:
                spool.sync(ALARMS)
            except SpoolError:
                number = 0
        at_ns = time.monotonic_ns()
        os.write(1, f"{lane} {number} {record} {at_ns}\n".encode())
        if index % 8 == 0:
            time.sleep(0.001)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
