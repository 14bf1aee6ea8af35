"""A tiny control target of our own: answers every request with 204. For demos and tests on one machine.

On one machine it shows that this host can serve and ask at all; a fleet names an address beyond its own network.
Refuses everything else: it reads a request's head and closes. Called by the wiring of the demo.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["open_responder"]

HEAD_DEADLINE_S = 5.0
ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def open_responder(port: int = 0) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 for the length of the block; the address to ask."""
    server = await asyncio.start_server(answer, "127.0.0.1", port, limit=16_384)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request, one answer; a client that is slow, wordy or gone is let go."""
    try:
        async with asyncio.timeout(HEAD_DEADLINE_S):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
    except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
        return
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
