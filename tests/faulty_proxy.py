"""A link that breaks on command: a TCP proxy on loopback that cuts, tears, stalls, slows, swallows.

One proxy for each link, so that each can be broken alone. Every kind of break is one that real networks have; none of them
changes a byte, because TCP would not let that through either. Refuses to decide when (`tests.chaos_plan`). Used by tests
named exactly_once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum
from random import Random
from typing import Self

__all__ = ["Break", "FaultyProxy"]

CHUNK_BYTES = 65_536
SLOW_BYTES = 1_400
SLOWEST_S = 0.02


class Break(StrEnum):
    """What is wrong with the link.

    `cut` resets every connection and every new one. `torn` does so in the middle of what is being sent. `stalled` keeps
    everything and moves nothing. `slow` passes a packet at a time, each with a pause. `half_open` has lost the broker's side
    and tells nobody. `deaf` still carries what is sent to the broker, and nothing that comes back: no news of a commit.
    """

    CUT = "cut"
    TORN = "torn"
    STALLED = "stalled"
    SLOW = "slow"
    HALF_OPEN = "half_open"
    DEAF = "deaf"


class FaultyProxy:
    """Listens on `port` of 127.0.0.1 and leads to `to_port`; `broken` is what is wrong now, None when nothing is."""

    def __init__(self, to_port: int, random: Random) -> None:
        self.port = 0
        self.broken: Break | None = None
        self.connections = 0
        self.carried_bytes = 0
        self._to_port = to_port
        self._random = random
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._there: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._moving = asyncio.Event()
        self._moving.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reset_all()

    def fail(self, kind: Break) -> None:
        """Break the link until `heal`; what is torn breaks with the next bytes."""
        self.broken = kind
        if kind is Break.CUT:
            self._reset_all()
        elif kind is Break.STALLED:
            self._moving.clear()
        elif kind is Break.HALF_OPEN:
            for writer in tuple(self._there):
                writer.transport.abort()

    def heal(self) -> None:
        """Whole again; ends that were deceived learn it now, as by the reset that answers their next packet."""
        if self.broken in (Break.HALF_OPEN, Break.DEAF):
            self._reset_all()
        self.broken = None
        self._moving.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its start to the end of either side."""
        self.connections += 1
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if self.broken is Break.CUT:
                return
            await self._moving.wait()
            with suppress(OSError):
                answers, there = await asyncio.open_connection("127.0.0.1", self._to_port)
                self._open.add(there)
                self._there.add(there)
                await self._join(reader, there, answers, writer)
        finally:
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()
                    self._open.discard(end)
                    self._there.discard(end)

    async def _join(
        self,
        reader: asyncio.StreamReader,
        there: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Carry both ways until one of them ends, unless the link hides that from the client."""
        out = asyncio.create_task(self._carry(reader, there, swallowed_by=(Break.HALF_OPEN,)))
        back = asyncio.create_task(self._carry(answers, writer, swallowed_by=(Break.HALF_OPEN, Break.DEAF)))
        try:
            await asyncio.wait({out, back}, return_when=asyncio.FIRST_COMPLETED)
            if self.broken is Break.HALF_OPEN:
                await out
        finally:
            for task in (out, back):
                task.cancel()
            await asyncio.gather(out, back, return_exceptions=True)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, swallowed_by: tuple[Break, ...]
    ) -> None:
        """One direction, until its end."""
        while data := await reader.read(CHUNK_BYTES):
            await self._moving.wait()
            if self.broken in swallowed_by:
                continue
            if self.broken is Break.TORN:
                writer.write(data[: len(data) // 2])
                self.broken = Break.CUT
                self._reset_all()
                return
            if self.broken is Break.SLOW:
                await self._trickle(data, writer)
            else:
                writer.write(data)
            self.carried_bytes += len(data)
            await writer.drain()

    async def _trickle(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(data), SLOW_BYTES):
            await asyncio.sleep(self._random.uniform(0, SLOWEST_S))
            writer.write(data[start : start + SLOW_BYTES])

    def _reset_all(self) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()
