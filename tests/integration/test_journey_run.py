"""Scripts, really run: the real executor and engine against a real server."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from probes.clock import SystemClock
from probes.errors import DependencyError, OperatorError
from probes.execute import RunEnvironment, run_scenario
from probes.http import BytesBody, HttpEngine
from probes.journey import Journey
from probes.records import FailureKind, Outcome, Step
from probes.registry import scenario, spec_of
from probes.wire import parse_run, render_run
from tests.clock import JumpingClock
from tests.journey_kit import Watcher, open_target, run_script
from tests.target_kit import target_at


def about(part_id: str) -> dict[str, Any]:
    """The attributes that tell steps of one name apart."""
    return {"cad.part": part_id}


async def test_a_journey_that_holds_passes_and_its_record_tells_all() -> None:
    """Steps, exchanges, expectations and attributes are where they belong, and times lie within each other."""

    async def script(probe: Journey) -> None:
        async with probe.step("health") as step:
            response = await probe.request("GET", f"{target.url}/ok")
            probe.expect_equal("status", probe.json(response, "status"), "healthy")
            step.set("answer.bytes", len(response.body))
        async with probe.step("upload", **about("bracket")):
            await probe.request("POST", f"{target.url}/status/201", body=BytesBody(b"x" * 1000), accept=(201,))

    async with open_target() as target:
        run = await run_script(script, target.url)
    assert (run.outcome, run.failure, run.failed_step) == (Outcome.PASS, None, "")
    assert [step.name for step in run.steps] == ["health", "upload"]
    health, upload = run.steps
    assert [check.name for check in health.expectations] == ["status"]
    assert health.attributes["answer.bytes"] == len(b'{"status": "healthy", "parts": [{"id": 7}]}')
    assert upload.attributes == {"cad.part": "bracket"}
    assert upload.exchanges[0].status == 201
    assert health.started_ns + health.duration_ns <= upload.started_ns
    assert upload.started_ns + upload.duration_ns <= run.duration_ns
    for step in run.steps:
        [exchange] = step.exchanges
        assert step.started_ns <= exchange.started_ns
        assert exchange.started_ns + exchange.phases.total_ns <= step.started_ns + step.duration_ns
    assert parse_run(render_run(run)) == run


async def test_every_request_carries_who_asks() -> None:
    """Run id, trace context with a fresh span, and our name; the script's own headers win."""

    async def script(probe: Journey) -> None:
        async with probe.step("twice"):
            await probe.request("GET", f"{target.url}/ok")
            await probe.request("GET", f"{target.url}/ok", headers={"x-request-id": "mine"})

    async with open_target() as target:
        run = await run_script(script, target.url)
        first, second = (headers for _, _, headers in target.seen)
    assert first["x-request-id"] == run.run_id
    assert second["x-request-id"] == "mine"
    assert first["User-Agent"].startswith("probe-fleet/")
    assert re.fullmatch(rf"00-{run.trace_id}-[0-9a-f]{{16}}-01", first["traceparent"])
    assert first["traceparent"] != second["traceparent"]


async def test_a_check_after_the_border_is_charged_to_the_step_before() -> None:
    """Its verdict changes, its time does not, and an observer is told again."""

    async def script(probe: Journey) -> None:
        async with probe.step("analyse"):
            await probe.sleep(2)
        await probe.sleep(3)
        probe.expect_equal("volume", 1, 2)

    watcher = Watcher()
    clock = JumpingClock()
    run = await run_script(script, clock=clock, observer=watcher)
    [step] = run.steps
    assert (step.outcome, step.duration_ns, run.failed_step) == (Outcome.FAIL, 2_000_000_000, "analyse")
    assert run.duration_ns == 5_000_000_000
    assert [told.outcome for told in watcher.finished] == [Outcome.PASS, Outcome.FAIL]


