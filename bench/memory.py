"""Whether a probe stays as small as it is: a real lane in its own process, thousands of runs, resident memory before and after.

The HTTP lane is ordered to run a scenario of one request against a target in this process as fast as it goes; the browser lane
loads a page cold each time, with its Chromium replaced as often as in production. What the lanes write is taken out of the outbox
as an acknowledgement would. Called by `bench.__main__`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from pydantic import JsonValue

from bench.ingest import quiet
from bench.report import Findings, Goal
from probes.clock import SystemClock
from probes.outbox import EntryKind, Outbox
from probes.worker_kit import LaneKit
from probes.worker_pipe import LaneOrder, RunOrder, StopOrder
from probes.worker_process import LaneProcess
from tests.journey_kit import open_target
from tests.worker_kit import NO_LIMITS, open_lane

__all__ = ["open_quiet_lane", "open_quiet_page", "run"]

MIB = 1 << 20
FACTORIES = {"http": "bench.memory:open_quiet_lane", "browser": "bench.memory:open_quiet_page"}
HTTP_RUNS = 10_000
HTTP_WARM_UP = 1_000
BROWSER_RUNS = 200
BROWSER_WARM_UP = 60
GROWTH_MIB = 8.0
DEADLINE_S = 400.0
LOOK_EVERY_S = 0.01
ASKED_AT_ONCE = 10  # a lane refuses more that wait
SILENT_LIMIT_S = 30.0
PAGE = "<!doctype html><title>page</title><h1>Quote</h1><button>Upload</button>" + "<p>row</p>" * 300


def run() -> list[Findings]:
    """Both lanes, one after the other."""
    heads = (
        "lane",
        "runs",
        "runs/s",
        "lane, MiB after warm-up",
        "at the end",
        "with Chromium, after warm-up",
        "at the end",
    )
    findings = Findings("Memory of a probe", heads)
    for name, scenario, warm_up, runs in (
        ("http", "steady", HTTP_WARM_UP, HTTP_RUNS),
        ("browser", "page", BROWSER_WARM_UP, BROWSER_RUNS),
    ):
        growth_mib, row = asyncio.run(measured(name, scenario, warm_up, runs))
        findings.rows.append((name, *row))
        label = f"growth of the {name} lane over {runs:,} runs after {warm_up:,}, MiB"
        findings.goals.append(Goal(label, GROWTH_MIB, growth_mib))
    findings.notes.append(
        "The lane's process alone, and with all that descends from it; resident memory, shared pages counted each time."
    )
    return [findings]


async def measured(name: str, scenario: str, warm_up: int, runs: int) -> tuple[float, tuple[str, ...]]:
    """How much the lane grew, and the row."""
    with tempfile.TemporaryDirectory() as folder, Outbox(Path(folder) / "outbox") as outbox:
        async with open_target({"/page": page}) as target:
            options: dict[str, JsonValue] = {"url": target.url, "every_ms": {scenario: 0}}  # no schedule: only orders
            order = LaneOrder(
                name=name,
                fleet="bench",
                region="here",
                probe="one",
                outbox_path=outbox.path,
                factory=FACTORIES[name],
                options=options,
                places=8 if name == "http" else 1,
                fitness_limits=NO_LIMITS,
            )
            async with lane(order, Path(folder) / "lock") as (process, watching):
                await take_runs(process, watching, outbox, scenario=scenario, count=warm_up)
                before = (resident_mib(process.pid), tree_mib(process.pid))
                started_s = time.perf_counter()
                done = await take_runs(process, watching, outbox, scenario=scenario, count=runs)
                per_s = done / (time.perf_counter() - started_s)
                after = (resident_mib(process.pid), tree_mib(process.pid))
    row = (f"{done:,}", f"{per_s:.0f}", f"{before[0]:.1f}", f"{after[0]:.1f}", f"{before[1]:.0f}", f"{after[1]:.0f}")
    return after[0] - before[0], row


@asynccontextmanager
async def open_quiet_lane(order: LaneOrder) -> AsyncIterator[LaneKit]:
    """The tests' lane, without ten thousand lines of log."""
    quiet()
    async with open_lane(order) as kit:
        yield kit


@asynccontextmanager
async def open_quiet_page(order: LaneOrder) -> AsyncIterator[LaneKit]:
    """The same with a browser, whose library only this lane's process has."""
    quiet()
    pages = importlib.import_module("tests.worker_page")
    async with pages.open_lane(order) as kit:
        yield kit


@asynccontextmanager
async def lane(order: LaneOrder, lock: Path) -> AsyncIterator[tuple[LaneProcess, asyncio.Task[object]]]:
    """A running lane, stopped in order at the end of the block, and the task that ends when the lane does."""
    lock_fd = os.open(lock, os.O_RDWR | os.O_CREAT)
    process = await LaneProcess.start(order, lock_fd=lock_fd, clock=SystemClock())
    watching = asyncio.create_task(process.watch(lambda _: None, silent_limit_s=SILENT_LIMIT_S))
    try:
        yield process, watching
        await process.give(StopOrder(deadline_s=1.0))
        await asyncio.wait_for(watching, SILENT_LIMIT_S)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        os.close(lock_fd)


async def take_runs(
    process: LaneProcess, watching: asyncio.Task[object], outbox: Outbox, *, scenario: str, count: int
) -> int:
    """Ask for so many runs and take them out of the outbox; returns how many passed.

    Raises TimeoutError, and RuntimeError when the lane ended.
    """
    asked = done = passed = 0
    async with asyncio.timeout(DEADLINE_S):
        while done < count:
            if watching.done():
                message = f"the lane ended by itself: {watching.result()}"
                raise RuntimeError(message)
            while asked < count and asked - done < ASKED_AT_ONCE:
                asked += 1
                await process.give(RunOrder(request_id=f"run-{asked}", scenario=scenario))
            entries = outbox.pending()
            runs = [entry for entry in entries if entry.kind is EntryKind.RUN]
            done += len(runs)
            passed += sum(b'"outcome":"pass"' in entry.body for entry in runs)
            if entries:
                outbox.acknowledge([(entries[0].seq, entries[-1].seq)])
            await asyncio.sleep(LOOK_EVERY_S)
    return passed


async def page(_request: web.Request) -> web.StreamResponse:
    """A page with a button."""
    return web.Response(text=PAGE, content_type="text/html")


def resident_mib(pid: int) -> float:
    """Resident memory of a process; 0 when it has ended meanwhile. Source: proc(5), statm, second field, in pages."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def tree_mib(pid: int) -> float:
    """Resident memory of a process and of all that descends from it."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return resident_mib(pid) + sum(map(tree_mib, children))
