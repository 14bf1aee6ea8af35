"""Runs on demand beside a control target: when it does not answer either, the trouble is on our side, whatever was found."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from probes.clock import SystemClock
from probes.execute import RunEnvironment, run_scenario
from probes.fitness_control import ControlTarget
from probes.fitness_responder import open_responder
from probes.http import HttpEngine
from probes.journey import Journey
from probes.records import FailureKind, Outcome, Run
from probes.registry import ScenarioSpec, scenario, spec_of
from tests.journey_kit import SmallTarget, open_target
from tests.target_kit import target_at

NOBODY = "http://127.0.0.1:9/"


def asking_for(url: str) -> ScenarioSpec:
    """A script of one request."""

    @scenario("ask", timeout="20s")
    async def ask(probe: Journey) -> None:
        """Ask."""
        async with probe.step("ask"):
            await probe.request("GET", url)

    return spec_of(ask)


async def run_beside(control_url: str, spec: ScenarioSpec, target: SmallTarget) -> Run:
    """One run with a control target of 0.5 s."""
    async with HttpEngine() as engine:
        control = ControlTarget(control_url, engine=engine, clock=SystemClock(), deadline_s=0.5)
        environment = RunEnvironment(clock=SystemClock(), http=engine, target=target_at(target.url), control=control)
        try:
            return await run_scenario(spec, environment=environment)
        finally:
            await control.close()


@pytest.mark.parametrize(("path", "found"), [("/status/503", Outcome.FAIL), ("/ok", Outcome.PASS)])
async def test_without_an_answer_of_the_control_target_a_run_says_nothing(path: str, found: Outcome) -> None:
    """Successes too, or only failures would be dropped; what was found stands beside it."""
    async with open_target() as target:
        run = await run_beside(NOBODY, asking_for(f"{target.url}{path}"), target)
    assert run.outcome is Outcome.INCONCLUSIVE
    assert run.attributes["run.raw_outcome"] == found.value
    assert run.fitness is not None
    assert "the control target did not answer" in run.fitness.reasons[0]


async def test_with_an_answer_of_the_control_target_a_failure_is_the_platforms() -> None:
    """What failed is not that nothing could be asked from here."""
    async with open_target() as target, open_responder() as control_url:
        run = await run_beside(control_url, asking_for(f"{target.url}/status/503"), target)
    assert run.outcome is Outcome.FAIL
    assert run.failure is not None
    assert run.failure.kind is FailureKind.STATUS


async def test_a_network_that_goes_down_in_the_middle_of_a_run_is_seen_after_it() -> None:
    """The control target answered when the run began."""
    async with open_target() as target, AsyncExitStack() as until_down:
        control_url = await until_down.enter_async_context(open_responder())

        @scenario("goes-down", timeout="20s")
        async def goes_down(probe: Journey) -> None:
            """Ask, lose the network, ask again."""
            async with probe.step("ask"):
                await probe.request("GET", f"{target.url}/ok")
                await until_down.aclose()
                await probe.request("GET", NOBODY)

        run = await run_beside(control_url, spec_of(goes_down), target)
    assert (run.outcome, run.attributes["run.raw_outcome"]) == (Outcome.INCONCLUSIVE, "fail")


async def test_a_stopped_run_does_not_wait_for_the_control_target() -> None:
    """It comes back as it is, and its task stays marked as cancelled."""
    both_asked = asyncio.Event()

    async def silent(_request: object) -> None:
        if len(target.seen) == 2:
            both_asked.set()
        await asyncio.sleep(3600)

    async with open_target({"/silent": silent}) as target:  # type: ignore[dict-item] # it never answers
        task = asyncio.create_task(run_beside(f"{target.url}/silent", asking_for(f"{target.url}/silent"), target))
        await asyncio.wait_for(both_asked.wait(), 10)
        task.cancel()
        run = await task
    assert run.outcome is Outcome.INCONCLUSIVE
    assert run.failure is not None
    assert run.failure.kind is FailureKind.ABORTED
    assert run.fitness is None
    assert task.cancelling()
