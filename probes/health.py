"""A few pages over HTTP for whoever watches a service: is it alive, is it ready, how is it.

`/healthz` answers as long as the event loop goes round, `/readyz` says 200 or 503, `/status` is JSON for people and programs.
No secrets are in any of them, and nothing can be changed through them.

Refuses to be a web server: one request a connection, its head only, bounded in time and size. Called by the wiring of the
collector and of the worker.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from pydantic import JsonValue

from probes.errors import DependencyError, OperatorError

__all__ = ["Health", "open_health"]

log = structlog.get_logger(__name__)

HEAD_DEADLINE_S = 5.0
MAX_HEAD_BYTES = 8_192
REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Health:
    """What a service says about itself when asked; both are plain functions, called for each request."""

    is_ready: Callable[[], bool]
    status: Callable[[], Mapping[str, JsonValue]]

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
        return 404, {"error": "there are /healthz, /readyz and /status"}


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
            method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
            code, document = health.answer(method, rest.partition(" ")[0])
            body = json.dumps(document).encode() + b"\n"
            lines = (
                f"HTTP/1.1 {code} {REASONS[code]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
            )
            writer.write(lines.encode() + (b"" if method == "HEAD" else body))
            await writer.drain()
    except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
        return
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
