"""What the kernel is asked about a TCP connection, and told: what it cost, when to give it up."""

from __future__ import annotations

import socket
import struct

import msgspec

_TCP_HEADER = 32  # with time stamps
_IP_HEADER = {socket.AF_INET: 20, socket.AF_INET6: 40}
_INFO_BYTES = 208
_RTT_US = (struct.Struct("=I"), 68)  # places in `struct tcp_info` of linux/tcp.h, Linux 4.19 on
_RECEIVED = (struct.Struct("=QII"), 128)  # bytes received, segments out, segments in
_SENT = (struct.Struct("=Q"), 200)  # bytes sent, those sent again included


_IDLE_MOST_S = 20
_PROBE_S = 3
_PATIENCE_MS = 10_000
_PATIENCE_MAX_MS = 60_000
_PATIENCE_RTTS = 20
_UNSENT_BYTES = 16_384


class Traffic(msgspec.Struct, frozen=True):
    """What went over a connection so far.

    Acknowledgements, keepalives, handshakes and what TCP sent again are in it, and the headers of
    TCP and IP; those of the network below are not.

    Attributes:
        bytes: Both ways, headers included.
        rtt_s: How long the other side takes to answer, smoothed.
    """

    bytes: int
    rtt_s: float


def read(connection: socket.socket) -> Traffic | None:
    """Ask the kernel what went over a TCP connection; None where it does not say."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    if len(info) < _INFO_BYTES:
        return None
    (rtt_us,) = _RTT_US[0].unpack_from(info, _RTT_US[1])
    received, segments_out, segments_in = _RECEIVED[0].unpack_from(info, _RECEIVED[1])
    (sent,) = _SENT[0].unpack_from(info, _SENT[1])
    headers = (segments_out + segments_in) * (_TCP_HEADER + _IP_HEADER.get(connection.family, 20))
    return Traffic(sent + received + headers, rtt_us / 1e6)


def tune(connection: socket.socket, *, keepalive_s: int, rtt_s: float) -> None:
    """Make the kernel give up a dead connection soon, and keep little in front of what is urgent.

    The longer the other side takes to answer, the longer the kernel waits for it: 10 to 60 seconds.
    A silent link is probed after a third of the time after which MQTT would, unless that is so
    long that bytes seem to be dear.
    """
    options = {socket.TCP_NOTSENT_LOWAT: _UNSENT_BYTES}
    patience_ms = min(_PATIENCE_MAX_MS, max(_PATIENCE_MS, int(_PATIENCE_RTTS * rtt_s * 1000)))
    idle_s = max(1, keepalive_s // 3)
    if idle_s <= _IDLE_MOST_S:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options |= {socket.TCP_KEEPIDLE: idle_s, socket.TCP_KEEPINTVL: _PROBE_S}
        patience_ms = max(patience_ms, idle_s * 1000 + _PATIENCE_MS)
    options[socket.TCP_USER_TIMEOUT] = patience_ms
    for option, value in options.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
