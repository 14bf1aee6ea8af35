"""The worker as processes: what is recorded when lanes and supervisors are killed, stopped, or stuck."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from probes.clock import SystemClock
from probes.errors import DependencyError
from probes.ledger_entries import SlotEnd, SlotReason
from probes.outbox import Outbox
from probes.records import FailureKind, Outcome
from probes.worker import LanePlan, Worker, WorkerPlan, WorkerReport
from probes.worker_pipe import Live, MaintenanceOrder, RunOrder
from tests.journey_kit import SmallTarget, open_target
from tests.worker_kit import WorkerProcess, books_of, plan_of, until

FOREVER_S = 3600
PATIENT_S = 20.0
"""So long a stop waits where no run is to be cut off; nothing takes that long unless the machine is busy."""


@pytest.fixture
async def target() -> AsyncIterator[SmallTarget]:
    """`/ok` answers at once, `/slow` not before the test is over."""

    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(FOREVER_S)
        return web.Response()

    async with open_target({"/slow": hang}) as opened:
        yield opened


@asynccontextmanager
async def running(plan: WorkerPlan, **options: object) -> AsyncIterator[tuple[Worker, asyncio.Task[WorkerReport]]]:
    """A worker whose lanes are up, for the length of the block."""
    worker = Worker(plan, clock=SystemClock(), **options)  # type: ignore[arg-type] # a test names what it sets
    task = asyncio.create_task(worker.run())
    try:
        await until(lambda: worker.is_ready or task.done(), "lanes that are up")
        yield worker, task
    finally:
        worker.stop()
        await task


async def test_each_slot_ends_as_exactly_one_entry_and_an_orderly_stop_ends_what_is_owed(
    target: SmallTarget, tmp_path: Path
) -> None:
    """Runs, one for each slot that was owed, and nothing owed after the stop."""
    plan = plan_of(tmp_path, target.url, {"steady": 1000}, stop_deadline_s=PATIENT_S)
    async with running(plan) as (_, task):
        await until(lambda: len(books_of(plan.outbox_path).runs) >= 3, "three runs")
    report = task.result()
    books = books_of(plan.outbox_path)
    endings = books.endings("steady")
    assert set(endings.values()) == {1}
    assert books.owed_slots("steady", datetime.now(UTC) + timedelta(minutes=1)) == set(endings)
    assert {run.outcome for run in books.runs} == {Outcome.PASS}
    assert all(0 <= run.schedule_lag_ns < 400e6 for run in books.runs)
    assert report.left.entries == len(books.runs) + len(books.ends) + len(books.owed)
    assert report.left.intents == 0


async def test_a_lane_that_is_killed_comes_back_and_its_open_slot_is_aborted(
    target: SmallTarget, tmp_path: Path
) -> None:
    """`kill -9` in the middle of a run: our fault, said so, and the next slots run."""
    plan = plan_of(tmp_path, target.url, {"slow": 2000, "steady": 1000})
    async with running(plan) as (worker, _):
        state = worker.states["http"]
        await until(lambda: asked_slowly(target), "a run that goes on")
        first_pid = state.pid
        os.kill(first_pid, signal.SIGKILL)
        await until(lambda: state.is_ready and state.pid != first_pid, "another lane")
        killed = [end for end in books_of(plan.outbox_path).ends if "signal 9" in end.detail]
        # a steady run is over in milliseconds, but the kill may fall into it: then its slot was open too
        assert "slow" in {end.scenario for end in killed} <= {"slow", "steady"}
        assert {end.reason for end in killed} == {SlotReason.ABORTED}
        assert state.restarts == 1
        runs_before = len(books_of(plan.outbox_path).runs)
        await until(lambda: len(books_of(plan.outbox_path).runs) > runs_before, "runs after the restart")
    books = books_of(plan.outbox_path)
    for name in ("slow", "steady"):
        endings = books.endings(name)
        assert set(endings.values()) == {1}
        assert books.owed_slots(name, datetime.now(UTC)) == set(endings)


async def test_a_script_that_never_returns_costs_its_slot_and_not_the_lane(target: SmallTarget, tmp_path: Path) -> None:
    """A lane that shows no life is killed and started again; the slot that did it ends as aborted."""
    plan = plan_of(tmp_path, target.url, {"stuck": 60_000, "steady": 1000}, silent_limit_s=4.0)
    plan.options["every_ms"]["stuck"] = 0  # type: ignore[call-overload,index] # on request only
    async with running(plan) as (worker, _):
        first_pid = worker.states["http"].pid
        assert await worker.request(RunOrder(request_id="r1", scenario="stuck"))
        await until(lambda: worker.states["http"].pid not in (0, first_pid) and worker.is_ready, "another lane")
        cut_off = [end for end in books_of(plan.outbox_path).ends if end.reason is SlotReason.ABORTED]
        assert [end.attempt for end in cut_off if end.scenario == "stuck"] == [1]
        # a steady run may have waited for its answer when the other one took the loop for good
        assert {(end.scenario, end.attempt) for end in cut_off} <= {("stuck", 1), ("steady", 0)}
        assert all("signal 9" in end.detail for end in cut_off)
        runs_before = len(books_of(plan.outbox_path).runs)
        await until(lambda: len(books_of(plan.outbox_path).runs) > runs_before, "runs after the restart")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lanes_too", [True, False])
async def test_a_worker_that_is_killed_owes_nothing_twice_and_nothing_never(
    target: SmallTarget, tmp_path: Path, *, lanes_too: bool
) -> None:
    """`kill -9` three times at any point: after the last start each owed slot has exactly one entry."""
    every_ms = {"steady": 1000, "slow": 2000}
    for life in range(3):
        worker = WorkerProcess(tmp_path, target.url, every_ms)
        try:
            await asyncio.to_thread(worker.wait_ready)
            target.seen.clear()
            # The first life is cut off in its first run that hangs, the others a little later.
            await until(lambda life=life: asked_slowly(target) and len(target.seen) > life, "a run that goes on")  # type: ignore[misc] # the default binds the loop's value
        finally:
            worker.kill(lanes_too=lanes_too)
    last = WorkerProcess(tmp_path, target.url, every_ms)
    try:
        await asyncio.to_thread(last.wait_ready)
        seen = len(target.seen)
        await until(lambda: len(target.seen) > seen + 1, "requests of the last life")
        assert await asyncio.to_thread(last.stop) == 0
    finally:
        last.kill(lanes_too=False)
    books = books_of(last.outbox_path)
    for name in every_ms:
        endings = books.endings(name)
        assert set(endings.values()) == {1}
        assert books.owed_slots(name, datetime.now(UTC) + timedelta(minutes=1)) == set(endings)
    cut_off = [run for run in books.runs if run.failure is not None and run.failure.kind is FailureKind.ABORTED]
    aborted = [end for end in books.ends if end.reason is SlotReason.ABORTED]
    # Lanes that outlive their supervisor for a moment can still say themselves that the run was cut off.
    assert len(aborted if lanes_too else [*cut_off, *aborted]) >= 3
    assert {run.outcome for run in cut_off} <= {Outcome.INCONCLUSIVE}
    with Outbox(last.outbox_path) as outbox:
        assert outbox.depth().intents == 0


def asked_slowly(target: SmallTarget) -> bool:
    """A run has asked for the page that never comes."""
    return any(path == "/slow" for _, path, _ in target.seen)


async def test_a_run_that_does_not_end_is_abandoned_at_the_deadline(target: SmallTarget, tmp_path: Path) -> None:
    """The worker stops when it must; the run is recorded as stopped, never as the platform's failure."""
    plan = plan_of(tmp_path, target.url, {"slow": 1000}, stop_deadline_s=0.2)
    async with running(plan):
        await until(lambda: target.seen, "a run that goes on")
    books = books_of(plan.outbox_path)
    assert {run.outcome for run in books.runs} == {Outcome.INCONCLUSIVE}
    assert set(books.endings("slow").values()) == {1}


