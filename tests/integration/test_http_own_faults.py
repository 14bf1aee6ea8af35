"""What this host lacks or does wrong while it asks: never charged to the target. The limits are the system's own."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from probes.errors import DependencyError
from probes.http import FileBody
from probes.http_resolver import Address
from probes.records import FailureKind
from probes.tls import TlsContexts, TlsSettings
from tests.http_kit import Talk, TlsFiles, answer, make_tls, open_client, resolving_client, serve

REPOSITORY = Path(__file__).parents[2]
OWN_FILES = Path("/proc/self/fd")
UPLOAD_BYTES = 2_000_000

STARVED_OF_THREADS = """
import asyncio, resource, socket
from probes.http_resolver import Address, Resolver

HERE = (Address(socket.AF_INET, ("127.0.0.1", 1)),)

async def main():
    resolver, refused = Resolver(lambda host, port: HERE), 0
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used_bytes = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + 1_000_000, hard))
    for _ in range(20):
        try:
            resolver.ask("somewhere.test", 1)
        except RuntimeError:
            refused += 1
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    found = await asyncio.wait_for(resolver.ask("somewhere.test", 1), 10)
    print(refused, found.addresses == HERE)

asyncio.run(main())
"""


@contextmanager
def no_more_files() -> Iterator[None]:
    """No further file can be opened here for the length of the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(link.name) for link in OWN_FILES.iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
    taken: list[int] = []
    try:
        while True:
            try:
                taken.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def hello(talk: Talk) -> None:
    """One answer."""
    await talk.request()
    await talk.say(answer(200, b"{}"))


async def test_a_resolver_that_says_nothing_is_our_fault_whatever_the_deadline() -> None:
    """The system's own resolver gives up only after ten seconds and more: most deadlines come before its EAI_AGAIN."""
    asked, let_go = threading.Event(), threading.Event()

    def lookup(_host: str, _port: int) -> tuple[Address, ...]:
        asked.set()
        let_go.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    try:
        async with resolving_client(lookup) as client:
            response = await client.request("GET", "http://somewhere.test/", deadline_s=0.2)
    finally:
        let_go.set()
    assert asked.is_set()
    assert response.failure is not None
    assert (response.failure.kind, response.failure.error_type) == (FailureKind.INTERNAL, "no_lookup")
    assert "the resolver of this host did not answer" in response.failure.message


def test_threads_that_could_not_be_started_do_not_keep_later_names_from_being_looked_up() -> None:
    """Else a moment without room for a thread would be a deadline that passes in every request from then on."""
    done = subprocess.run(
        [sys.executable, "-c", STARVED_OF_THREADS],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["20", "True"]), done.stderr


async def test_a_process_without_a_free_file_charges_nobody_and_recovers() -> None:
    """EMFILE at the socket; the next request finds everything in order."""
    async with serve(hello) as server, open_client() as client:
        await client.request("GET", server.url(), deadline_s=5)
        with no_more_files():
            starved = await client.request("GET", server.url(), deadline_s=5)
        after = await client.request("GET", server.url(), deadline_s=5)
    assert starved.failure is not None
    assert (starved.failure.kind, starved.failure.error_type) == (FailureKind.INTERNAL, "EMFILE")
    assert after.status == 200


@pytest.mark.parametrize("secure", [False, True])
async def test_a_disk_that_fails_in_the_middle_of_an_upload_is_our_fault(tmp_path: Path, *, secure: bool) -> None:
    """An I/O error of the file is none of the connection."""
    tls: TlsFiles = make_tls(tmp_path)
    path = tmp_path / "part.step"
    path.write_bytes(bytes(UPLOAD_BYTES))
    fds: set[int] = set()

    def break_the_file(_sent: int, _total: int) -> None:
        for fd in own_fds_of(path):
            if fd not in fds:
                fds.add(fd)
                with Path("/proc/self/mem").open("rb", buffering=0) as broken:  # at addresses where nothing is: EIO
                    os.dup2(broken.fileno(), fd)

    async def swallow(talk: Talk) -> None:
        await talk.closed()

    context = tls.context() if secure else None
    async with serve(swallow, context=context) as server, open_client(tls=tls.settings) as client:
        response = await client.request("PUT", server.url(), body=FileBody(path), deadline_s=10, on_sent=break_the_file)
    assert fds
    assert response.failure is not None
    assert response.failure.kind is FailureKind.INTERNAL, response.failure
    assert "the request body cannot be read: Input/output error" in response.failure.message


def own_fds_of(path: Path) -> list[int]:
    """Under which numbers this process has the file open."""
    found = []
    for link in OWN_FILES.iterdir():
        try:
            if link.readlink() == path:
                found.append(int(link.name))
        except OSError:
            continue  # the listing's own
    return found


def test_an_empty_folder_of_trusted_certificates_is_a_lack_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an image without ca-certificates: else every certificate would be called untrusted, and the target charged."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(DependencyError, match="no trusted certificates"):
        TlsContexts().get(TlsSettings())
    make_tls(tmp_path).ca_file.rename(tmp_path / "0a1b2c3d.0")
    TlsContexts().get(TlsSettings())
