"""How runs end: deadlines, clean-up, a stop from outside, and a host that was unfit."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from probes.fitness import FitnessSampler
from probes.journey import Journey
from probes.records import FailureKind, Outcome
from tests.clock import JumpingClock
from tests.journey_kit import open_target, run_script


async def test_a_step_that_is_not_done_in_its_time_is_a_timeout() -> None:
    """Polling for ever ends at the deadline of the step, not of the run."""

    async def script(probe: Journey) -> None:
        async with probe.step("analyse", deadline_s=30):
            while True:
                await probe.sleep(7)

    clock = JumpingClock()
    run = await run_script(script, clock=clock, time_limit="100s")
    assert run.failure is not None
    assert run.failure.kind is FailureKind.TIMEOUT
    assert run.failure.message == "step 'analyse' was not done within its 30 s"
    assert run.steps[0].duration_ns == 30_000_000_000
    assert clock.slept_s == [7, 7, 7, 7, 2]


async def test_the_time_limit_of_the_run_is_a_timeout_of_the_open_step() -> None:
    """Also in a step that may fail: the run is over."""

    async def script(probe: Journey) -> None:
        async with probe.step("upload"):
            await probe.sleep(40)
        async with probe.step("analyse", keep_going=True):
            await probe.sleep(1000)
        raise AssertionError("not reached")

    run = await run_script(script, clock=JumpingClock(), time_limit="100s")
    assert (run.outcome, run.failed_step) == (Outcome.FAIL, "analyse")
    assert run.failure is not None
    assert run.failure.kind is FailureKind.TIMEOUT
    assert run.failure.message == "the scenario's 100 s ran out in step 'analyse', begun at 40.0 s"
    assert run.duration_ns == 100_000_000_000


async def test_a_time_limit_that_passes_between_steps_is_ours() -> None:
    """Only the script was at work there."""

    async def script(probe: Journey) -> None:
        async with probe.step("upload"):
            pass
        await probe.sleep(1000)

    run = await run_script(script, clock=JumpingClock(), time_limit="10s")
    assert run.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("where", ["step", "run"])
async def test_code_that_knows_no_deadline_is_cut_off(where: str) -> None:
    """Whatever a step waits for, it ends; the time is that of the wall."""

    async def script(probe: Journey) -> None:
        async with probe.step("hang", deadline_s=2 if where == "step" else None):
            await asyncio.Event().wait()

    run = await run_script(script, time_limit="100s" if where == "step" else "2s")
    assert run.outcome is Outcome.FAIL
    assert run.failure is not None
    assert run.failure.kind is FailureKind.TIMEOUT
    # The run's own time begins before the step's, on a busy host a while before.
    assert 1e9 <= run.steps[0].duration_ns < 50e9


async def test_a_step_that_may_fail_can_be_cut_off_and_the_journey_goes_on() -> None:
    """The cut is the step's, not the run's; what follows is not disturbed by it."""

    async def script(probe: Journey) -> None:
        async with probe.step("hang", deadline_s=0.02, keep_going=True):
            await asyncio.Event().wait()
        async with probe.step("next", deadline_s=50):
            await asyncio.sleep(0)

    run = await run_script(script)
    assert [step.outcome for step in run.steps] == [Outcome.FAIL, Outcome.PASS]
    assert (run.outcome, run.failed_step) == (Outcome.FAIL, "hang")


async def test_a_step_that_was_refused_leaves_no_timer_behind() -> None:
    """The clean-up after a nested step is not cut off by that step's deadline."""

    async def script(probe: Journey) -> None:
        probe.on_cleanup("undo", undo)
        async with probe.step("outer"), probe.step("inner", deadline_s=0.01):
            pass

    async def undo() -> None:
        await asyncio.sleep(0.3)  # longer than the refused step's deadline and its grace

    run = await run_script(script)
    assert run.failure is not None
    assert run.failure.error_type == "BugError"
    assert (run.steps[-1].name, run.steps[-1].outcome) == ("undo", Outcome.PASS)


