"""The collector as a process of its own below a fleet: started, started again when it dies, stopped by its own pid.

It lives in a session of its own, so that Ctrl-C in a terminal reaches the fleet, which stops its workers first: what they still
hold must find somebody who stores it. It ends with us however we end. Refuses to give up: a collector that keeps dying is tried
again, more and more slowly, and what it did not take waits in the outboxes. Called by `console.fleet_command`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from probes.clock import Clock
from probes.errors import DependencyError
from probes.parent import naming_parent

__all__ = ["CollectorProcess", "open_collector"]

log = structlog.get_logger(__name__)

_PACKAGES: Final = Path(__file__).resolve().parents[1]
_STOP_DEADLINE_S: Final = 15.0
_RESTART_FIRST_S: Final = 0.2
_RESTART_MOST_S: Final = 10.0
_STEADY_AFTER_NS: Final = 30_000_000_000


class CollectorProcess:
    """One collector, life after life. `pid` is 0 between two of them, `restarts` counts."""

    def __init__(self, options: Sequence[str], *, environ: Mapping[str, str], clock: Clock) -> None:
        self.restarts = 0
        self._options = tuple(options)
        self._environ = dict(environ)
        self._clock = clock
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The process that runs now."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    async def start(self) -> None:
        """Start it; raises DependencyError when the system refuses a process."""
        path = os.pathsep.join([str(_PACKAGES), *self._environ.get("PYTHONPATH", "").split(os.pathsep)])
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "runner", "collector", "--exit-with-parent", "--quiet", *self._options),
                stdin=DEVNULL,
                env=naming_parent({**self._environ, "PYTHONPATH": path.rstrip(os.pathsep)}),
                start_new_session=True,
            )
        except OSError as error:
            remedy = "Check the limits on processes and memory"
            raise DependencyError(f"the collector cannot be started: {error}", remedy=remedy) from error

    async def keep_running(self) -> None:
        """Start it again whenever it has ended, until cancelled."""
        pause_s = _RESTART_FIRST_S
        while True:
            began_ns = self._clock.monotonic_ns()
            if self._process is not None:
                code = await self._process.wait()
                if self._clock.monotonic_ns() - began_ns > _STEADY_AFTER_NS:
                    pause_s = _RESTART_FIRST_S
                log.error("collector.died", exit_code=code, restart_in_s=pause_s)
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _RESTART_MOST_S)
            self.restarts += 1
            try:
                await self.start()
            except DependencyError as error:
                log.error("collector.not_restarted", error=str(error))  # noqa: TRY400 - its text says it all

    async def stop(self) -> None:
        """Ask it to end, then insist."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _STOP_DEADLINE_S)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def open_collector(
    options: Sequence[str], *, environ: Mapping[str, str], clock: Clock
) -> AsyncIterator[CollectorProcess]:
    """A collector for the length of the block."""
    collector = CollectorProcess(options, environ=environ, clock=clock)
    await collector.start()
    keeper = asyncio.create_task(collector.keep_running())
    try:
        yield collector
    finally:
        keeper.cancel()
        await asyncio.wait({keeper})
        await collector.stop()
