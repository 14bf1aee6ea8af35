"""A few pages over HTTP for whoever watches a service: is it alive, is it ready, how is it.

`/healthz` answers as long as the event loop goes round, `/readyz` says 200 or 503, `/status` is JSON for people and
programs. Whoever wires it may add pages of another kind (`/metrics`). No secrets are in any of them, and nothing can be
changed through them.

Refuses to be a web server: one request a connection, its head only, bounded in time and size. Called by the wiring of the
collector and of the worker.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog
from pydantic import JsonValue

from probes.errors import DependencyError, OperatorError

__all__ = ["Health", "Page", "PageMaker", "open_health"]

log = structlog.get_logger(__name__)

HEAD_DEADLINE_S = 5.0
PAGE_DEADLINE_S = 15.0
MAX_HEAD_BYTES = 8_192
REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 501: "Not Implemented", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of another kind than JSON; `headers` besides those that every answer has."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


PageMaker = Callable[[Mapping[str, str]], Awaitable[Page]]
"""Makes a page for a request with these headers, whose names are in lower case."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a service says about itself when asked; the first two are plain functions, called for each request.

    `pages` are more pages by their paths.
    """

    is_ready: Callable[[], bool]
    status: Callable[[], Mapping[str, JsonValue]]
    pages: Mapping[str, PageMaker] = field(default_factory=dict)

    def answer(self, method: str, path: str) -> tuple[int, JsonValue]:
        """Status and document for a request."""
        if method not in ("GET", "HEAD"):
            return 405, {"error": "only GET"}
        match path.partition("?")[0]:
            case "/healthz":
                return 200, {"alive": True}
            case "/readyz":
                ready = self.is_ready()
                return (200 if ready else 503), {"ready": ready}
            case "/status":
                return 200, dict(self.status())
        more = "".join(f", {path}" for path in self.pages)
        return 404, {"error": f"there are /healthz, /readyz and /status{more}"}

    async def page(self, method: str, path: str, headers: Mapping[str, str]) -> Page:
        """The whole answer to a request."""
        maker = self.pages.get(path.partition("?")[0])
        if maker is not None and method in ("GET", "HEAD"):
            return await maker(headers)
        code, document = self.answer(method, path)
        return Page(code, "application/json", json.dumps(document).encode() + b"\n")


@asynccontextmanager
async def open_health(endpoint: str, health: Health) -> AsyncIterator[str]:
    """Answer at `HOST:PORT` for the length of the block; the address, empty when the endpoint is.

    Raises DependencyError when the port is taken.
    """
    if not endpoint:
        yield ""
        return
    host, _, port_text = endpoint.rpartition(":")
    if not host or not port_text.isdecimal():
        raise OperatorError(f"{endpoint!r} is not HOST:PORT", where="health")

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_one(reader, writer, health)

    try:
        server = await asyncio.start_server(converse, host, int(port_text), limit=MAX_HEAD_BYTES)
    except (OSError, OverflowError) as error:
        remedy = "Choose another place in the settings (collector.health, worker.health); empty: none"
        raise DependencyError(f"the health pages cannot be served: {error}", where=endpoint, remedy=remedy) from error
    async with server:
        url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        log.info("health.served", url=url)
        yield url


async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, health: Health) -> None:
    """One request, one answer; a client that is slow, wordy or gone is let go."""
    try:
        async with asyncio.timeout(HEAD_DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(PAGE_DEADLINE_S):
            first, *lines = head.decode("latin-1").split("\r\n")
            method, _, rest = first.partition(" ")
            page = await health.page(method, rest.partition(" ")[0], headers_of(lines))
            writer.write(head_of(page) + (b"" if method == "HEAD" else page.body))
            await writer.drain()
    except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
        return
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def headers_of(lines: Sequence[str]) -> dict[str, str]:
    """The headers of a request; lines that are none are passed over."""
    named = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in named if colon}


def head_of(page: Page) -> bytes:
    """The head of an answer."""
    fixed = {
        "Content-Type": page.content_type,
        "Content-Length": str(len(page.body)),
        "Cache-Control": "no-store",
        "Connection": "close",
    }
    lines = [f"{name}: {value}" for name, value in {**fixed, **page.headers}.items()]
    return "\r\n".join([f"HTTP/1.1 {page.status} {REASONS[page.status]}", *lines, "", ""]).encode()
