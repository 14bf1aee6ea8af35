"""Whose fault was it? An overloaded host, a platform that is down, a browser that dies, a page that hangs: real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web

from probes.browser_process import all_states
from probes.clock import SystemClock
from probes.fitness import FitnessLimits
from probes.fitness_minutes import minute_of
from probes.records import FailureKind, Outcome, Run
from probes.worker import LanePlan, Worker, WorkerPlan
from tests.journey_kit import open_target
from tests.worker_kit import books_of, plan_of, until
from tests.worker_page import FACTORY

PATIENCE_S = 120.0
"""So long it is tried again on a machine that is busy with something else."""
GOOD_PAGE = "<!doctype html><title>Page</title><link rel=icon href=data:,><button>Go</button>"
HUNG_PAGE = GOOD_PAGE.replace("<button>", "<script>while (true) {}</script><button>")
LATE_PAGE = "<!doctype html><title>Page</title><link rel=icon href=data:,>"


@asynccontextmanager
async def running(plan: WorkerPlan) -> AsyncIterator[Worker]:
    """A worker whose lanes are up."""
    worker = Worker(plan, clock=SystemClock())
    task = asyncio.create_task(worker.run())
    try:
        await until(lambda: worker.is_ready or task.done(), "lanes that are up")
        yield worker
    finally:
        worker.stop()
        await task


@contextmanager
def every_cpu_busy() -> Iterator[None]:
    """One program for each CPU that never waits."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


class Platform:
    """Answers at once, or with 503 while it is down."""

    def __init__(self) -> None:
        self.is_down = False

    async def answer(self, _request: web.Request) -> web.StreamResponse:
        """What a customer gets."""
        return web.Response(status=503 if self.is_down else 200)


def runs_of(plan: WorkerPlan, holds: Callable[[Run], bool]) -> list[Run]:
    """The runs in the outbox for which it holds."""
    return [run for run in books_of(plan.outbox_path).runs if holds(run)]


def failed(run: Run) -> bool:
    """The platform was charged."""
    return run.outcome is Outcome.FAIL


def raw_failure(run: Run) -> bool:
    """It looked like a failure, and the platform was not charged."""
    return run.outcome is Outcome.INCONCLUSIVE and run.attributes.get("run.raw_outcome") == "fail"