async def test_a_request_that_hangs_ends_at_the_steps_deadline_with_its_phases() -> None:
    """The engine's own deadline wins over the cut, so that the exchange is not lost."""

    async def silent(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async def script(probe: Journey) -> None:
        async with probe.step("ask", deadline_s=2):
            await probe.request("GET", f"{target.url}/silent", deadline_s=60)

    release = asyncio.Event()
    async with open_target({"/silent": silent}) as target:
        run = await run_script(script, target.url)
        release.set()
    assert run.failure is not None
    assert run.failure.kind is FailureKind.TIMEOUT
    [exchange] = run.steps[0].exchanges
    assert exchange.phases.wait_ns > 1e9


async def test_clean_up_runs_last_in_first_out_whatever_happened() -> None:
    """Each action is a recorded step; a failing one harms neither the run nor the others."""

    async def script(probe: Journey) -> None:
        async with probe.step("make"):
            for name in ("first", "second", "third"):
                probe.on_cleanup(f"delete {name}", deleting(probe, name), undoes=probe.made("upload", name))
            probe.expect("made", ok=True, expected=3, found=3)
        kept = probe.made("quote", "q-1", sha256="ab")
        kept.fate, kept.read_back = "kept", True
        probe.on_cleanup("crash", crash, undoes=probe.made("other", "o-1"))

    def deleting(probe: Journey, name: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - a local closure
        async def delete() -> None:
            await probe.request("DELETE", f"{target.url}/{'status/500' if name == 'second' else 'ok'}")

        return delete

    async def crash() -> None:
        raise ValueError("a slip in the clean-up")

    async with open_target() as target:
        run = await run_script(script, target.url)
    assert run.outcome is Outcome.PASS
    assert [(step.name, step.cleanup, step.outcome) for step in run.steps] == [
        ("make", False, Outcome.PASS),
        ("crash", True, Outcome.INCONCLUSIVE),
        ("delete third", True, Outcome.PASS),
        ("delete second", True, Outcome.FAIL),
        ("delete first", True, Outcome.PASS),
    ]
    fates = {effect.name: effect.fate for effect in run.side_effects}
    assert fates == {"first": "deleted", "second": "failed", "third": "deleted", "q-1": "kept", "o-1": "failed"}
    assert {effect.name: effect.detail for effect in run.side_effects}["second"].endswith("as you asked")
    assert run.side_effects[3].read_back is True


@pytest.mark.parametrize("ending", ["fails", "crashes", "runs out of time"])
async def test_clean_up_runs_after_every_ending(ending: str) -> None:
    """Whatever the run's own time limit says."""

    async def script(probe: Journey) -> None:
        probe.on_cleanup("undo", undo)
        async with probe.step("work"):
            match ending:
                case "fails":
                    probe.fail(FailureKind.ASSERTION, "no")
                case "crashes":
                    raise ValueError("no")
                case _:
                    await probe.sleep(1000)

    async def undo() -> None:
        undone.append(ending)

    undone: list[str] = []
    run = await run_script(script, clock=JumpingClock())
    assert undone == [ending]
    assert run.steps[-1].cleanup


async def test_clean_up_has_a_short_deadline_and_a_budget() -> None:
    """A platform that hangs cannot hold a run up for ever; what was left undone is said."""

    async def script(probe: Journey) -> None:
        async def hang() -> None:
            await probe.sleep(1000)

        async with probe.step("make"):
            for number in range(10):
                probe.on_cleanup(f"delete {number}", hang, undoes=probe.made("upload", str(number)))

    run = await run_script(script, clock=JumpingClock())
    cleanups = [step for step in run.steps if step.cleanup]
    assert [step.duration_ns for step in cleanups] == [5_000_000_000] * 6 + [0] * 4
    assert cleanups[-1].failure is not None
    assert "not cleaned up" in cleanups[-1].failure.message
    assert {effect.fate for effect in run.side_effects} == {"failed"}


async def test_a_stopped_run_is_cleaned_up_recorded_and_inconclusive() -> None:
    """The record comes back, and the task still knows that it was cancelled."""

    async def script(probe: Journey) -> None:
        probe.on_cleanup("undo", undo)
        async with probe.step("wait"):
            started.set()
            await asyncio.Event().wait()

    async def undo() -> None:
        await asyncio.sleep(0)
        undone.set()

    async def supervise() -> int:
        run = await run_script(script)
        assert run.outcome is Outcome.INCONCLUSIVE
        assert run.failure is not None
        assert run.failure.kind is FailureKind.ABORTED
        assert run.failed_step == "wait"
        assert [step.name for step in run.steps] == ["wait", "undo"]
        task = asyncio.current_task()
        return task.cancelling() if task else 0

    started, undone = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervise())
        await started.wait()
        task.cancel()
    assert undone.is_set()
    assert task.result() == 1


async def test_a_stop_in_the_middle_of_the_clean_up_lets_it_end() -> None:
    """The first one always does, wherever in the run it comes; the second does not."""

    async def script(probe: Journey) -> None:
        """Everything is done when the stop comes."""
        probe.on_cleanup("first made", undo, undoes=probe.made("upload", "a"))
        probe.on_cleanup("last made", undo, undoes=probe.made("upload", "b"))
        async with probe.step("ask"):
            probe.expect("here", ok=True, expected=1, found=1)

    async def undo() -> None:
        cleaning.set()
        await go_on.wait()

    cleaning, go_on = asyncio.Event(), asyncio.Event()
    for stops, fate in ((1, "deleted"), (2, "failed")):
        cleaning.clear()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(run_script(script))
            await cleaning.wait()
            for _ in range(stops):
                task.cancel()
                await asyncio.sleep(0)
            if stops == 1:
                go_on.set()
        run = task.result()
        go_on.clear()
        assert [step.name for step in run.steps] == ["ask", "last made", "first made"]
        assert {effect.fate for effect in run.side_effects} == {fate}
        assert run.outcome is Outcome.PASS
        assert task.cancelling() == stops


async def test_a_second_stop_cuts_the_clean_up_short() -> None:
    """What is left undone is recorded as such, and the record still comes back."""

    async def script(probe: Journey) -> None:
        probe.on_cleanup("never begun", crash, undoes=probe.made("upload", "a"))
        probe.on_cleanup("cut short", hang, undoes=probe.made("upload", "b"))
        async with probe.step("wait"):
            started.set()
            await asyncio.Event().wait()

    async def hang() -> None:
        cleaning.set()
        await asyncio.Event().wait()

    async def crash() -> None:
        raise AssertionError("not reached")

    started, cleaning = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_script(script))
        await started.wait()
        task.cancel()
        await cleaning.wait()
        task.cancel()
    run = task.result()
    assert [step.name for step in run.steps] == ["wait", "cut short", "never begun"]
    assert all(step.failure is not None and step.failure.kind is FailureKind.ABORTED for step in run.steps)
    assert {effect.fate for effect in run.side_effects} == {"failed"}


async def test_our_own_delay_is_not_charged_to_the_platform() -> None:
    """A loop that was blocked for a third of a second makes the run inconclusive; the raw outcome is kept."""

    async def script(probe: Journey) -> None:
        async with probe.step("ask"):
            time.sleep(0.35)  # noqa: ASYNC251 - blocking the loop is the fault under test
            probe.fail(FailureKind.TIMEOUT, "looked late")

    async with FitnessSampler() as fitness:
        run = await run_script(script, fitness=fitness)
    assert run.outcome is Outcome.INCONCLUSIVE
    assert run.attributes["run.raw_outcome"] == "fail"
    assert run.fitness is not None
    assert "our event loop was late" in run.fitness.reasons[0]
    assert run.steps[0].outcome is Outcome.FAIL


async def test_a_delay_between_steps_harms_no_measurement() -> None:
    """Making a large part before the step blocks the loop, and no clock was running."""

    async def script(probe: Journey) -> None:
        time.sleep(0.35)  # noqa: ASYNC251 - blocking the loop is the fault under test
        async with probe.step("ask"):
            probe.expect("here", ok=True, expected=1, found=1)

    async with FitnessSampler() as fitness:
        run = await run_script(script, fitness=fitness)
    assert run.outcome is Outcome.PASS