async def test_a_slot_without_a_place_is_missed(target: SmallTarget, tmp_path: Path) -> None:
    """All places taken until the tolerance has passed: recorded, with how late it was, and never started."""
    plan = plan_of(tmp_path, target.url, {"slow": 1000}, lanes=(LanePlan("http", 1),))
    async with running(plan):
        taken = "every place of the lane was taken (it has 1)"
        # a lane that was held up itself misses slots for another reason
        await until(lambda: taken in {end.detail for end in books_of(plan.outbox_path).ends}, "a slot without a place")
        assert sum(path == "/slow" for _, path, _ in target.seen) == 1
    missed = [end for end in books_of(plan.outbox_path).ends if end.reason is SlotReason.MISSED]
    assert all(end.schedule_lag_ns > 0 for end in missed)


async def test_slots_of_a_maintenance_end_as_such(target: SmallTarget, tmp_path: Path) -> None:
    """Nothing is sent, and the ledger says why."""
    plan = plan_of(tmp_path, target.url, {"steady": 1000})
    async with running(plan) as (worker, _):
        until_at = datetime.now(UTC) + timedelta(hours=1)
        await worker.maintain(MaintenanceOrder(scenarios=("st*",), until_at=until_at, detail="release 7"))
        await until(lambda: len(in_maintenance(plan)) >= 2, "slots in maintenance")
    books = books_of(plan.outbox_path)
    assert {end.detail for end in in_maintenance(plan)} == {"release 7"}
    assert set(books.endings("steady").values()) == {1}