@pytest.mark.serial
@pytest.mark.timeout(300)
@pytest.mark.parametrize("into_the_next_minute", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_an_outage_on_a_fit_host_fails_and_an_overloaded_host_is_inconclusive(
    tmp_path: Path, into_the_next_minute: bool
) -> None:
    """The platform is charged for its outage, and for nothing that is found while both cores are busy.

    Under load the platform is up at first and then down: success and failure are inconclusive alike, every one of them,
    also the first of a minute that begins while the load goes on.
    """
    platform, give_up_s = Platform(), time.monotonic() + PATIENCE_S
    async with open_target({"/quick": platform.answer}) as target:
        for number in count():
            assert time.monotonic() < give_up_s, "this machine was never fit to measure"
            platform.is_down = False
            folder = tmp_path / str(number)
            plan = plan_of(folder, target.url, {"quick": 1000}, fitness_limits=FitnessLimits())
            async with running(plan):
                if not await measured_an_outage(plan, platform):
                    continue  # this machine was busy with something else
                with every_cpu_busy():
                    await until(
                        lambda plan=plan: runs_of(plan, lambda run: run.attributes.get("run.raw_outcome") == "pass"),  # type: ignore[misc]
                        "good runs of an unfit host",
                        deadline_s=40,
                    )
                    charged = len(runs_of(plan, failed))
                    platform.is_down = True
                    await until(
                        lambda plan=plan: has_seen_enough(runs_of(plan, raw_failure), into_the_next_minute),  # type: ignore[misc]
                        "failed runs of an unfit host",
                        deadline_s=90,
                    )
                    # Our own loop may be late before the CPUs have been busy for long enough to say so.
                    await until(lambda plan=plan: is_told_busy(plan), "the word about busy CPUs")  # type: ignore[misc]
                    assert len(runs_of(plan, failed)) == charged
            return


def is_told_busy(plan: WorkerPlan) -> bool:
    """Whether the books say of a minute that there was no CPU left in it."""
    unfit = books_of(plan.outbox_path).unfit
    return any("all CPUs were busy" in reason for reasons in unfit.values() for reason in reasons)


def has_seen_enough(runs: list[Run], into_the_next_minute: bool) -> bool:
    """Two of them, and if that is asked some of two minutes."""
    minutes = {minute_of(run.identity.slot_at) for run in runs}
    return len(runs) >= 2 and len(minutes) > int(into_the_next_minute)


async def measured_an_outage(plan: WorkerPlan, platform: Platform) -> bool:
    """A good run, then two that charge the platform for its outage; False when the host was not fit meanwhile."""
    await until(lambda: runs_of(plan, lambda _: True), "a run")
    platform.is_down = True
    await until(lambda: len(runs_of(plan, lambda run: run.failure is not None)) >= 2, "two failures")
    platform.is_down = False
    found = [run for run in books_of(plan.outbox_path).runs if run.failure is not None]
    if any(run.outcome is Outcome.INCONCLUSIVE for run in books_of(plan.outbox_path).runs):
        return False
    assert {run.outcome for run in found} == {Outcome.FAIL}
    kinds = {run.failure.kind for run in found if run.failure}
    assert kinds <= {FailureKind.STATUS, FailureKind.TIMEOUT}
    # The platform is this very process: where it took longer than half a second to say 503, the page truly came too late.
    return kinds == {FailureKind.STATUS}


@pytest.mark.timeout(300)
async def test_a_browser_that_is_killed_is_ours_and_a_page_that_hangs_is_not(tmp_path: Path) -> None:
    """Chromium killed in a run: inconclusive. A page that hangs: failed, in its time. The next slot is fine after both."""
    pages = {"now": GOOD_PAGE}
    asked: list[str] = []

    async def page(_request: web.Request) -> web.StreamResponse:
        asked.append(pages["now"])
        return web.Response(text=pages["now"], content_type="text/html")

    async with open_target({"/page": page}) as target:
        plan = plan_of(tmp_path, target.url, {"page": 1000}, lanes=(LanePlan("browser", 1),), factory=FACTORY)
        async with running(plan) as worker:
            await until(lambda: runs_of(plan, passed), "a page that is loaded")
            pages["now"] = LATE_PAGE
            await killed_in_a_run(plan, worker, asked)
            pages["now"] = GOOD_PAGE
            await loaded_again(plan)
            charged = len(runs_of(plan, failed))
            pages["now"] = HUNG_PAGE
            await until(lambda: len(runs_of(plan, failed)) > charged and HUNG_PAGE in asked, "a page that hangs")
            pages["now"] = GOOD_PAGE
            await loaded_again(plan)
            assert worker.states["browser"].restarts == 0
    ours, *_ = runs_of(plan, lambda run: run.outcome is Outcome.INCONCLUSIVE)
    assert ours.failure is not None
    assert ours.failure.kind is FailureKind.INTERNAL
    theirs = runs_of(plan, failed)[-1]
    assert theirs.failure is not None
    assert theirs.failure.kind in {FailureKind.TIMEOUT, FailureKind.BROWSER}
    assert set(books_of(plan.outbox_path).endings("page").values()) == {1}


def passed(run: Run) -> bool:
    """All is well."""
    return run.outcome is Outcome.PASS


async def loaded_again(plan: WorkerPlan) -> None:
    """A good run after those so far."""
    count = len(runs_of(plan, passed))
    await until(lambda: len(runs_of(plan, passed)) > count, "a page that is loaded again")


async def killed_in_a_run(plan: WorkerPlan, worker: Worker, asked: list[str]) -> None:
    """Kill the browser while a run waits for its button; again in a later one when that run was over before the kill."""
    seen = 0

    def is_inconclusive() -> bool:
        nonlocal seen
        if asked.count(LATE_PAGE) > seen:
            seen = asked.count(LATE_PAGE)
            kill_browser(worker.states["browser"].pid)
        return bool(runs_of(plan, lambda run: run.outcome is Outcome.INCONCLUSIVE))

    await until(is_inconclusive, "a run without browser")


def kill_browser(lane_pid: int) -> None:
    """`kill -9` for every Chromium below the lane."""
    family, browsers = {lane_pid}, []
    for _ in range(5):
        for state in all_states():
            if state.parent_pid in family and state.pid not in family:
                family.add(state.pid)
                if "chrom" in state.name:
                    browsers.append(state.pid)
    assert browsers
    for pid in browsers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
