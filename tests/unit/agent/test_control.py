"""The control socket: every request is answered, and only a stale socket is taken over."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.agent.control import ControlServer, Handler, ask
from edge_agent.agent.status import Percentiles
from edge_agent.errors import ControlError, UsageError


def refuse(_request: dict[str, Any]) -> None:
    raise UsageError("not today")


def crash(_request: dict[str, Any]) -> None:
    raise ValueError("a fault of ours")


HANDLERS: dict[str, Handler] = {
    "echo": lambda request: request,
    "refuse": refuse,
    "crash": crash,
    "value": lambda _request: Percentiles(1.0, 2.0, 3.0),
    "odd": lambda _request: object(),
}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "control.sock"
    server = ControlServer(path, HANDLERS)
    server.start()
    yield path
    server.close()
    assert not path.exists()


def raw(path: Path, data: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(data)
        with connection.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer


def test_a_request_is_answered(path: Path) -> None:
    assert ask(path, "echo", station="line1") == {"verb": "echo", "station": "line1"}
    assert ask(path, "value") == {"p50": 1.0, "p95": 2.0, "p99": 3.0}
    with pytest.raises(ControlError, match=r"^not today$"):
        ask(path, "refuse")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"x\n", "not a JSON object: "),
        (b"\xff\n", "not a JSON object: "),
        (b"[" * 60_000 + b"\n", "not a JSON object: "),
        (b'{"verb": "echo", "x": "' + b"x" * 70_000, "not a JSON object: "),
        (b"3\n", "unknown request: give a verb, one of crash, echo, odd, refuse, value"),
        (b"{}\n", "unknown request: give a verb"),
        (b'{"verb": "stop"}\n', "unknown request: give a verb"),
        (b'{"verb": ["echo"]}\n', "unknown request: give a verb"),
        (b'{"verb": {"a": 1}}\n', "unknown request: give a verb"),
        (b'{"verb": "crash"}\n', "fault in the agent: ValueError: a fault of ours; see its log"),
        (b'{"verb": "odd"}\n', "fault in the agent: TypeError"),
    ],
)
def test_a_bad_request_is_answered_with_what_is_wrong_and_harms_nothing(
    path: Path, line: bytes, expected: str
) -> None:
    answer = raw(path, line)
    assert answer["ok"] is False
    assert expected in answer["error"]
    assert ask(path, "echo") == {"verb": "echo"}


def test_who_connects_and_says_nothing_keeps_nobody_waiting(path: Path) -> None:
    idle = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for connection in idle:
        connection.connect(str(path))
    assert ask(path, "echo") == {"verb": "echo"}
    for connection in idle:
        connection.close()
    assert ask(path, "echo") == {"verb": "echo"}


def test_many_may_ask_at_once(path: Path) -> None:
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda turn=turn: answers.append(ask(path, "echo", turn=turn)))
        for turn in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer["turn"] for answer in answers) == list(range(20))


def test_the_socket_is_for_its_user_and_group_only(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


# --- whose socket it is --------------------------------------------------------------------------

KILLED = """
import sys, time
from pathlib import Path
from edge_agent.agent.control import ControlServer
ControlServer(Path(sys.argv[1]), {}).start()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.processes
def test_a_socket_left_behind_by_a_killed_agent_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == "ready\n"
    with pytest.raises(ControlError, match="another agent is running with this runtime_dir"):
        ControlServer(path, HANDLERS)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert path.is_socket()
    with pytest.raises(ControlError, match="no agent is running here"):
        ask(path, "echo")
    server = ControlServer(path, HANDLERS)
    server.start()
    assert ask(path, "echo") == {"verb": "echo"}
    server.close()


def test_a_socket_in_use_is_left_alone(path: Path) -> None:
    with pytest.raises(ControlError, match="another agent is running with this runtime_dir"):
        ControlServer(path, HANDLERS)
    assert ask(path, "echo") == {"verb": "echo"}


def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("mine")
    with pytest.raises(ControlError, match="cannot be made: Address already in use"):
        ControlServer(path, HANDLERS)
    assert path.read_text() == "mine"


def test_a_path_that_is_too_long_says_so(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="about 100 characters"):
        ControlServer(tmp_path / ("x" * 120) / "control.sock", HANDLERS)


def test_a_server_that_never_started_can_be_closed(tmp_path: Path) -> None:
    server = ControlServer(tmp_path / "control.sock", HANDLERS)
    server.close()
    server.close()
    assert not (tmp_path / "control.sock").exists()


# --- who asks ------------------------------------------------------------------------------------


def test_without_an_agent_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"no agent is running here \(control socket .*\)"):
        ask(tmp_path / "control.sock", "status")
    with pytest.raises(ControlError, match="path too long"):
        ask(tmp_path / ("x" * 200), "status")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every socket")
def test_who_may_not_ask_is_told_so(path: Path) -> None:
    path.chmod(0o000)
    with pytest.raises(ControlError, match="permission denied: run this as the agent's user"):
        ask(path, "status")


@pytest.mark.parametrize("answer", [b"", b"x\n", b"3\n", b"{}\n", b'{"ok": "yes"}\n', b"\xff\n"])
def test_an_answer_that_is_none_is_an_error_of_one_line(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def reply() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(answer)
            connection.close()

        thread = threading.Thread(target=reply)
        thread.start()
        begin = time.monotonic()
        with pytest.raises(ControlError, match="the agent went away, or is none"):
            ask(path, "status")
        assert time.monotonic() - begin < 5
        thread.join()
