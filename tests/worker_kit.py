"""What tests of the worker share: a lane factory with small scenarios, a worker in a process of its own, and its books.

Everything is real: processes, sockets, the browser, the outbox. The factory is imported by the lanes' own processes. Used by
tests named worker.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import JsonValue

from probes.clock import SystemClock
from probes.execute import RunEnvironment
from probes.fitness import FitnessLimits
from probes.http import HttpEngine
from probes.journey import Journey
from probes.ledger_entries import FitnessMinute, OwedSlots, SlotEnd, parse_entry
from probes.outbox import Entry, EntryKind, Outbox
from probes.records import Run
from probes.registry import ScenarioSpec, scenario, spec_of
from probes.schedule import Schedule
from probes.wire import parse_run
from probes.worker import LanePlan, Worker, WorkerPlan
from probes.worker_kit import LaneKit, ScheduledScenario
from probes.worker_pipe import LaneOrder
from tests.target_kit import target_at

if TYPE_CHECKING:  # each process of a lane would load Playwright
    from probes.browser import BrowserEngine

__all__ = ["NO_LIMITS", "Books", "WorkerProcess", "books_of", "open_kit", "open_lane", "plan_of", "until"]

ROOT = Path(__file__).resolve().parents[1]
FACTORY = "tests.worker_kit:open_lane"
NO_LIMITS = FitnessLimits(
    loop_lag_ns=10**18, steal_ratio=2, busy_ratio=2, pressure_ratio=2, memory_pressure_ratio=2, memory_ratio=-1
)
"""For tests that are about something else: whatever this machine does, it counts as fit."""


@scenario("steady", timeout="10s")
async def steady(probe: Journey) -> None:
    """Ask for a page that is always there."""
    async with probe.step("ask", deadline_s=5):
        await probe.request("GET", f"{probe.target.bases['api']}/ok")


@scenario("slow", timeout="60s")
async def slow(probe: Journey) -> None:
    """Ask for a page that takes its time."""
    async with probe.step("ask"):
        await probe.request("GET", f"{probe.target.bases['api']}/slow")


@scenario("quick", timeout="10s")
async def quick(probe: Journey) -> None:
    """Ask for a page that must come at once."""
    async with probe.step("ask", deadline_s=0.5):
        await probe.request("GET", f"{probe.target.bases['api']}/quick")


@scenario("stuck", timeout="10s")
async def stuck(probe: Journey) -> None:
    """Keep the loop busy for ever: a script that is broken."""
    async with probe.step("spin"):
        while True:
            time.sleep(0.01)  # noqa: ASYNC251 - blocking the loop is the fault under test


SPECS = {spec.name: spec for spec in map(spec_of, (steady, slow, quick, stuck))}


@asynccontextmanager
async def open_lane(order: LaneOrder) -> AsyncIterator[LaneKit]:
    """The lane with the scenarios of this file; with a browser there is `tests.worker_page`."""
    async with open_kit(order, SPECS) as kit:
        yield kit


@asynccontextmanager
async def open_kit(
    order: LaneOrder, known: Mapping[str, ScenarioSpec], browser: BrowserEngine | None = None
) -> AsyncIterator[LaneKit]:
    """The scenarios as `options` name them: {"url", "every_ms": {scenario: interval}, "tolerance_ms"}."""
    intervals = order.options["every_ms"]
    assert isinstance(intervals, dict)
    specs = [known[name] for name in intervals]
    tolerance_ms = int(str(order.options.get("tolerance_ms", 400)))
    async with AsyncExitStack() as opened:
        environment = RunEnvironment(
            clock=SystemClock(),
            http=await opened.enter_async_context(HttpEngine()),
            target=target_at(str(order.options["url"])),
            fleet=order.fleet,
            region=order.region,
            probe=order.probe,
            browser=browser,
        )
        scheduled = tuple(
            ScheduledScenario(spec, Schedule(spec.name, int(str(intervals[spec.name])), 0, tolerance_ms))
            for spec in specs
            if intervals[spec.name]
        )
        yield LaneKit(environment=environment, scheduled=scheduled, on_request=tuple(specs))


def plan_of(folder: Path, url: str, every_ms: dict[str, int], **changes: object) -> WorkerPlan:
    """A worker's plan with the HTTP lane alone and a host that always counts as fit, unless changed."""
    plan: dict[str, object] = {
        "lanes": (LanePlan("http", 4),),
        "fitness_limits": NO_LIMITS,
        "factory": FACTORY,
        "restart_first_s": 0.1,
        "stop_deadline_s": 1.0,
        "lock_patience_s": 60.0,
    }
    options: dict[str, JsonValue] = {"url": url, "every_ms": dict(every_ms)}
    return WorkerPlan(
        fleet="test",
        region="here",
        probe="one",
        outbox_path=folder / "outbox.db",
        options=options,
        **(plan | changes),  # type: ignore[arg-type] # a test names the fields it sets
    )


