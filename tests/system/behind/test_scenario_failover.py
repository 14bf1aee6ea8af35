"""A failover of the real stand-in, watched from outside: how long nobody answered, and that nothing is induced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.stand_in import StandIn
from probes.execute import RunEnvironment, run_scenario
from probes.records import FailureKind, Outcome
from probes.registry import load_registry
from probes.target_behind import Failover
from tests.scenario_kit import control, describe, run_built_in, step_named

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


def watching(environment: RunEnvironment, **changes: float) -> RunEnvironment:
    """The stand-in's failover with other times."""
    described = Failover(every_s=0.1, watch_s=0.3, within_s=20, ask_s=2)
    return replace(environment, target=replace(environment.target, failover=described.model_copy(update=changes)))


async def test_an_induced_failover_is_measured_and_healed_by_itself(
    stand_in: StandIn, environment: RunEnvironment
) -> None:
    """The standby answers after some seconds; the outage is no longer than that, give or take a question, and is seen."""
    spec = load_registry("scenarios").get("failover")  # before the outage: on a busy machine it might be over by then
    control(stand_in, "POST", "/failover", {"after_s": 3})
    try:
        run = await run_scenario(spec, environment=watching(environment))
    finally:
        control(stand_in, "DELETE", "/failover")
    assert run.outcome is Outcome.PASS, describe(run)
    found = step_named(run, "failover").attributes
    assert found["failover.self_healed"] is True
    assert found["failover.begin_seen"] is False
    assert found["failover.served_by"] == "standby"
    assert 0.5 < float(found["failover.outage_s"]) < 10


async def test_a_service_that_does_not_come_back_fails_with_what_was_found(
    stand_in: StandIn, environment: RunEnvironment
) -> None:
    """Not healed, at least so long, and the kind of the last answer."""
    control(stand_in, "POST", "/failover", {"after_s": 600})
    try:
        run = await run_built_in("failover", watching(environment, within_s=0.5))
    finally:
        control(stand_in, "DELETE", "/failover")
    assert run.failure is not None
    assert (run.failed_step, run.failure.kind) == ("failover", FailureKind.CONNECT), describe(run)
    found = step_named(run, "failover").attributes
    assert found["failover.self_healed"] is False
    assert float(found["failover.outage_s"]) >= 0.5


async def test_without_an_outage_there_is_no_figure(environment: RunEnvironment) -> None:
    """A failover that was not seen is neither good nor bad: no zero seconds that would count as a success."""
    run = await run_built_in("failover", watching(environment))
    assert run.outcome is Outcome.PASS, describe(run)
    found = step_named(run, "failover").attributes
    assert found["failover.seen"] is False
    assert not {"failover.outage_s", "failover.self_healed"} & set(found)


# --- one region


async def test_only_the_probes_of_the_named_region_find_it_down(stand_in: StandIn, environment: RunEnvironment) -> None:
    """Each request says where its probe is; the others pass at the same time."""
    control(stand_in, "PUT", "/faults", {"faults": [{"name": "one-region-down", "args": {"region": "eu-west"}}]})
    try:
        here = await run_built_in("web-health", replace(environment, region="eu-west"))
        there = await run_built_in("web-health", replace(environment, region="us-east"))
    finally:
        control(stand_in, "DELETE", "/faults")
    assert (here.outcome, there.outcome) == (Outcome.FAIL, Outcome.PASS), describe(here) + describe(there)
    assert here.failure is not None
    assert here.failure.kind is FailureKind.CONNECT
