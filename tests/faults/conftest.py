"""A disk that can fail, and a process that writes to a spool on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_agent.agent.lanes import LANES
from edge_agent.spool import batch
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Spool
from tests.rigs.disk import Disk, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITER = Path(__file__).with_name("spool_writer.py")
Told = tuple[str, int, str, int]
"""Lane, number, record, monotonic time: what a writer said of a record."""


class Writer:
    """A process that appends to a spool."""

    def __init__(self, directory: Path, *, sync_ms: int = 5) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, WRITER, directory, str(sync_ms)],
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ
            | {"PYTHONFAULTHANDLER": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        self._lines: list[bytes] = []
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        _RUNNING.add(self)

    def wait_for(self, lines: int, within_s: float = 20.0) -> None:
        """Wait until it told of so many records."""
        with self._came:
            if self._came.wait_for(lambda: len(self._lines) >= lines, within_s):
                return
        self._process.send_signal(signal.SIGABRT)  # it says where its threads are
        self._process.wait(5)
        self._said.seek(0)
        raise AssertionError(f"{len(self._lines)} records only: {self._said.read().decode()}")

    def count(self) -> int:
        """Return how many records it told of."""
        return len(self._lines)

    def kill(self) -> list[Told]:
        """Kill it, and return all that it told."""
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait() == -signal.SIGKILL
        self.close()
        told = []
        for line in self._lines:
            lane, number, record, at_ns = line.decode().split()
            told.append((lane, int(number), record, int(at_ns)))
        return told

    def close(self) -> None:
        """End it, if it still runs, and let go of what it said."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._said.close()
        _RUNNING.discard(self)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._came:
                    self._lines.append(line)
                    self._came.notify_all()


_RUNNING: set[Writer] = set()


@pytest.fixture(autouse=True)
def no_writer_outlives_its_test() -> Iterator[None]:
    yield
    for writer in tuple(_RUNNING):
        writer.close()


class Content:
    """Everything that a spool holds, read by its own batches; numbers and order are checked."""

    def __init__(self, directory: Path) -> None:
        self.kept: dict[str, dict[int, str]] = {lane.name: {} for lane in LANES}
        self.lost: list[batch.Loss] = []
        spool = Spool(directory, LANES, SpoolSettings(sync_ms=200, batch_age_ms=3_600_000))
        spool.flush()
        self.stats = spool.stats()
        for lane in LANES:
            kept = self.kept[lane.name]
            for place, sealed in enumerate(spool.pending(lane.name, limit=10**6), 1):
                header, records = batch.decode(sealed.data)
                assert header.batch == place
                self.lost.extend(header.lost)
                for number, record in enumerate(records, header.first):
                    assert number not in kept
                    kept[number] = record.decode()
            gone = {n for loss in self.lost for n in range(loss.first, loss.last + 1)}
            last = max(kept, default=0)
            assert set(range(1, last + 1)) <= kept.keys() | gone, "a hole without a notice"
            assert len(set(kept.values())) == len(kept), "a record was doubled"
        spool.close()

    def check(self, told: list[Told]) -> None:
        """Hold what was told against what is kept: nothing lost, nothing under another number."""
        for lane, number, record, _ in told:
            if number:
                assert self.kept[lane].get(number) == record


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A small disk of its own."""
    yield from _made(24)


@pytest.fixture
def large_disk() -> Iterator[Disk]:
    """A disk that a test does not fill by accident."""
    yield from _made(1024)


def _made(size_mib: int) -> Iterator[Disk]:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base, prefix="edge-disk-") as folder:
        made = Disk(Path(folder), size_mib=size_mib)
        try:
            yield made
        finally:
            made.destroy()
