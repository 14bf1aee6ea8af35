"""Starts and stops the other processes that a bench needs: targets, blackbox_exporter, curl. Each is ended by its own handle.

Called by the benches.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

__all__ = [
    "Blackbox",
    "Target",
    "TlsFiles",
    "blackbox_missing",
    "cpu_ns",
    "make_tls",
    "start_blackbox",
    "start_sink",
    "start_target",
]

_ROOT = Path(__file__).resolve().parent.parent
_BLACKBOX = "prometheus-blackbox-exporter"
_START_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """An authority and a certificate for 127.0.0.1, on disk."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Target:
    """A running `bench.target`."""

    ports: dict[str, int]
    pid: int

    def url(self, port: str, path: str) -> str:
        """An absolute URL on one of its ports."""
        scheme = "https" if "tls" in port else "http"
        return f"{scheme}://127.0.0.1:{self.ports[port]}{path}"


@dataclass(frozen=True, slots=True)
class Blackbox:
    """A running blackbox_exporter."""

    port: int
    pid: int

    def probe(self, url: str, connection: http.client.HTTPConnection | None = None) -> str:
        """The metrics of one probe of `url`."""
        connection = connection or self.connect()
        connection.request("GET", f"/probe?module=http&target={url}")
        return connection.getresponse().read().decode()

    def connect(self) -> http.client.HTTPConnection:
        """A connection to ask through, so that asking is not what is measured."""
        return http.client.HTTPConnection("127.0.0.1", self.port)


def make_tls(folder: Path) -> TlsFiles:
    """A fresh authority in `folder`."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    files = TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(str(files.ca))
    leaf.private_key_pem.write_to_path(str(files.key))
    for number, certificate in enumerate(leaf.cert_chain_pems):
        certificate.write_to_path(str(files.cert), append=number > 0)
    return files


@contextmanager
def _python(*arguments: str) -> Iterator[tuple[dict[str, object], int]]:
    """A module of ours as a process: what it announced, and its id; ended by closing its standard input."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT) as process:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101 - for the type checker
        try:
            yield json.loads(process.stdout.readline()), process.pid
        finally:
            process.stdin.close()


@contextmanager
def start_target(tls: TlsFiles, *, min_ms: float = 10, max_ms: float = 40) -> Iterator[Target]:
    """`bench.target` with waits in that range."""
    waits = ("--min-ms", str(min_ms), "--max-ms", str(max_ms))
    with _python("bench.target", "--cert", str(tls.cert), "--key", str(tls.key), *waits) as (told, pid):
        ports = told["ports"]
        assert isinstance(ports, dict)  # noqa: S101 - its own promise
        yield Target(ports, pid)


@contextmanager
def start_sink() -> Iterator[int]:
    """The port of a running `bench.sink`."""
    with _python("bench.sink") as (told, _pid):
        port = told["port"]
        assert isinstance(port, int)  # noqa: S101 - its own promise
        yield port


def blackbox_missing() -> str:
    """Why there is no blackbox_exporter here; empty when there is one."""
    if shutil.which(_BLACKBOX):
        return ""
    return f"{_BLACKBOX} is not installed: apt-get install {_BLACKBOX}"


@contextmanager
def start_blackbox(folder: Path, tls: TlsFiles) -> Iterator[Blackbox]:
    """Debian's blackbox_exporter with one HTTP module that trusts our authority; HTTP/1.1 and fresh connections like ours."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    config = folder / "blackbox.yml"
    config.write_text(
        "modules:\n  http:\n    prober: http\n    timeout: 10s\n    http:\n"
        "      preferred_ip_protocol: ip4\n      enable_http2: false\n"
        f"      tls_config: {{ca_file: {tls.ca}}}\n",
        encoding="utf-8",
    )
    command = [_BLACKBOX, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for_port(port)
            yield Blackbox(port, process.pid)
        finally:
            process.terminate()


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + _START_DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process so far. Source: /proc/PID/task/TID/schedstat, first field, nanoseconds."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names, not paths
        total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text(encoding="ascii").split()[0])
    return total
