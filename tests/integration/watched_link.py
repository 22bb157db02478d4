"""A link that is kept by a process of its own (`link_watch.py`), and what it says of it."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from edge_agent.uplink.settings import MqttSettings

_SCRIPT = Path(__file__).with_name("link_watch.py")


class WatchedLink:
    """The process, and its lines.

    Args:
        settings: How the broker is reached.
        reconnect_s: Its shortest and its longest pause before it tries again.
        prefix: Words before its command.
        env: Added to its environment.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        reconnect_s: tuple[float, float] = (0.05, 0.2),
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            [
                *prefix,
                sys.executable,
                str(_SCRIPT),
                msgspec.json.encode(settings).decode(),
                *map(str, reconnect_s),
            ],
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def hears(self, begin: str, *, within_s: float) -> str:
        """Wait for a line that begins so, and return it; others before it are passed over."""
        while True:
            line = self._lines.get(timeout=within_s)
            if line.startswith(begin):
                return line

    @property
    def is_silent(self) -> bool:
        """Whether nothing new was said."""
        return self._lines.empty()

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(10)
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line.decode().rstrip("\n"))