async def test_a_steps_time_is_exact_when_it_fails() -> None:
    """Between the borders, and nothing else."""

    async def script(probe: Journey) -> None:
        await probe.sleep(1)
        async with probe.step("slow"):
            await probe.sleep(7)
            probe.fail(FailureKind.ASSERTION, "no good")

    run = await run_script(script, clock=JumpingClock())
    assert (run.steps[0].started_ns, run.steps[0].duration_ns) == (1_000_000_000, 7_000_000_000)


async def test_a_step_that_may_fail_lets_the_journey_go_on() -> None:
    """All findings are recorded; the run fails with the first of them."""

    async def script(probe: Journey) -> None:
        for name in ("empty", "fine", "garbage"):
            async with probe.step("reject", keep_going=True, **about(name)) as step:
                probe.expect("refused", name == "fine", expected="a refusal", found="accepted")
            assert (step.failure is None) == (name == "fine")
        probe.expect("after the last", ok=False, expected=1, found=2)
        async with probe.step("end"):
            pass

    run = await run_script(script)
    assert [step.outcome for step in run.steps] == [Outcome.FAIL, Outcome.PASS, Outcome.FAIL, Outcome.PASS]
    assert run.outcome is Outcome.FAIL
    assert run.failed_step == "reject"
    assert run.steps[2].failure is not None
    assert run.steps[2].failure.message.startswith("refused: ")


async def test_a_crash_in_a_step_that_may_fail_still_ends_the_journey() -> None:
    """`keep_going` forgives the target, not the script."""

    async def script(probe: Journey) -> None:
        async with probe.step("reject", keep_going=True):
            raise LookupError("in the script")
        raise AssertionError("not reached")

    run = await run_script(script)
    assert run.outcome is Outcome.INCONCLUSIVE
    assert run.failure is not None
    assert run.failure.error_type == "LookupError"


async def test_several_requests_at_once_report_the_targets_fault() -> None:
    """A script may use a task group; what is in the group decides whose fault it is."""

    async def script(probe: Journey) -> None:
        async with probe.step("both"), asyncio.TaskGroup() as group:
            group.create_task(probe.request("GET", f"{target.url}/status/500"))
            group.create_task(probe.request("GET", f"{target.url}/status/500"))

    async with open_target() as target:
        run = await run_script(script, target.url)
    assert run.outcome is Outcome.FAIL
    assert run.failure is not None
    assert run.failure.kind is FailureKind.STATUS


@pytest.mark.parametrize(
    "error", [KeyError("x"), OperatorError("no secret"), DependencyError("no disk"), TimeoutError()]
)
async def test_what_a_script_raises_itself_is_ours_with_its_line(error: Exception) -> None:
    """Kind internal, inconclusive, and a place to look at."""

    async def script(probe: Journey) -> None:
        async with probe.step("work"):
            raise error

    run = await run_script(script)
    assert run.outcome is Outcome.INCONCLUSIVE
    assert run.failure is not None
    assert run.failure.kind is FailureKind.INTERNAL
    assert run.failure.error_type == type(error).__name__
    assert "integration/test_journey_run.py:" in run.failure.message


@pytest.mark.parametrize("misuse", ["nested", "twice", "request", "part", "expectation"])
async def test_misuse_of_the_journey_is_refused_with_the_line_of_the_script(misuse: str) -> None:
    """A script that would measure something wrong is told so, and the platform is not charged."""

    async def script(probe: Journey) -> None:
        if misuse == "request":
            await probe.request("GET", "http://127.0.0.1:9/")
        if misuse == "expectation":
            probe.expect("x", ok=False, expected=1, found=2)
        if misuse == "twice":
            once = probe.step("once")
            for _ in range(2):
                async with once:
                    pass
        async with probe.step("outer"):
            if misuse == "part":
                probe.part("bracket")
            async with probe.step("inner"):
                pass

    run = await run_script(script)
    assert run.outcome is Outcome.INCONCLUSIVE
    assert run.failure is not None
    assert run.failure.error_type == "BugError"
    assert "integration/test_journey_run.py:" in run.failure.message


