"""A machine in a box: real systemd as PID 1, over the files of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("systemd_box.sh")
_BOOT_S = 30.0


def missing() -> str:
    """Say what this machine lacks to run a box; empty if nothing."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("unshare", "nsenter", "systemctl", "ip", "pgrep", "mountpoint"):
        if shutil.which(program) is None:
            return f"needs the program {program}"
    return "" if Path("/lib/systemd/systemd").exists() else "needs systemd"


class SystemdBox:
    """One box. Its writes go to a folder on a tmpfs and are gone with it.

    Args:
        name: Its host name; unique on this machine.
        folder: On another mount than `/`, e.g. under /dev/shm.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        for each in ("up", "work", "root"):
            (folder / each).mkdir(parents=True)
        (folder / "binds").touch()
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, path: str, text: str) -> None:
        """Write a file of the box before it boots."""
        file = self.folder / "up" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def link(self, path: str, target: str) -> None:
        """Make a link in the box before it boots."""
        file = self.folder / "up" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)

    def bind(self, source: Path, target: str) -> None:
        """Let the box see a folder of this machine at another path; before it boots."""
        with (self.folder / "binds").open("a", encoding="utf-8") as binds:
            binds.write(f"{source} {target}\n")

    def boot(self) -> None:
        """Boot, and wait until systemd says that it is up."""
        with (self.folder / "boot.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(SCRIPT), "boot", self.name, str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + _BOOT_S
        while time.monotonic() < end:
            if (self.folder / "leader").exists():
                state = self.run("systemctl", "is-system-running").stdout.strip()
                if state in {"running", "degraded"}:
                    return
            time.sleep(0.1)
        log_text = (self.folder / "boot.log").read_text(encoding="utf-8", errors="replace")
        raise AssertionError(f"the box did not come up: {log_text}")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        leader = (self.folder / "leader").read_text(encoding="ascii").strip()
        return subprocess.run(
            ["nsenter", "-t", leader, "-a", *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).stdout.strip()

    def off(self) -> None:
        """Pull the plug: every process of the box is killed, and its files are gone."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