def in_maintenance(plan: WorkerPlan) -> list[SlotEnd]:
    """The slots that ended as agreed; on a machine that is busy others may be missed."""
    return [end for end in books_of(plan.outbox_path).ends if end.reason is SlotReason.MAINTENANCE]


async def test_a_run_that_was_asked_for_is_told_step_by_step_and_is_owed_to_nobody(
    target: SmallTarget, tmp_path: Path
) -> None:
    """Live events from its start to its record; attempt 1, so that no ledger counts it."""
    plan = plan_of(tmp_path, target.url, {"steady": 0})
    told: list[Live] = []
    async with running(plan, on_live=told.append) as (worker, _):
        assert await worker.request(RunOrder(request_id="r1", scenario="steady", seed=7))
        assert not await worker.request(RunOrder(request_id="r2", scenario="unknown"))
        await until(lambda: told and told[-1].what == "run_finished", "the end of the run")
    whats = [one.what for one in told]
    assert [whats[0], whats[-2], whats[-1]] == ["run_started", "step_finished", "run_finished"]
    assert {one.request_id for one in told} == {"r1"}
    [run] = books_of(plan.outbox_path).runs
    assert (run.identity.attempt, run.attributes["run.seed"]) == (1, 7)


async def test_two_workers_never_share_an_outbox(target: SmallTarget, tmp_path: Path) -> None:
    """The second is refused with a way out, and harms nothing."""
    plan = plan_of(tmp_path, target.url, {"steady": 1000}, lock_patience_s=0.2, stop_deadline_s=PATIENT_S)
    async with running(plan):
        with pytest.raises(DependencyError, match="another worker uses this outbox"):
            await Worker(plan, clock=SystemClock()).run()
    assert {run.outcome for run in books_of(plan.outbox_path).runs} <= {Outcome.PASS}


async def test_a_lane_that_cannot_work_is_tried_again_while_the_others_go_on(
    target: SmallTarget, tmp_path: Path
) -> None:
    """A factory that fails is our trouble: told, retried with back-off; the worker still stops in order."""
    plan = plan_of(tmp_path, target.url, {"steady": 1000}, factory="tests.worker_kit:no_such_factory")
    worker = Worker(plan, clock=SystemClock())
    task = asyncio.create_task(worker.run())
    await until(lambda: worker.states["http"].restarts >= 2, "two more tries")
    assert worker.states["http"].last_exit == "exit code 3"
    worker.stop()
    assert (await task).left.entries == 0
