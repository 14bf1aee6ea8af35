"""A PostgreSQL server of one's own: made in a temporary folder, reached through a socket in it, stopped by its own pid.

Debian's packages bring the programs; the server refuses to run as root, so it runs as `postgres` or `nobody` there. Used by
tests and benches of the collector's store.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

__all__ = ["PostgresServer", "find_programs", "postgres_server"]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0
PORT = 5432  # only the name of the socket's file: nothing listens on the network


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server."""

    folder: Path
    programs: Path
    pid: int

    def url(self, database: str = "postgres") -> str:
        """The address of a database."""
        return f"postgresql://collector@/{database}?host={self.folder}&port={PORT}"

    def make_database(self) -> str:
        """The address of a new, empty database; it sorts letters as people do, which is not by their numbers."""
        name = f"test_{uuid4().hex}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
        return self.url(name)

    def run(self, statement: str) -> None:
        """Run a statement as the owner of everything."""
        place = ["-h", str(self.folder), "-p", str(PORT), "-U", "collector", "-d", "postgres"]
        subprocess.run(
            [str(self.programs / "psql"), *place, "-q", "-c", statement],
            check=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )


def find_programs() -> Path | None:
    """The folder with the server's programs, the newest version; None where PostgreSQL is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda file: int(file.parts[-3]))
    if folders:
        return folders[-1].parent
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


@contextmanager
def postgres_server(programs: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    """A server with an empty cluster; everything is gone afterwards. `durable` lets it wait for the disk."""
    user = account()
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        as_user(["cp", "-R", "-p", empty_cluster(programs, user), data], user).check_returncode()
        speed = [] if durable else ["-c", "fsync=off"]
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", f"port={PORT}", *speed]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                cwd="/",
            )
        try:
            wait_for_socket(folder / f".s.PGSQL.{PORT}", server, folder / "log")
            yield PostgresServer(folder, programs, server.pid)
        finally:
            stop(server)


@cache
def empty_cluster(programs: Path, user: str | None) -> Path:
    """A cluster in which no server ever ran, for copies: to make one takes longer than to start a server. Gone when we end."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder)
    if user:
        shutil.chown(folder, user)
    trust = ["--auth=trust", "--username=collector", "--encoding=UTF8", "--locale=C", "--no-sync"]
    as_user([programs / "initdb", "-D", folder / "data", *trust], user).check_returncode()
    return folder / "data"


def account() -> str | None:
    """Who the server runs as: somebody else when we are root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def as_user(command: Sequence[str | Path], user: str | None) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end."""
    return subprocess.run(
        command, user=user, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False
    )


def wait_for_socket(path: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server takes connections; raises TimeoutError with what it said."""
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_s and server.poll() is None:
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(str(path)) == 0 and "ready to accept connections" in log.read_text(errors="replace"):
                return
        time.sleep(0.02)
    raise TimeoutError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")


def stop(server: subprocess.Popen[bytes]) -> None:
    """End it at once, by its pid; nothing in it is worth keeping."""
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait(STOP_TIMEOUT_S)
