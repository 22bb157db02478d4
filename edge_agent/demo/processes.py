"""The processes of the demonstration: each a real one, with its log in a file."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.errors import BrokerError, UsageError

_STOP_S = 15.0
_SBIN = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put a Ctrl-C off until afterwards: in mid-start it would leave a process nobody stops."""
    before = signal.getsignal(signal.SIGINT)
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)


class Child:
    """A process that can be started again, stopped or killed.

    It gets a process group of its own, so that a Ctrl-C in the terminal reaches us alone and we
    stop everything in order.
    """

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log, _uninterrupted():
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> int:
        """Ask it to stop (SIGTERM), wait, and return its exit status; kill it if it does not."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """Kill it at once (SIGKILL)."""
        if self._process is None:
            return 0
        self._process.kill()
        return self._process.wait()

    def check(self) -> None:
        """Raise if it ended by itself.

        Raises:
            UsageError: With the last line of its log.
        """
        if self._process is not None and self._process.poll() is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "it said nothing"
            raise UsageError(f"the {self.name} ended (status {self._process.returncode}): {last}")


def edge_command(module: str) -> list[str]:
    """Return the command that runs one of our command lines with this same Python."""
    return [sys.executable, "-m", f"edge_agent.cli.{module}"]


def find_broker() -> str:
    """Return the path of Mosquitto.

    Raises:
        BrokerError: It is not installed.
    """
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=_SBIN)
    if found is None:
        raise BrokerError(
            "the MQTT broker Mosquitto is not installed: `make demo` installs it, or run "
            "`apt-get install mosquitto` as root"
        )
    return found


def make_broker(folder: Path, port: int) -> Child:
    """Make a Mosquitto that listens on this machine only and keeps nothing on the disk."""
    file = folder / "mosquitto.conf"
    file.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
        "log_dest stderr\nlog_type error\nlog_type warning\nset_tcp_nodelay true\n",
        encoding="utf-8",
    )
    return Child("broker", [find_broker(), "-c", str(file)], folder / "broker.log")


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, child: Child, *, timeout_s: float = 10.0) -> None:
    """Wait until a process listens.

    Raises:
        UsageError: It ended, or does not listen in time.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        child.check()
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise UsageError(f"the {child.name} does not listen on port {port} after {timeout_s:.0f} s")
