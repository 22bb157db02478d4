"""A bad link: a network namespace behind two TUN devices, with delay, loss and cuts by order.

Packets are carried by a thread of this process (kernels of small machines have no netem). What runs
with `prefix` before its command sees this machine at `near` only, through the link.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x0001 | 0x1000  # IFF_TUN | IFF_NO_PI
_MTU = 1400
_IDLE_S = 0.05
_PACKETS = 64


def missing() -> str:
    """Say what this machine lacks to have such a link; empty if nothing."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ip", "nsenter"):
        if shutil.which(program) is None:
            return f"needs the program {program}"
    if not Path("/dev/net/tun").exists():
        return "needs TUN devices"
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "needs network namespaces"


class Link:
    """One link, up from the beginning.

    Args:
        seed: Which packets are lost.

    Attributes:
        prefix: Words before a command that is to run at the far end.
        near: Address of this end, on this machine.
        delay_ms: How long a packet travels, one way.
        jitter_ms: How much sooner or later it may come; packets may change places.
        loss: Share of the packets that get lost, each way.
        is_up: While this is false everything is lost, and nobody is told (a blackhole).
        carried: Packets that arrived.
        dropped: Packets that did not.
    """

    def __init__(self, seed: int = 1) -> None:
        self.delay_ms = 0.0
        self.jitter_ms = 0.0
        self.loss = 0.0
        self.is_up = True
        self.carried = 0
        self.dropped = 0
        net = _free_net()
        self.near, self._far = f"198.18.{net}.1", f"198.18.{net}.2"
        self._name = f"edge-far-{net}"
        self._far_device = f"edgef{net}"
        # Not `ip netns exec`: that copies the mounts too, and a disk whose power is cut must not
        # stay mounted there.
        self.prefix = ("nsenter", f"--net=/run/netns/{self._name}")
        self._random = random.Random(seed)
        self._stopping = False
        _ip("netns", "add", self._name)
        try:
            self._ends = (_tun(f"edgen{net}"), _tun(self._far_device))
            _ip("link", "set", self._far_device, "netns", self._name)
            _bring_up((), f"edgen{net}", self.near, self._far)
            _bring_up(("-n", self._name), self._far_device, self._far, self.near)
            _ip("-n", self._name, "link", "set", "lo", "up")
        except BaseException:
            _ip("netns", "delete", self._name)
            raise
        self._thread = threading.Thread(target=self._carry, name="link", daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """Let the far end hear at once that nobody can be reached (a router without a route)."""
        _ip("-n", self._name, "route", "replace", "unreachable", self.near)

    def allow(self) -> None:
        """Let the far end reach us again."""
        route = ("route", "replace", self.near, "dev", self._far_device, "src", self._far)
        _ip("-n", self._name, "route", "delete", "unreachable", self.near)
        _ip("-n", self._name, *route)

    def heal(self) -> None:
        """Make it a good link."""
        self.delay_ms = self.jitter_ms = self.loss = 0.0
        self.is_up = True

    def close(self) -> None:
        """Take it down, with its namespace."""
        self._stopping = True
        self._thread.join()
        for end in self._ends:
            os.close(end)
        _ip("netns", "delete", self._name)

    def _carry(self) -> None:
        waiting: list[tuple[float, int, int, bytes]] = []
        count = 0
        while not self._stopping:
            wait_s = min(_IDLE_S, waiting[0][0] - time.monotonic()) if waiting else _IDLE_S
            for end in select.select(self._ends, [], [], max(0.0, wait_s))[0]:
                other = self._ends[end == self._ends[0]]
                for packet in _packets(end):
                    if not self.is_up or self._random.random() < self.loss:
                        self.dropped += 1
                        continue
                    travel_ms = self.delay_ms + self._random.uniform(-1, 1) * self.jitter_ms
                    count += 1
                    arrives_at = time.monotonic() + travel_ms / 1000
                    heapq.heappush(waiting, (arrives_at, count, other, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(waiting)
                if not self.is_up:
                    self.dropped += 1
                    continue
                with contextlib.suppress(OSError):  # the other end is full, or just going down
                    os.write(end, packet)
                    self.carried += 1


def _packets(end: int) -> list[bytes]:
    found: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while len(found) < _PACKETS:
            found.append(os.read(end, 2048))
    return found


def _free_net() -> int:
    """Return a number that no link has yet: 198.18.0.0/15 is there for tests (RFC 2544)."""
    taken = (
        subprocess.run(
            ["ip", "-o", "-4", "address"], capture_output=True, text=True, check=True
        ).stdout
        + subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    )
    nets = [n for n in range(1, 250) if f"198.18.{n}." not in taken]
    return random.choice([n for n in nets if f"edge-far-{n}" not in taken.split()])


def _tun(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH", name.encode("ascii"), _TUN_WITHOUT_HEADER)
    try:
        fcntl.ioctl(end, _TUNSETIFF, request)
    except OSError:
        os.close(end)
        raise
    return end


def _bring_up(where: tuple[str, ...], device: str, address: str, peer: str) -> None:
    _ip(*where, "address", "add", address, "peer", peer, "dev", device)
    _ip(*where, "link", "set", device, "up", "mtu", str(_MTU))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
