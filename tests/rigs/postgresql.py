"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on loopback.

PostgreSQL refuses to run as root; started by root it runs as the user `postgres`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

USER = "edge"
_HOMES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
PG_CTL = shutil.which("pg_ctl", path=":".join([*map(str, _HOMES), os.environ.get("PATH", "")]))
ABSENT = "PostgreSQL absent: install the package 'postgresql'"


class Cluster:
    """A PostgreSQL server. Its port and its data stay the same when it is started again.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        folder: Its data, socket and log.
    """

    def __init__(self, *, settings: str = "", port: int = 0) -> None:
        """Make a cluster; `start` starts it.

        Args:
            settings: Further lines of postgresql.conf.
            port: Where to listen; 0 for a free port.
        """
        assert PG_CTL is not None, ABSENT
        self._bin = Path(PG_CTL).parent
        self.folder = Path(tempfile.mkdtemp(prefix="edge-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self.port = port or _free_port()
        self._databases = 0
        self._data = self.folder / "data"
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8",
                  "--locale=C")  # fmt: skip
        with (self._data / "postgresql.conf").open("a", encoding="ascii") as file:
            file.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
                f"unix_socket_directories = '{self.folder}'\n{settings}\n"
            )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self.folder / "log"
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "30", "-l", log, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` in good order, `immediate` as if it had crashed."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "30", "-m", mode, "stop")

    @property
    def is_running(self) -> bool:
        """Whether its main process is there."""
        return (self._data / "postmaster.pid").exists()

    def pause(self) -> None:
        """Let all of its processes hang, as a machine does that swaps or lost its disk."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        main = int((self._data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        found = [main]
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text(encoding="latin-1").rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(fields[1]) == main:
                found.append(int(status.parent.name))
        return found

    def database(self) -> str:
        """Make a new database; return its URL."""
        self._databases += 1
        name = f"edge{self._databases}"
        self._run("createdb", "-h", self.folder, "-p", self.port, "-U", USER, name)
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def order(self, statement: str) -> None:
        """Run a statement as an administrator, outside of any transaction."""
        where = ("-h", self.folder, "-p", self.port, "-U", USER, "-d", "postgres")
        self._run("psql", "-q", "-v", "ON_ERROR_STOP=1", *where, "-c", statement)

    def demand_password(self, user: str) -> None:
        """Let a user in with a password only, from the next connection on."""
        rules = self._data / "pg_hba.conf"
        line = f"host all {user} 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(line + rules.read_text(encoding="ascii"), encoding="ascii")
        self._run("pg_ctl", "-D", self._data, "reload")

    def encrypt(self) -> Path:
        """Speak TLS from the next connection on; return the authority to trust."""
        key, certificate = self.folder / "server.key", self.folder / "server.pem"
        command = [
            "openssl", "req", "-x509", "-nodes", "-newkey", "ec",
            "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2",
            "-subj", "/CN=plant", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(key), "-out", str(certificate),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        key.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(key, "postgres", "postgres")
        self.order(f"ALTER SYSTEM SET ssl_key_file = '{key}'")
        self.order(f"ALTER SYSTEM SET ssl_cert_file = '{certificate}'")
        self.order("ALTER SYSTEM SET ssl = on")
        self._run("pg_ctl", "-D", self._data, "reload")
        return certificate

    def log(self) -> str:
        """Return what it logged."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def remove(self) -> None:
        """Stop it, and remove all of it."""
        if self.is_running:
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def _run(self, name: str, *arguments: object) -> None:
        command = [str(self._bin / name), *map(str, arguments)]
        if os.geteuid() == 0:
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            command = [*as_user, *command]
        done = subprocess.run(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stderr}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
