"""The agent under a really booted systemd: ready, killed, back and inspecting; hung, restarted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rigs.systemd_box import SystemdBox, missing

pytestmark = [pytest.mark.root, pytest.mark.processes]

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy/systemd"
UNIT = "edge-agent.service"
CHECKOUT, PACKAGES = "/opt/checkout", "/opt/packages"
"""Where the box sees this checkout, and what is installed for it."""

AGENT_TOML = """\
device = "boxed"
[station.line1.camera]
driver = "simulated"
takt_ms = 150
"""
TARGET = """\
[Unit]
Requires=basic.target
After=basic.target
Wants=dbus.service edge-agent.service
AllowIsolate=yes
"""


def _python() -> str:
    """Return a Python that the service's user may run: ours, or Debian's of the same version."""
    real = Path(sys.executable).resolve()
    private = any(not folder.stat().st_mode & 0o001 for folder in real.parents)
    if not private and not real.is_relative_to("/home"):
        return str(real)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = shutil.which(version, path="/usr/bin")
    if found is None:
        pytest.skip(f"{real} is in a private folder, and there is no /usr/bin/{version}")
    return found


@pytest.fixture(scope="module")
def box() -> Iterator[SystemdBox]:
    if reason := missing():
        pytest.skip(f"a booted systemd {reason}")
    name = f"edge-box-{os.getpid()}"
    box = SystemdBox(name, Path("/dev/shm") / name)
    # A checkout may lie under /tmp, which the service does not see, or in somebody's home.
    box.bind(ROOT, CHECKOUT)
    box.bind(Path(sysconfig.get_path("purelib")), PACKAGES)
    command = f"{_python()} -m edge_agent.cli.agent"
    box.write("/etc/systemd/system/edge.target", TARGET)
    box.link("/etc/systemd/system/default.target", "edge.target")
    box.write(f"/etc/systemd/system/{UNIT}", (UNITS / UNIT).read_text(encoding="utf-8"))
    # The unit as it ships; only where the programs lie is this checkout's.
    box.write(
        f"/etc/systemd/system/{UNIT}.d/checkout.conf",
        f"[Service]\nEnvironment=PYTHONPATH={CHECKOUT}:{PACKAGES} PYTHONDONTWRITEBYTECODE=1\n"
        f"ExecStart=\nExecStart={command} run --config /etc/edge-agent/agent.toml\n",
    )
    box.write("/etc/edge-agent/agent.toml", AGENT_TOML)
    box.write(
        "/usr/local/bin/edge-agent",
        f'#!/bin/sh\nexport PYTHONPATH="{CHECKOUT}:{PACKAGES}"\nexec {command} "$@"\n',
    )
    (box.folder / "up/usr/local/bin/edge-agent").chmod(0o755)
    try:
        box.boot()
        yield box
    finally:
        box.off()


def _until(holds: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)


def _status(box: SystemdBox) -> str:
    return box.run("edge-agent", "status", "--json").stdout


def test_the_units_are_valid(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for unit in sorted(UNITS.glob("*.service")):
        text = unit.read_text(encoding="utf-8")
        runnable = text.replace("/opt/edge-agent/bin/edge-agent", "/bin/true")
        runnable = runnable.replace("/opt/edge-collector/bin/edge-collector", "/bin/true")
        copy = tmp_path / unit.name
        copy.write_text(runnable, encoding="utf-8")
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(copy)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert copy.name not in done.stderr, done.stderr  # it returns 0 on unknown keys
        exposure = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(copy)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert exposure.returncode == 0, exposure.stdout[-300:]


def test_it_is_ready_and_takes_a_bundle(box: SystemdBox) -> None:
    log = box.run("journalctl", "-u", UNIT, "--no-pager").stdout
    _until(lambda: box.show(UNIT, "ActiveState") == "active", log)
    assert box.show(UNIT, "StatusText") == "inspecting with 1 stations"
    assert box.show(UNIT, "NRestarts") == "0"
    installed = box.run("edge-agent", "install", f"{CHECKOUT}/models/simulated_line.bundle")
    assert installed.returncode == 0, installed.stderr
    _until(lambda: '"ok"' in _status(box), "a verdict ok")


def test_killed_it_comes_back_and_inspects(box: SystemdBox) -> None:
    before = box.show(UNIT, "MainPID")
    box.run("systemctl", "kill", "-s", "KILL", UNIT)
    _until(lambda: box.show(UNIT, "NRestarts") == "1", "a restart")
    _until(lambda: box.show(UNIT, "ActiveState") == "active", "active again")
    assert box.show(UNIT, "MainPID") != before
    _until(lambda: '"ok"' in _status(box), "a verdict ok")  # with the bundle it had


def test_hung_it_is_killed_by_the_watchdog_and_comes_back(box: SystemdBox) -> None:
    box.run("systemctl", "kill", "-s", "STOP", UNIT)  # alive, and does nothing
    _until(lambda: box.show(UNIT, "NRestarts") == "2", "a restart by the watchdog", 40)
    log = box.run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager").stdout
    assert "Watchdog timeout" in log
    _until(lambda: '"ok"' in _status(box), "a verdict ok")


def test_it_stops_cleanly(box: SystemdBox) -> None:
    box.run("systemctl", "stop", UNIT)
    assert box.show(UNIT, "Result") == "success"
    log = box.run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager").stdout
    assert "records wait for the collector" in log
