"""A real Mosquitto for tests: random port, on loopback, with or without memory."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from enum import Enum
from pathlib import Path

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Memory(Enum):
    """What a broker keeps when it is killed."""

    NONE = "none"
    DISK = "disk"


class Broker:
    """A Mosquitto process. Its port stays the same when it is started again.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        directory: Where its configuration, log and memory are.
    """

    def __init__(
        self, directory: Path, *, memory: Memory = Memory.NONE, extra: str = "", port: int = 0
    ) -> None:
        """Prepare a broker; `start` starts it.

        Args:
            directory: Where its configuration, log and memory go; made if missing.
            memory: Whether sessions and retained messages outlive `kill`.
            extra: Further lines for its configuration. With a `listener` line among them it is
                the whole configuration of listeners, and `{port}` in them is the port.
            port: Where to listen; 0 for a free port.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.port = port or _free_port()
        self.directory = directory
        self._config = directory / "mosquitto.conf"
        self._log = directory / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"pid_file {directory}/mosquitto.pid", "max_queued_messages 10000"]
        if os.geteuid() == 0:
            lines.append("user root")  # else it gives up the right to read the test's files
        if "listener" not in extra:
            lines += [f"listener {self.port} 127.0.0.1", "allow_anonymous true"]
        if memory is Memory.DISK:
            lines += [
                "persistence true",
                f"persistence_location {directory}/",
                "autosave_interval 1",
            ]
            lines += ["autosave_on_changes true"]
        lines.append(extra.replace("{port}", str(self.port)))
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert MOSQUITTO is not None, "Mosquitto is not installed"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log
            )
        end = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < end, self.log()
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """Stop it as a service manager does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._end(signal.SIGKILL)

    def log(self) -> str:
        """Return what it wrote."""
        return self._log.read_text(encoding="utf-8")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
