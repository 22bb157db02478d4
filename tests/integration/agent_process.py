"""A real agent as a process of its own, with a configuration in a folder of the test's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.agent.control import ask
from edge_agent.errors import ControlError

STATION = "line1"


class AgentProcess:
    """Start, ask, kill and start again.

    Args:
        folder: Where its configuration, state and log go.
        port: Of the broker; a port where nobody listens is fine.
        camera: Lines of the camera's table.
    """

    def __init__(self, folder: Path, port: int, camera: str) -> None:
        self.folder = folder
        self.config = folder / "agent.toml"
        self.socket = folder / "run" / "control.sock"
        self.config.write_text(
            f'device = "dut"\nstate_dir = "{folder}/state"\nruntime_dir = "{folder}/run"\n'
            f"[mqtt]\nport = {port}\n[uplink]\nreconnect_max_ms = 500\n"
            f"[station.{STATION}.camera]\n{camera}\n",
            encoding="utf-8",
        )
        self.process: subprocess.Popen[bytes] | None = None

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of edge-agent that takes the configuration."""
        verb, *rest = arguments
        return subprocess.run(
            [sys.executable, "-m", "edge_agent.cli.agent", verb, "-c", str(self.config), *rest],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_agent.cli.agent", "run", "-c", str(self.config)],
                stdout=log, stderr=log,
            )  # fmt: skip
        self.until(bool)

    def status(self) -> dict[str, Any]:
        """Ask it; empty if it does not answer (yet)."""
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "agent.log").read_text()
        try:
            answer: dict[str, Any] = ask(self.socket, "status")
        except ControlError:
            return {}
        return answer

    def station(self) -> dict[str, Any]:
        """Return the status of its station."""
        found: dict[str, Any] = self.status()["stations"][STATION]
        return found

    def until(self, holds: Callable[[dict[str, Any]], bool], timeout_s: float = 20) -> None:
        """Wait until its status is as wanted."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            status = self.status()
            if status and holds(status):
                return
            time.sleep(0.05)
        raise AssertionError(f"not within {timeout_s} s: {self.status()}")

    def until_parts(self, count: int) -> None:
        """Wait until so many parts have a verdict."""
        self.until(lambda status: status["stations"][STATION]["parts"] >= count)

    def kill(self) -> None:
        """Kill it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Stop it as systemd would, and return its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)
