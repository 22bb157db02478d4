"""The whole path for fault tests: devices, a broker, collectors and a store, each a real process.

Each can be killed, started again, or find its network, disk, clock or database gone; `settle` then
lets everything that was made arrive, and `account` holds it against what the database has.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from tests.broker import Broker, Memory
from tests.faults.device import Setup
from tests.faults.ledger import SLACK_MS, Account, Life, fetch, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
_LOOK_S = 0.005
UPLINK = {
    "ack_timeout_ms": 1000,
    "ack_timeout_max_ms": 4000,
    "reconnect_min_ms": 20,
    "reconnect_max_ms": 500,
}
"""Faster than a device is by default: the tests are not to wait for its pauses."""


class Device:
    """A device process; each start is a life of its own.

    Args:
        setup: What it is told; life and boot are filled in.
        log: Where its stderr goes.

    Attributes:
        lives: What each life told.
        boots: How often its power came back.
        slack_ms: How long after it was due a sync may be done.
        before: Words before its command, such as `nsenter --net=NAME`.
        env: What its environment has beside ours.
    """

    def __init__(self, setup: Setup, log: Path) -> None:
        self.setup = setup
        self.lives: list[Life] = []
        self.boots = 0
        self.slack_ms = SLACK_MS
        self.before: Sequence[str] = ()
        self.env: Mapping[str, str] = {}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def made(self) -> int:
        """Return how many records it told of, in all its lives."""
        return sum(len(life.numbers) for life in self.lives)

    def start(self) -> None:
        """Begin a life."""
        sync_ms = self.setup.spool.get("sync_ms", 200)
        number = len(self.lives) + 1
        life = Life(self.setup.name, number, sync_ms=sync_ms, slack_ms=self.slack_ms)
        boot = f"{self.boots:032x}"
        told = msgspec.structs.replace(self.setup, life=life.number, boot=boot)
        command = [*self.before, sys.executable, "-m", "tests.faults.device"]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [*command, msgspec.json.encode(told).decode()],
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ
                | {"OPENBLAS_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
                | dict(self.env),
                cwd=ROOT,
            )
        self._process = process
        self.lives.append(life)
        self._reader = threading.Thread(target=_listen, args=(process, life), daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """Kill it at once."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def cut(self, cut_ns: int) -> None:
        """Kill it, its power having been cut at a moment; the next life has a new boot."""
        self.kill()
        self.lives[-1].cut_ns = cut_ns
        self.boots += 1

    def stop(self) -> None:
        """Let it make no more, deliver what it has, and end in good order."""
        assert self._process is not None
        self._process.terminate()

    def wait(self) -> None:
        """Make sure that it has delivered everything and is gone."""
        assert self._process is not None
        if self.is_running:
            self._process.send_signal(signal.SIGABRT)  # it says in its log where its threads are
            self._process.wait(10)
        self.kill()
        left = self.lives[-1].left
        assert left == 0, f"{self.setup.name} could not deliver {left} records: see {self._log}"

    def _end(self) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.wait()
        self._reader.join()


def _listen(process: subprocess.Popen[bytes], life: Life) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            life.hear(line)


