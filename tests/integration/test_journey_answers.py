"""What a journey makes of answers that are not as they should be: charged to whose fault it is, with what was found."""

from __future__ import annotations

import pytest

from probes.journey import Journey
from probes.records import FailureKind, Outcome
from tests.journey_kit import open_target, run_script


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/status/500", FailureKind.STATUS, "answered 500, expected 200: as you asked"),
        ("/status/429", FailureKind.RATE_LIMITED, "Retry-After: 30"),
        ("/status/302", FailureKind.STATUS, "answered 302"),
    ],
)
async def test_an_unexpected_status_fails_the_step(path: str, kind: FailureKind, words: str) -> None:
    """The message shows request, status, what was expected and how the answer begins; nothing is tried again."""

    async def script(probe: Journey) -> None:
        async with probe.step("ask"):
            await probe.request("GET", target.url + path)
        raise AssertionError("the journey must have ended")

    async with open_target() as target:
        run = await run_script(script, target.url)
        assert len(target.seen) == 1
    assert (run.outcome, run.failed_step) == (Outcome.FAIL, "ask")
    assert run.failure is not None
    assert run.failure.kind is kind
    assert words in run.failure.message
    assert run.failure.error_type == path.rpartition("/")[2]


async def test_a_target_that_is_not_there_is_a_connect_failure_of_its_step() -> None:
    """The exchange is recorded although there was no answer."""

    async def script(probe: Journey) -> None:
        async with probe.step("ask"):
            await probe.request("GET", "http://127.0.0.1:9/")

    run = await run_script(script)
    assert run.failure is not None
    assert run.failure.kind is FailureKind.CONNECT
    assert len(run.steps[0].exchanges) == 1


async def test_a_failed_expectation_shows_expected_and_found() -> None:
    """And its record stands in the step, beside those that held."""

    async def script(probe: Journey) -> None:
        async with probe.step("check"):
            probe.expect("first", ok=True, expected="x", found="x")
            probe.expect_close("total", 10.5, 10, abs_tol=0.01)

    run = await run_script(script)
    assert run.failure is not None
    assert run.failure.kind is FailureKind.ASSERTION
    assert run.failure.message == "total: expected 10 ± 0.01, found 10.5"
    assert [check.ok for check in run.steps[0].expectations] == [True, False]


@pytest.mark.parametrize("found", [None, "10", True, float("nan"), [10]])
async def test_what_is_no_number_is_the_targets_fault_and_not_a_crash(found: object) -> None:
    """A price that is a text must not make the run inconclusive."""

    async def script(probe: Journey) -> None:
        async with probe.step("check"):
            probe.expect_close("price", found, 10, abs_tol=100)

    run = await run_script(script)
    assert run.outcome is Outcome.FAIL


@pytest.mark.parametrize("path", ["", "status"])
async def test_an_answer_that_is_not_json_is_the_targets_fault(path: str) -> None:
    """Kind assertion, with the beginning of what came instead."""

    async def script(probe: Journey) -> None:
        async with probe.step("check"):
            probe.json(await probe.request("GET", f"{target.url}/status/200"), path)

    async with open_target() as target:
        run = await run_script(script, target.url)
    assert run.failure is not None
    assert run.failure.kind is FailureKind.ASSERTION
    assert "as you asked" in run.failure.message


async def test_a_value_that_is_missing_from_an_answer_is_the_targets_fault() -> None:
    """The message names the place, and shows the answer."""

    async def script(probe: Journey) -> None:
        async with probe.step("check"):
            response = await probe.request("GET", f"{target.url}/ok")
            assert probe.json(response, "parts[0].id") == 7
            probe.json(response, "parts[0].price")

    async with open_target() as target:
        run = await run_script(script, target.url)
    assert run.failure is not None
    assert "a value at 'parts[0].price'" in run.failure.message
    assert "healthy" in run.failure.message


async def test_an_answer_that_a_path_cannot_be_applied_to_is_the_targets_fault() -> None:
    """`length` of nothing is an error of the path's language: what is missing is missing from the answer."""

    async def script(probe: Journey) -> None:
        async with probe.step("check"):
            probe.json(await probe.request("GET", f"{target.url}/ok"), "length(orders) > `0`")

    async with open_target() as target:
        run = await run_script(script, target.url)
    assert run.failure is not None
    assert run.failure.kind is FailureKind.ASSERTION


@pytest.mark.parametrize("path", ["lenght(parts)", "parts[", "length(parts, parts)"])
async def test_a_path_that_is_none_is_the_scripts_fault(path: str) -> None:
    """Whatever was answered."""

    async def script(probe: Journey) -> None:
        async with probe.step("check"):
            probe.json(await probe.request("GET", f"{target.url}/ok"), path)

    async with open_target() as target:
        run = await run_script(script, target.url)
    assert run.outcome is Outcome.INCONCLUSIVE
    assert run.failure is not None
    assert "is not a JMESPath expression" in run.failure.message
