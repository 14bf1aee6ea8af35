"""Waits for the end of a service: a signal, `--for`, the end of the parent process, or the service's own end.

Refuses to end the service: its owner does that, in its own order. Called by the commands that run until stopped.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from console.arguments import Arguments
from console.stopping import Stop
from probes.clock import Clock
from probes.parent import parent_of

__all__ = ["until_told"]

_LOOK_EVERY_S: Final = 0.5


async def until_told(stop: Stop, service: asyncio.Task[Any], *, clock: Clock, arguments: Arguments) -> None:
    """Return when the service is to end or has ended; from then on the first signal is only noted, the second leaves."""
    waits = [service]
    if arguments.for_s is not None:
        waits.append(asyncio.ensure_future(clock.sleep(arguments.for_s)))
    if arguments.with_parent:
        waits.append(asyncio.ensure_future(_orphaned(clock, parent_of(os.environ))))
    try:
        await stop.guard(_first(waits))
    finally:
        stop.leave_be()
        for task in waits[1:]:
            task.cancel()


async def _first(waits: list[asyncio.Task[Any]]) -> None:
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)


async def _orphaned(clock: Clock, parent: int) -> None:
    """Return when the parent is gone: the kernel sends no event that works everywhere."""
    while os.getppid() == parent:
        await clock.sleep(_LOOK_EVERY_S)
