"""What tests of the HTTP client share: a server whose every byte and pause a test decides, with and without TLS.

A `Talk` is one accepted connection: read a request, say bytes, close or reset. Refuses to know HTTP beyond where a head ends,
so that it can break every rule. Used by tests named http.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from probes.http import HttpClient, HttpEngine, TlsSettings
from probes.http_resolver import LookupFunction, Resolver

__all__ = ["Script", "Server", "Talk", "TlsFiles", "answer", "make_tls", "open_client", "resolving_client", "serve"]

Script = Callable[["Talk"], Awaitable[None]]


def answer(status: int, body: bytes = b"", *fields: str) -> bytes:
    """A whole answer with its length."""
    head = "".join(f"{line}\r\n" for line in (f"Content-Length: {len(body)}", *fields))
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


@dataclass
class Talk:
    """One connection as the server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: Server

    async def head(self) -> str:
        """Reads a request's head."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def request(self) -> tuple[str, bytes]:
        """Reads a whole request."""
        head = await self.head()
        length = re.search(r"(?i)content-length: (\d+)", head)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        self.server.requests.append((head, body))
        self.server.asked.set()
        return head, body

    async def say(self, data: bytes) -> None:
        """Sends bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def closed(self) -> None:
        """Returns when the other side has closed."""
        while await self.reader.read(65_536):
            pass

    def reset(self) -> None:
        """Breaks the connection without a farewell."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Server:
    """A listening server and what it met."""

    port: int = 0
    scheme: str = "http"
    connections: int = 0
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/") -> str:
        """An absolute URL of this server."""
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def serve(script: Script, *, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Runs `script` for every connection; `asked` is set by a request, `gone` by the end of a script."""
    server = Server(scheme="https" if context else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            await script(Talk(reader, writer, server))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            server.gone.set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(talk(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class TlsFiles:
    """A small authority on disk and a server context of it."""

    authority: trustme.CA
    ca_file: Path

    def context(self, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """A server's side, by default for 127.0.0.1 and localhost."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (certificate or self.authority.issue_cert("127.0.0.1", "localhost")).configure_cert(context)
        return context

    @property
    def settings(self) -> TlsSettings:
        """Trusts this authority alone."""
        return TlsSettings(ca_file=self.ca_file)


def make_tls(folder: Path) -> TlsFiles:
    """A new authority, its certificate in `folder`."""
    authority = trustme.CA()
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return TlsFiles(authority, ca_file)


@asynccontextmanager
async def open_client(
    *, tls: TlsSettings | None = None, reuse: bool = False, max_in_flight: int = 50
) -> AsyncIterator[HttpClient]:
    """A client of an engine of its own."""
    async with HttpEngine(max_in_flight=max_in_flight) as engine:
        origin_ns = time.monotonic_ns()
        async with engine.client(origin_ns=origin_ns, tls=tls or TlsSettings(), reuse=reuse) as client:
            yield client


@asynccontextmanager
async def resolving_client(lookup: LookupFunction, tls: TlsSettings | None = None) -> AsyncIterator[HttpClient]:
    """A client whose names are looked up by a function of the test's own."""
    settings = tls or TlsSettings()
    async with HttpEngine(resolver=Resolver(lookup)) as engine, engine.client(origin_ns=0, tls=settings) as client:
        yield client
