"""A file is there whole, or as it was before."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_agent.files import keep_former, write_durably

WRITER = """
import sys
from pathlib import Path
from edge_agent.files import keep_former, write_durably
path, turn = Path(sys.argv[1]), 0
print("ready", flush=True)
while True:
    turn += 1
    write_durably(path, (b"%d" % (turn % 10)) * 2_000_000)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_durably(path, b"one")
    write_durably(path, b"")
    assert path.read_bytes() == b""
    write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["x"]


def test_a_failure_leaves_what_was_there_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(IsADirectoryError):
        write_durably(path, b"new")
    assert names(tmp_path) == ["x"]
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "gone" / "x", b"new")


def test_a_full_disk_leaves_what_was_there_and_no_draft(tmp_path: Path) -> None:
    write_durably(tmp_path / "x", b"before")
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from edge_agent.files import write_durably\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_durably(Path(sys.argv[1]), b'x' * 5000)\n"
        "except OSError as error:\n    print(error.errno)\n"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "x")]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert int(done.stdout) > 0
    assert (tmp_path / "x").read_bytes() == b"before"
    assert names(tmp_path) == ["x"]


@pytest.mark.processes
def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_durably(path, b"0" * 2_000_000)
    for turn in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(0.003 * turn)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        data = path.read_bytes()
        assert len(data) == 2_000_000
        assert len(set(data)) == 1


def test_former_contents_are_kept_in_order_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "x.baseline"
    assert keep_former(path) is None
    for number in range(6):
        assert (keep_former(path, versions=3) is not None) == (number > 0)
        write_durably(path, b"%d" % number)
    found = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert found == {
        "x.baseline": b"5", "x.baseline.1": b"4", "x.baseline.2": b"3", "x.baseline.3": b"2",
    }  # fmt: skip


def test_the_file_itself_is_there_all_the_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"now")
    assert keep_former(path) == tmp_path / "x.1"
    assert path.read_bytes() == b"now"