class Collector:
    """An `edge-collector run` process."""

    def __init__(self, folder: Path, name: str, settings: str) -> None:
        self._log = folder / f"{name}.log"
        self._said = 0
        self._config = folder / f"{name}.toml"
        self._config.write_text(settings, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_up(self) -> bool:
        """Whether it has connected since it was started."""
        with self._log.open("rb") as log:
            log.seek(self._said)
            return b"collector is connected" in log.read()

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "edge_agent.cli.collector", "run", "-c", str(self._config)]
        with self._log.open("ab") as log:
            self._said = log.tell()
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)

    def kill(self) -> None:
        """Kill it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def finish(self) -> None:
        """End it as a service manager does."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(20) == 0, self.log()[-2000:]

    def log(self) -> str:
        """Return what it wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")


class Line:
    """Devices, a broker, collectors and a store.

    Args:
        folder: Where all of it keeps its files, but for what is given elsewhere.
        devices: How many.
        collectors: How many; more than one share the work.
        url: Of the store; a SQLite file in the folder by default.
        memory: What the broker has after it was killed.
        setup: What every device is told; name, directory and port are filled in.
        listen: Where the broker listens beside this machine's own address.
    """

    def __init__(
        self,
        folder: Path,
        *,
        devices: int = 1,
        collectors: int = 1,
        url: str = "",
        memory: Memory = Memory.DISK,
        setup: Setup | None = None,
        listen: str = "",
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.url = url or f"sqlite:///{folder}/collector.db"
        listeners = "".join(
            f"listener {{port}} {address}\n" for address in ("127.0.0.1", listen) if address
        )
        self.broker = Broker(
            folder / "broker", memory=memory, extra=f"{listeners}allow_anonymous true"
        )
        self._held = ExitStack()
        base = setup or Setup(name="", directory="", port=0, life=0)
        self.devices = [self._device(base, number) for number in range(1, devices + 1)]
        self.collectors = [self._collector(n, collectors) for n in range(1, collectors + 1)]

    def _device(self, base: Setup, number: int) -> Device:
        name = f"dev{number}"
        directory = f"{base.directory or self.folder}/{name}"
        told = msgspec.structs.replace(
            base,
            name=name,
            directory=directory,
            port=self.broker.port,
            spool={"batch_age_ms": 300} | base.spool,
            uplink=UPLINK | base.uplink,
        )
        return Device(told, self.folder / f"{name}.log")

    def _collector(self, number: int, of: int) -> Collector:
        shared = 'group = "plant"\n' if of > 1 else ""
        return Collector(
            self.folder,
            f"collector{number}",
            f'[mqtt]\nport = {self.broker.port}\n[store]\nurl = "{self.url}"\n'
            f'[ingest]\nclient_id = "collector{number}"\n{shared}',
        )

    def __enter__(self) -> Self:
        """Start everything."""
        try:
            self.start()
            self.wait_until_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End whatever still runs."""
        self.close()

    def start(self) -> None:
        """Start what does not run."""
        if not self.broker.is_running:
            self.broker.start()
        for collector in self.collectors:
            if not collector.is_running:
                collector.start()
        for device in self.devices:
            if not device.is_running:
                device.start()

    def wait_until_up(self) -> None:
        """Wait until everything has begun its work: before that it could not be ended in order."""
        wait_for(
            lambda: (
                all(device.lives[-1].numbers for device in self.devices)
                and all(collector.is_up for collector in self.collectors)
            ),
            30,
            "not everything is up",
        )

    def load(self, records: int, within_s: float = 60.0) -> None:
        """Wait until so many more records are made."""
        target = self.made() + records
        wait_for(lambda: self.made() >= target, within_s, "records are not made")

    def made(self) -> int:
        """Return how many records the devices told of."""
        return sum(device.made() for device in self.devices)

    def forget(self) -> None:
        """Let the broker lose its whole state; it is dead by then."""
        for memory in self.broker.directory.glob("mosquitto.db*"):
            memory.unlink()

    def hold_database(self) -> None:
        """Keep the collectors from writing."""
        self._held.enter_context(_held(self.url))

    def release_database(self) -> None:
        """Let them write again."""
        self._held.close()

    def settle(self, within_s: float = 90.0) -> None:
        """Start what is down, let everything arrive, and end all in good order."""
        self.start()
        self.wait_until_up()
        for device in self.devices:
            device.stop()
        end = time.monotonic() + within_s
        while any(device.is_running for device in self.devices) and time.monotonic() < end:
            for collector in self.collectors:
                assert collector.is_running, f"a collector ended: {collector.log()[-2000:]}"
            time.sleep(_LOOK_S)
        for device in self.devices:
            device.wait()
        for collector in self.collectors:
            collector.finish()

    def stored(self) -> int:
        """Return how many records the database has by now."""
        ((count,),) = fetch(self.url, "SELECT coalesce(sum(last - first + 1), 0) FROM batches")
        return int(count)

    def account(self) -> Account:
        """Hold what was made against what the database has."""
        return settle(self.url, self.lives())

    def lives(self) -> list[Life]:
        """Return what the devices told, in all their lives."""
        return [life for device in self.devices for life in device.lives]

    def close(self) -> None:
        """End whatever still runs."""
        self.release_database()
        for device in self.devices:
            device.kill()
        for collector in self.collectors:
            collector.kill()
        self.broker.stop()

    def wipe(self) -> None:
        """Delete its files."""
        shutil.rmtree(self.folder)


@contextmanager
def _held(url: str) -> Iterator[None]:
    """Hold a lock on a store that lets nobody write."""
    if url.startswith("sqlite"):
        file = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, timeout=20, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield
        return
    import psycopg  # noqa: PLC0415 - only where there is a PostgreSQL

    with psycopg.connect(url) as server:
        server.execute("LOCK TABLE batches IN ACCESS EXCLUSIVE MODE")
        yield


def wait_for(condition: Callable[[], bool], within_s: float, otherwise: str) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It does not in time.
    """
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"{otherwise} within {within_s} s"
        time.sleep(_LOOK_S)
