"""A lane as an operating-system process: started, listened to, given orders, and ended for certain.

A lane that shows no sign of life for too long is killed: a script that keeps its loop busy for ever would stop every slot of the
lane without a word. Refuses to start it again (`probes.worker`). Called by the supervisor, one object a life.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError

from probes.clock import Clock
from probes.errors import DependencyError
from probes.worker_pipe import MAX_LINE_BYTES, Beat, LaneOrder, Live, Put, Ready, parse_event, render_line

__all__ = ["LaneEvent", "LaneProcess"]

log = structlog.get_logger(__name__)

LaneEvent = Ready | Put | Beat | Live

PACKAGES = Path(__file__).resolve().parents[1]
LOOK_EVERY_S = 1.0
# Importing and opening engines may take its time on a host that is busy; from the first event on the limit is the plan's.
START_LIMIT_S = 120.0
ORDER_TIMEOUT_S = 5.0


class LaneProcess:
    """One life of a lane."""

    def __init__(self, order: LaneOrder, process: Process, *, clock: Clock) -> None:
        self.order = order
        self.pid = process.pid
        self._process = process
        self._clock = clock
        self._heard_ns = clock.monotonic_ns()
        self._has_spoken = False

    @classmethod
    async def start(cls, order: LaneOrder, *, lock_fd: int, clock: Clock) -> LaneProcess:
        """A running process that has its description; raises DependencyError when the system refuses one."""
        path = os.pathsep.join([str(PACKAGES), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).rstrip(os.pathsep)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "probes.worker_lane"),
                stdin=PIPE,
                stdout=PIPE,
                limit=MAX_LINE_BYTES,
                pass_fds=(lock_fd,),
                start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which stops its lanes in order
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            remedy = "Check the limits on processes and memory"
            raise DependencyError(f"the {order.name} lane cannot be started: {error}", remedy=remedy) from error
        lane = cls(order, process, clock=clock)
        await lane.give(order)
        return lane

    async def give(self, order: BaseModel) -> None:
        """Hand an order down; a lane that is gone or deaf does not get it, and is found out by `watch`."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            return
        try:
            async with asyncio.timeout(ORDER_TIMEOUT_S):
                stdin.write(render_line(order))
                await stdin.drain()
        except (OSError, TimeoutError) as error:
            log.warning("lane.order_not_given", lane=self.order.name, pid=self.pid, error=str(error))

    async def watch(self, on_event: Callable[[LaneEvent], None], *, silent_limit_s: float) -> int:
        """Listen until the process has ended; its exit code, negative for a signal. Cancelled: the process is killed."""
        try:
            async with asyncio.TaskGroup() as group:
                guard = group.create_task(self._kill_when_silent(silent_limit_s))
                await self._listen(on_event)
                code = await self._process.wait()
                guard.cancel()
            return code
        finally:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End the process now, if it is still there."""
        if self._process.returncode is None:
            self._process.kill()

    async def _listen(self, on_event: Callable[[LaneEvent], None]) -> None:
        """Every event until the pipe ends."""
        stdout = self._process.stdout
        if stdout is None:
            return
        while True:
            try:
                line = await stdout.readline()
            except ValueError:
                continue  # longer than any honest line; the reader has dropped it
            if not line:
                return
            self._heard_ns, self._has_spoken = self._clock.monotonic_ns(), True
            try:
                event = parse_event(line)
            except ValidationError as error:
                log.warning("lane.event_not_understood", lane=self.order.name, error=str(error)[:500])
                continue
            on_event(event)

    async def _kill_when_silent(self, limit_s: float) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            silent_s = (self._clock.monotonic_ns() - self._heard_ns) / 1e9
            if silent_s > (limit_s if self._has_spoken else START_LIMIT_S):
                log.critical("lane.silent", lane=self.order.name, pid=self.pid, silent_s=round(silent_s, 1))
                self.kill()
                return
