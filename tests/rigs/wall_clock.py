"""A wall clock of its own for a process, that can jump: libfaketime. The machine's is not touched.

Its monotonic clock stays the machine's, as in a device whose real-time clock is wrong.
"""

from __future__ import annotations

import os
from pathlib import Path

_LIBRARIES = ("libfaketimeMT.so.1", "libfaketime.so.1")
_FOLDERS = ("/usr/lib/*/faketime", "/usr/local/lib/faketime", "/usr/lib/faketime", "/usr/lib64")
_SHARED = Path("/dev/shm")


def missing() -> str:
    """Say what this machine lacks; empty if nothing."""
    return "" if _library() else "needs libfaketime (Debian's package of that name)"


class WallClock:
    """A wall clock, right at the beginning.

    Args:
        file: Where it stands how wrong it is.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_off_s(0)

    @property
    def env(self) -> dict[str, str]:
        """What a process must have in its environment to live by this clock."""
        return {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set_off_s(self, seconds: int) -> None:
        """Let it jump: it is so many seconds ahead of the machine's from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}", encoding="ascii")
        fresh.replace(self._file)

    def close(self) -> None:
        """Remove what the library leaves in shared memory of processes that were killed."""
        for left in _SHARED.glob("*faketime_*_*"):
            process = left.name.rpartition("_")[2]
            if process.isdigit() and not Path("/proc", process).exists():
                left.unlink(missing_ok=True)


def _library() -> str:
    for folder in _FOLDERS:
        for name in _LIBRARIES:
            for found in sorted(Path("/").glob(f"{folder[1:]}/{name}")):
                if os.access(found, os.R_OK):
                    return str(found)
    return ""
