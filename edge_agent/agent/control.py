"""The control socket: how commands on this device speak to the running agent.

A Unix socket, one JSON object a line each way: `{"verb": "status"}` is answered by
`{"ok": true, "result": ...}` or `{"ok": false, "error": "..."}`. Whoever may open the socket may
give orders: its folder belongs to the agent's user.

Invariants:
    - A bad request is answered with what is wrong, and harms nothing.
    - A socket left behind by a killed agent is taken over; one in use is not.
"""

from __future__ import annotations

import json
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.errors import ControlError, EdgeError

log = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], Any]
"""Takes the request, returns what msgspec can write as JSON; raises EdgeError to refuse."""

_MAX_REQUEST = 64 * 1024
_PATIENCE_S = 30.0


class _Answer(msgspec.Struct, frozen=True):
    ok: bool
    result: Any = None
    error: str = ""


class _Connection(socketserver.StreamRequestHandler):
    timeout = 5.0

    def handle(self) -> None:
        """Answer one request."""
        server = self.server
        assert isinstance(server, _Server)
        try:
            line = self.rfile.readline(_MAX_REQUEST)
            if line.strip():
                self.wfile.write(server.answer(line) + b"\n")
        except OSError as error:
            log.debug("control: connection lost: %s", error)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64  # with the usual 5, a sixth who asks at once is turned away
    handlers: Mapping[str, Handler]

    def answer(self, line: bytes) -> bytes:
        """Carry out one request and return the answer."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            return msgspec.json.encode({"ok": False, "error": f"not a JSON object: {error}"})
        verb = request.get("verb") if isinstance(request, dict) else None
        if not isinstance(verb, str) or verb not in self.handlers:
            verbs = ", ".join(sorted(self.handlers))
            unknown = f"unknown request: give a verb, one of {verbs}"
            return msgspec.json.encode({"ok": False, "error": unknown})
        try:
            result = self.handlers[verb](request)
            return msgspec.json.encode({"ok": True, "result": result})
        except EdgeError as error:
            return msgspec.json.encode({"ok": False, "error": str(error)})
        except Exception as error:
            log.exception("control: fault in a request")
            fault = f"fault in the agent: {type(error).__name__}: {error}; see its log"
            return msgspec.json.encode({"ok": False, "error": fault})


class ControlServer:
    """Serve the control socket on a thread of its own.

    Args:
        path: Of the socket.
        handlers: What to do, by verb.

    Raises:
        ControlError: Another agent serves this socket, or it cannot be made.
    """

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_socket():
                self._remove_stale()
            self._server = _Server(str(path), _Connection)
            path.chmod(0o660)
        except OSError as error:
            raise ControlError(
                f"control socket {path}: cannot be made: {error.strerror or error}: check "
                f"runtime_dir (a socket's path may have about 100 characters)"
            ) from error
        self._server.handlers = handlers
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="control", daemon=True
        )

    def start(self) -> None:
        """Start answering."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and remove the socket."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)

    def _remove_stale(self) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._path))
            except ConnectionRefusedError:
                self._path.unlink()
                return
        raise ControlError(
            f"control socket {self._path}: another agent is running with this runtime_dir: stop it "
            f"first, or give this one its own"
        )


def ask(path: Path, verb: str, **arguments: object) -> Any:
    """Ask the running agent.

    Raises:
        ControlError: None is running there, we may not ask it, or it refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(path))
            connection.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ControlError(f"no agent is running here (control socket {path})") from error
    except PermissionError as error:
        raise ControlError(
            f"control socket {path}: permission denied: run this as the agent's user, or as root"
        ) from error
    except OSError as error:
        raise ControlError(f"control socket {path}: {error.strerror or error}") from error
    try:
        answer = msgspec.json.decode(line, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ControlError(f"control socket {path}: the agent went away, or is none") from error
    if not answer.ok:
        raise ControlError(answer.error)
    return answer.result