async def test_secrets_are_masked_in_messages_urls_and_expectations() -> None:
    """Whatever a script was told to hide stands nowhere in the record."""

    async def script(probe: Journey) -> None:
        token = probe.hide("s3cret/token")
        async with probe.step("ask", keep_going=True):
            await probe.request("GET", f"{target.url}/status/500?token={token}")
        async with probe.step("check", keep_going=True):
            probe.expect_equal("token", token, "another")
        async with probe.step("say", keep_going=True):
            probe.fail(FailureKind.ASSERTION, f"it was {token}")
        async with probe.step("crash"):
            raise ValueError(token)

    async with open_target() as target:
        run = await run_script(script, target.url)
    text = render_run(run).decode()
    assert text.count("***") >= 5
    assert "s3cret" not in text


class Grumbler(Watcher):
    """Raises at the first word."""

    def step_finished(self, step: Step) -> None:
        """Fail."""
        super().step_finished(step)
        raise RuntimeError("the screen is gone")


async def test_an_observer_sees_steps_and_bytes() -> None:
    """Enough for a screen that moves while a large part goes up."""

    async def script(probe: Journey) -> None:
        async with probe.step("upload"):
            await probe.request("POST", f"{target.url}/ok", body=BytesBody(b"x" * 300_000))

    watcher = Watcher()
    async with open_target() as target:
        run = await run_script(script, observer=watcher)
    assert watcher.runs == [(run.run_id, "a-script")]
    assert watcher.started == [("upload", {})]
    assert watcher.sent_bytes[-1] == (300_000, 300_000)
    assert tuple(watcher.finished) == run.steps


async def test_an_observer_that_fails_is_left_alone() -> None:
    """Progress on a screen never ends a measurement."""

    async def script(probe: Journey) -> None:
        for name in ("one", "two"):
            async with probe.step(name):
                probe.expect("here", ok=True, expected=1, found=1)

    watcher = Grumbler()
    run = await run_script(script, observer=watcher)
    assert run.outcome is Outcome.PASS
    assert [step.name for step in watcher.finished] == ["one"]


async def test_slot_schedule_seed_and_names_reach_the_record() -> None:
    """What the caller knows is in the record as it was given."""

    async def script(probe: Journey) -> None:
        """Draws nothing."""
        async with probe.step("see"):
            probe.expect_equal("seed", probe.seed, 7)

    slot_at = datetime(2026, 3, 1, tzinfo=UTC)
    async with HttpEngine() as engine:
        environment = RunEnvironment(
            clock=SystemClock(), http=engine, target=target_at("http://127.0.0.1:9"), fleet="f", region="eu", probe="p"
        )
        spec = spec_of(scenario("named")(script))
        run = await run_scenario(
            spec, environment=environment, slot_at=slot_at, scheduled_at=slot_at, schedule_lag_ns=5, attempt=2, seed=7
        )
    identity = run.identity
    assert (identity.fleet, identity.region, identity.probe, identity.scenario) == ("f", "eu", "p", "named")
    assert (identity.slot_at, identity.attempt, run.scheduled_at, run.schedule_lag_ns) == (slot_at, 2, slot_at, 5)
    assert run.outcome is Outcome.PASS
    assert run.target == "small"


async def test_a_run_cannot_be_flooded_with_exchanges() -> None:
    """Polling keeps the first and the latest exchanges, and counts the rest."""

    async def script(probe: Journey) -> None:
        async with probe.step("poll"):
            for _ in range(90):
                await probe.request("GET", f"{target.url}/ok")

    async with open_target() as target:
        run = await run_script(script, target.url)
    [step] = run.steps
    assert len(step.exchanges) == 60
    assert step.attributes["exchanges.left_out"] == 30
    starts = [exchange.started_ns for exchange in step.exchanges]
    assert starts == sorted(starts)
