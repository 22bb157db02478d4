"""Hear of it when links, addresses or routes of this machine change (rtnetlink), and judge by it.

Nothing here sends a packet.
"""

from __future__ import annotations

import logging
import socket

log = logging.getLogger(__name__)

# linux/rtnetlink.h; the standard library does not name them.
_RTMGRP_LINK = 0x1
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV4_ROUTE = 0x40
_RTMGRP_IPV6_IFADDR = 0x100
_RTMGRP_IPV6_ROUTE = 0x400
_GROUPS = (
    _RTMGRP_LINK
    | _RTMGRP_IPV4_IFADDR
    | _RTMGRP_IPV4_ROUTE
    | _RTMGRP_IPV6_IFADDR
    | _RTMGRP_IPV6_ROUTE
)
_MESSAGE_BYTES = 65_536


class NetworkWatch:
    """Changes of this machine's network.

    Where the kernel does not let us listen (a sandbox), it says so in the log and hears nothing.

    Attributes:
        fd: To poll for `changed`; None where nothing is heard.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK,
                socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                socket.NETLINK_ROUTE,
            )
            self._socket.bind((0, _GROUPS))
        except OSError as error:
            self.close()
            log.info("changes of the network are not heard at once: %s", error)

    @property
    def fd(self) -> int | None:
        """See the class."""
        return self._socket.fileno() if self._socket is not None else None

    def changed(self) -> bool:
        """Take what came in; whether something did."""
        heard = False
        while self._socket is not None:
            try:
                heard = bool(self._socket.recv(_MESSAGE_BYTES)) or heard
            except BlockingIOError:
                break
            except OSError:  # more came than it could hold: something has changed
                heard = True
                break
        return heard

    def close(self) -> None:
        """Hear no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def is_stranded(connection: socket.socket) -> bool:
    """Tell whether a connection lost its way: its address or the route to its peer is gone.

    With IPv4 also when another address would be taken for that peer now. With IPv6 that happens
    every day, where addresses are temporary, and the old ones stay good.
    """
    try:
        own, peer = connection.getsockname(), connection.getpeername()
        with socket.socket(connection.family, socket.SOCK_DGRAM) as probe:
            probe.bind((own[0], 0, *own[2:]))
        with socket.socket(connection.family, socket.SOCK_DGRAM) as probe:
            probe.connect(peer)
            source = probe.getsockname()[0]
    except OSError:
        return True
    return connection.family == socket.AF_INET and source != own[0]
