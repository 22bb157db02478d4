"""A link of few bytes a second between a client and its broker."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

_STEP_S = 0.01
_BUFFER_BYTES = 4096


class SlowLink:
    """Carries connections to a port of this machine, in one direction slowly.

    Attributes:
        port: Where to connect.
        bytes_per_s: How many go to the broker; back they go as they come.
    """

    def __init__(self, to_port: int, bytes_per_s: int) -> None:
        self.bytes_per_s = bytes_per_s
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """Cut the connections that there are; new ones are carried."""
        for each in self._open[1:]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut everything."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to_port))
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            for carry in (self._there, self._back):
                thread = threading.Thread(target=carry, args=(near, far))
                self._threads.append(thread)
                thread.start()

    def _there(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(max(1, int(self.bytes_per_s * _STEP_S))):
                far.sendall(data)
                time.sleep(len(data) / self.bytes_per_s)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_RDWR)

    def _back(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65_536):
                near.sendall(data)
        with contextlib.suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)