@dataclass(slots=True)
class Books:
    """What an outbox says, read while the worker may still write."""

    runs: list[Run] = field(default_factory=list)
    ends: list[SlotEnd] = field(default_factory=list)
    owed: list[OwedSlots] = field(default_factory=list)
    unfit: dict[datetime, list[str]] = field(default_factory=dict)

    def endings(self, scenario_name: str) -> Counter[datetime]:
        """How often each slot of the schedule has ended; runs that were asked for aside."""
        runs = [
            run.identity.slot_at
            for run in self.runs
            if run.identity.scenario == scenario_name and not run.identity.attempt
        ]
        ends = [end.slot_at for end in self.ends if end.scenario == scenario_name and not end.attempt]
        return Counter([*runs, *ends])

    def owed_slots(self, scenario_name: str, until_at: datetime) -> set[datetime]:
        """Every slot that the entries say was owed before the instant: each word holds until the next begins."""
        words = {word.from_at: word for word in self.owed if word.scenario == scenario_name}
        slots: set[datetime] = set()
        in_order = [words[from_at] for from_at in sorted(words)]
        for word, following in zip(in_order, [*in_order[1:], None], strict=True):
            schedule = Schedule(scenario_name, word.interval_ms, word.phase_ms, word.tolerance_ms)
            last_at = min(one for one in (word.until_at, following and following.from_at, until_at) if one)
            slots.update(schedule.slots_between(word.from_at, last_at))
        return slots


def books_of(outbox_path: Path) -> Books:
    """Everything that is in the outbox now."""
    books = Books()
    if not outbox_path.exists():
        return books
    with Outbox(outbox_path) as outbox:
        for entry in all_entries(outbox):
            match entry.kind:
                case EntryKind.RUN:
                    books.runs.append(parse_run(entry.body))
                case EntryKind.SLOT:
                    books.ends.append(parse_entry(SlotEnd, entry.body))
                case EntryKind.SCHEDULE:
                    books.owed.append(parse_entry(OwedSlots, entry.body))
                case EntryKind.FITNESS:
                    minute = parse_entry(FitnessMinute, entry.body)
                    books.unfit[minute.minute_at] = minute.reasons
    return books


def all_entries(outbox: Outbox) -> Iterable[Entry]:
    """Page by page."""
    last_seq = 0
    while entries := outbox.pending(after_seq=last_seq):
        yield from entries
        last_seq = entries[-1].seq


async def until(holds: Callable[[], object], what: str, deadline_s: float = 60.0) -> None:
    """Wait for a condition, and fail with its name when it does not come."""
    give_up_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < give_up_s, f"not within {deadline_s:g} s: {what}"
        await asyncio.sleep(0.03)


class WorkerProcess:
    """A supervisor in a process of its own, for tests that kill it. Says the pids of its lanes on stdout."""

    def __init__(self, folder: Path, url: str, every_ms: dict[str, int], **options: object) -> None:
        self.outbox_path = folder / "outbox.db"
        told = {"folder": str(folder), "url": url, "every_ms": every_ms, **options}
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.worker_kit import main; main()", json.dumps(told)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lane_pids: list[int] = []

    def wait_ready(self) -> None:
        """Until the lanes walk their schedules."""
        assert self._process.stdout is not None
        self.lane_pids = json.loads(self._process.stdout.readline())

    def kill(self, *, lanes_too: bool) -> None:
        """`kill -9`, at once for all or for the supervisor alone, and wait for its end."""
        for pid in self.lane_pids if lanes_too else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait(30)
        self._close()

    def stop(self) -> int:
        """In order; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        self._close()
        return code

    def _close(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()


def main() -> None:
    """The supervisor of `WorkerProcess`."""
    asyncio.run(supervise(json.loads(sys.argv[1])))


async def supervise(told: dict[str, object]) -> None:
    """Run a worker until SIGTERM."""
    every_ms = told["every_ms"]
    assert isinstance(every_ms, dict)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    worker = Worker(plan_of(Path(str(told["folder"])), str(told["url"]), every_ms), clock=SystemClock())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        while not worker.is_ready:  # noqa: ASYNC110 - a condition of another process
            await asyncio.sleep(0.01)
        print(json.dumps([state.pid for state in worker.states.values()]), flush=True)  # noqa: T201 - the test reads it
