"""The board's changes as server-sent events at `/live`.

`?only=looks` asks for no changes, only for the word that figures may be newer. A viewer who comes back says the number of its
last change (`Last-Event-ID`) and gets what it missed, or is told to load the page again when that is not kept any more. A viewer
that cannot be written to is let go after some seconds. Called by `collector.web.routes_overview`.

Source: HTML Living Standard, 9.2 Server-sent events.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from collector.web.live import LIVE, FullError, Live, Viewer

__all__ = ["stream_board"]

SILENCE_S: Final = 15.0
WRITE_DEADLINE_S: Final = 5.0
RETRY_MS: Final = 3_000
STREAM_S: Final = 3600.0
"""A stream ends by itself after so long, and the browser asks again: then its token is looked at again too."""
RELOAD: Final = b"event: reload\ndata: {}\n\n"
ALIVE: Final = b": alive\n\n"


async def stream_board(request: web.Request) -> web.StreamResponse:
    """The stream, until the viewer goes or is let go. 503 when as many look as may."""
    live = request.app[LIVE]
    wants_board = request.query.get("only", "") != "looks"
    last = _last(request.headers.get("Last-Event-ID", "") or request.query.get("since", "")) if wants_board else None
    board = await live.board() if wants_board else None
    try:
        with live.look_on(last, wants_board=wants_board) as viewer:
            answer = web.StreamResponse(
                headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            )
            await answer.prepare(request)
            start = f"retry: {RETRY_MS}\n".encode()
            if board is not None and last is not None and not live.knows(last):
                start += f"id: {board.number}\n".encode() + RELOAD
            else:
                start += b"\n"
            await _send(live, viewer, answer, start)
            return answer
    except FullError:
        raise web.HTTPServiceUnavailable(
            text="As many look at the board as may; load the page again later.", headers={"Retry-After": "30"}
        ) from None


async def _send(live: Live, viewer: Viewer, answer: web.StreamResponse, start: bytes) -> None:
    """Write what comes until the viewer is slow, gone, or has looked for an hour."""
    try:
        async with asyncio.timeout(STREAM_S):
            await _write(answer, start)
            while True:
                try:
                    change = await asyncio.wait_for(viewer.queue.get(), SILENCE_S)
                except TimeoutError:
                    await _write(answer, ALIVE)
                    continue
                if not change.data:
                    return
                await _write(answer, change.data)
    except TimeoutError:
        live.let_go += 1
    except ConnectionError:
        return


async def _write(answer: web.StreamResponse, data: bytes) -> None:
    await asyncio.wait_for(answer.write(data), WRITE_DEADLINE_S)


def _last(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None
