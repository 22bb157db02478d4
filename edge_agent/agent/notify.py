"""What systemd wants to hear: ready, alive, stopping (sd_notify(3)); nothing without systemd."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(message: str) -> None:
    """Tell systemd something, e.g. `READY=1`; does nothing where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.sendto(message.encode(), address)
    except OSError as error:
        log.warning("systemd does not listen on %s: %s", address, error)


def watchdog_s() -> float:
    """Return how often systemd wants to hear that we live; 0 if it does not care."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    usec = os.environ.get("WATCHDOG_USEC", "0")
    return int(usec) / 1e6 if usec.isdecimal() else 0.0
