"""Small web servers for the browser tests, and certificates: a host page and, on another origin, what it embeds.

Each answer is a function. Called by the tests of the browser only.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import urlsplit

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["Answer", "Certificates", "Seen", "Site", "html", "make_certificates", "open_site"]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    body: str = ""
    status: int = 200
    media_type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Route = Callable[[Seen], Answer | Awaitable[Answer]]


@dataclass
class Site:
    """One origin. `routes` may be changed at any time; `seen` is what was asked."""

    url: str
    port: int
    routes: dict[str, Route] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def paths(self) -> list[str]:
        """What was asked for, browsers' habits aside."""
        return [seen.path for seen in self.seen if seen.path != "/favicon.ico"]

    async def answer(self, seen: Seen) -> Answer:
        """What the route says; 404 without one."""
        route = self.routes.get(seen.path)
        if route is None:
            return Answer("nothing here", 404)
        answer = route(seen)
        return answer if isinstance(answer, Answer) else await answer


def html(body: str, **headers: str) -> Route:
    """A route that always answers with this document; header names with underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Answer(f"<!doctype html><title>page</title><body>{body}", headers=named)


@asynccontextmanager
async def open_site(*, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    """A server on a free port of the loopback; `host` is the name that its address carries."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen = await read_request(reader)
            site.seen.append(seen)
            writer.write(render(await site.answer(seen)))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # a connection that the browser opened and did not use
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    port = int(server.sockets[0].getsockname()[1])
    site = Site(f"http{'s' if tls else ''}://{host}:{port}", port)
    try:
        yield site
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> Seen:
    """Head and body of one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, urlsplit(target).path, headers, body)


def render(answer: Answer) -> bytes:
    """The answer on the wire."""
    body = answer.body.encode()
    headers = {
        "Content-Type": answer.media_type,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **answer.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} Whatever\r\n{lines}\r\n".encode() + body


@dataclass(frozen=True)
class Certificates:
    """A private CA with a good certificate, an expired one of another key, and an expired one of the same key."""

    good: ssl.SSLContext
    expired: ssl.SSLContext
    good_spki: str
    expired_spki: str


def make_certificates() -> Certificates:
    """All of one authority, made anew."""
    authority = trustme.CA()
    good = authority.issue_cert("127.0.0.1")
    expired = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))
    return Certificates(context_of(good), context_of(expired), spki_of(good), spki_of(expired))


def context_of(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """A server's context with this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    return context


def spki_of(leaf: trustme.LeafCert) -> str:
    """The hash of the certificate's public key, as Chromium wants it."""
    certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(sha256(key).digest()).decode()
