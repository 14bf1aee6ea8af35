"""The process of one lane: `python -m probes.worker_lane`, started by the supervisor and by nobody else.

Reads its description and then orders from stdin, and writes events to what was stdout; anything that is printed goes to
stderr. When stdin ends the supervisor is gone: the lane stops at once and leaves its debts to the next life. Signals of a
terminal are ignored, because the supervisor gets them too and says what to do.

Refuses to decide anything about runs (`probes.worker_runs`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import structlog
from pydantic import BaseModel

from probes.errors import FleetError
from probes.fitness import FitnessSampler
from probes.fitness_control import ControlTarget
from probes.fitness_host import HostWatch
from probes.outbox import Outbox
from probes.worker_kit import LaneKit, find_factory
from probes.worker_maker import RunMaker
from probes.worker_pipe import (
    MAX_LINE_BYTES,
    ClockOrder,
    LaneOrder,
    Live,
    MaintenanceOrder,
    Put,
    RunOrder,
    StopOrder,
    parse_order,
    render_line,
)
from probes.worker_runs import Lane

__all__ = ["main"]

log = structlog.get_logger(__name__)

BEAT_EVERY_S = 1.0
MAX_UNSENT_BYTES = 4 * MAX_LINE_BYTES
EXIT_OK, EXIT_BUG, EXIT_CANNOT = 0, 1, 3
STDIN, STDOUT, STDERR = 0, 1, 2
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Events:
    """The way up. Never blocks: what the supervisor does not read in time is dropped, because the outbox has what matters."""

    def __init__(self, writer: asyncio.WriteTransport) -> None:
        self._writer = writer
        self._put_is_due = False

    def tell(self, event: BaseModel) -> None:
        """Send the event; several `Put` of one moment are one."""
        if isinstance(event, Put):
            if not self._put_is_due:
                self._put_is_due = True
                asyncio.get_running_loop().call_soon(self._put)
            return
        if isinstance(event, Live) and self._writer.get_write_buffer_size() > MAX_UNSENT_BYTES:
            return
        self._send(event)

    def _put(self) -> None:
        self._put_is_due = False
        self._send(Put())

    def _send(self, event: BaseModel) -> None:
        if not self._writer.is_closing():
            self._writer.write(render_line(event))


def main() -> int:
    """Live one life of a lane; the exit code says whether it ended in order (0), by our bug (1) or could not work here (3)."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    events_fd = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)  # a script that prints must not speak to the supervisor
    try:
        asyncio.run(live(events_fd))
    except FleetError as error:
        log.critical("lane.cannot_work", error=str(error))
        return EXIT_CANNOT
    except Exception:
        log.exception("lane.crashed")
        return EXIT_BUG
    return EXIT_OK


async def live(events_fd: int) -> None:
    """From the first line to the last run."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(STDIN, "rb", closefd=False))
    writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(events_fd, "wb"))
    events = Events(writer)
    order = LaneOrder.model_validate_json(await reader.readline())
    structlog.contextvars.bind_contextvars(lane=order.name, region=order.region, probe=order.probe)
    try:
        async with find_factory(order.factory)(order) as kit, open_lane(order, kit, events) as lane:
            await work(lane, reader, events)
    finally:
        writer.close()


async def work(lane: Lane, reader: asyncio.StreamReader, events: Events) -> None:
    """Run the lane while orders and beats go on beside it; both end with it."""
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(follow(lane, reader)), group.create_task(beat(lane, events))]
        await lane.run()
        for task in beside:
            task.cancel()


async def follow(lane: Lane, reader: asyncio.StreamReader) -> None:
    """Do what is ordered; the end of the orders is the end of the supervisor."""
    while line := await reader.readline():
        match parse_order(line):
            case StopOrder(deadline_s=deadline_s):
                lane.stop(deadline_s)
            case RunOrder() as order:
                lane.request(order)
            case MaintenanceOrder() as order:
                lane.maintain(order)
            case ClockOrder() as order:
                lane.set_clock_offset(order)
    lane.stop(0, in_order=False)


async def beat(lane: Lane, events: Events) -> None:
    """Show that the loop goes round."""
    while True:
        events.tell(lane.beat())
        await asyncio.sleep(BEAT_EVERY_S)


@asynccontextmanager
async def open_lane(order: LaneOrder, kit: LaneKit, events: Events) -> AsyncIterator[Lane]:
    """The lane with everything that it shares among its runs."""
    clock, limits = kit.environment.clock, order.fitness_limits
    async with AsyncExitStack() as opened:
        outbox = opened.enter_context(
            Outbox(order.outbox_path, limits=order.outbox_limits, durability=order.durability, clock=clock)
        )
        sampler = await opened.enter_async_context(FitnessSampler(limits=limits))
        host = await opened.enter_async_context(HostWatch(sampler, clock=clock, limits=limits))
        control = None
        if order.control_url:
            control = ControlTarget(order.control_url, engine=kit.environment.http, clock=clock)
            opened.push_async_callback(control.close)
        maker = RunMaker(
            replace(kit.environment, fitness=sampler),
            outbox=outbox,
            host=host,
            clock=clock,
            tell=events.tell,
            control=control,
        )
        lane = Lane(
            kit, maker, name=order.name, places=order.places, outbox=outbox, host=host, clock=clock, tell=events.tell
        )
        host.on_unfit = lane.note_unfit
        yield lane


if __name__ == "__main__":
    sys.exit(main())
