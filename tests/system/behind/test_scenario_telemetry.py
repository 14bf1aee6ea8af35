"""The telemetry canary against the real stand-in: its markers are found again, and whose fault it is where they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp import web

from console.stand_in import StandIn
from probes.execute import RunEnvironment
from probes.records import FailureKind, Outcome
from probes.targets import load_target
from tests.journey_kit import open_target
from tests.scenario_kit import control, describe, run_built_in, step_named
from tests.unit.test_targets import REAL_VARIABLES

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_markers_are_found_again_and_the_way_is_timed(stand_in: StandIn, environment: RunEnvironment) -> None:
    """As long as they were held back, and marked as tests of this run; what remains is listed as kept."""
    control(
        stand_in, "PUT", "/faults", {"faults": [{"name": "slow-telemetry", "args": {"which": "events", "ms": 600}}]}
    )
    try:
        run = await run_built_in("telemetry-canary", environment)
    finally:
        control(stand_in, "DELETE", "/faults")
    assert run.outcome is Outcome.PASS, describe(run)
    errors, events = (step_named(run, f"visible-{kind}") for kind in ("errors", "events"))
    assert float(events.attributes["telemetry.visible_after_s"]) >= 0.6
    # From before it was sent until it was read: the step itself ends a moment later.
    read = events.exchanges[-1]
    way_ns = read.started_ns + read.phases.total_ns - step_named(run, "send-events").started_ns
    assert float(events.attributes["telemetry.visible_after_s"]) >= way_ns / 1e9 > 0.6
    assert errors.attributes["telemetry.visible_after_s"] != events.attributes["telemetry.visible_after_s"]
    assert {(effect.fate, effect.read_back) for effect in run.side_effects} == {("kept", True)}


async def test_the_real_platforms_description_speaks_to_the_same_services(
    stand_in: StandIn, environment: RunEnvironment
) -> None:
    """The built-in description with a DSN and keys in the environment, writing allowed: both markers arrive."""
    site = stand_in.urls["telemetry"]
    variables = {
        "CNC_QUOTE_SENTRY_URL": site,
        "CNC_QUOTE_SENTRY_DSN": site.replace("://", "://0123456789abcdef0123456789abcdef@") + "/1",
        "CNC_QUOTE_SENTRY_PROJECT": "stand-in/platform",
        "CNC_QUOTE_SENTRY_TOKEN": "stand-in-telemetry-reader",
        "CNC_QUOTE_POSTHOG_URL": site,
        "CNC_QUOTE_POSTHOG_KEY": "phc_stand_in",
        "CNC_QUOTE_POSTHOG_PROJECT": "1",
        "CNC_QUOTE_POSTHOG_TOKEN": "stand-in-telemetry-reader",
    }
    target = load_target("cnc-quote", environ={**REAL_VARIABLES, **variables})
    allowed = replace(target, allows=target.allows.model_copy(update={"writes": True}))
    run = await run_built_in("telemetry-canary", replace(environment, target=allowed))
    assert run.outcome is Outcome.PASS, describe(run)


async def test_a_service_that_refuses_markers_does_not_keep_the_other_from_being_asked(
    stand_in: StandIn, environment: RunEnvironment
) -> None:
    """Error tracking does not take them: analytics is asked all the same."""
    errors = environment.target.operation("send_errors")
    wrong = errors.requests[0].model_copy(update={"url": "{telemetry}/not-there"})
    operations = {**environment.target.operations, "send_errors": errors.model_copy(update={"requests": (wrong,)})}
    run = await run_built_in(
        "telemetry-canary", replace(environment, target=replace(environment.target, operations=operations))
    )
    ended = [(step.name, step.failure and step.failure.kind) for step in run.steps]
    assert ended == [("send-errors", FailureKind.STATUS), ("send-events", None), ("visible-events", None)]


async def test_a_token_of_ours_that_is_refused_says_nothing_about_the_telemetry(environment: RunEnvironment) -> None:
    """The platform sends without it: the run is inconclusive and names the secret."""
    environ = {"STAND_IN_TELEMETRY_TOKEN": "a-wrong-token"}
    run = await run_built_in(
        "telemetry-canary", replace(environment, target=replace(environment.target, environ=environ))
    )
    assert run.outcome is Outcome.INCONCLUSIVE, describe(run)
    assert run.failure is not None
    assert run.failed_step == "visible-errors"
    assert "secret.telemetry_token" in run.failure.message


async def test_a_service_that_holds_off_our_questions_says_nothing_about_the_telemetry(
    environment: RunEnvironment,
) -> None:
    """The probes of all regions ask again and again until a marker is there: their number is our doing."""

    async def too_many(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=429)

    async with open_target({"/held-off": too_many}) as service:
        operations = dict(environment.target.operations)
        reading = operations["read_errors"]
        held_off = reading.requests[0].model_copy(update={"url": "{web}/held-off"})
        operations["read_errors"] = reading.model_copy(update={"requests": (held_off,)})
        bases = {**environment.target.bases, "web": service.url}
        run = await run_built_in(
            "telemetry-canary",
            replace(environment, target=replace(environment.target, operations=operations, bases=bases)),
        )
    assert run.outcome is Outcome.INCONCLUSIVE, describe(run)
    assert run.failure is not None
    assert "holds this probe off (429)" in run.failure.message
