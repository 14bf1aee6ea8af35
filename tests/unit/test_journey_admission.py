"""Which scenario may run against which target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from probes.admission import refusal
from probes.clock import SystemClock
from probes.errors import OperatorError
from probes.execute import RunEnvironment, run_scenario
from probes.http import HttpEngine
from probes.journey import Journey
from probes.registry import ScenarioSpec, scenario, spec_of
from probes.target_model import Permissions
from tests.target_kit import target_at

TARGET = target_at("http://127.0.0.1:9")


def heading(*, writes: bool = False, payment: bool = False, needs: tuple[str, ...] = ()) -> ScenarioSpec:
    """A scenario that asks for this much."""

    @scenario("a-scenario", writes=writes, payment=payment, needs=needs)
    async def script(probe: Journey) -> None:
        """Never runs here."""
        raise AssertionError(probe.run_id)

    return spec_of(script)


def test_a_reading_scenario_may_run_anywhere() -> None:
    """Nothing asked, nothing refused."""
    assert refusal(heading(), TARGET) is None


def test_writing_needs_permission() -> None:
    """A target that does not say so is not written to."""
    refused = refusal(heading(writes=True), TARGET)
    assert refused is not None
    assert "does not allow that" in str(refused)
    assert refusal(heading(writes=True), replace(TARGET, allows=Permissions(writes=True))) is None


def test_paying_needs_a_test_mode() -> None:
    """No real money moves."""
    refused = refusal(heading(payment=True), replace(TARGET, allows=Permissions(writes=True)))
    assert refused is not None
    assert "test mode" in str(refused)
    assert refusal(heading(payment=True), replace(TARGET, allows=Permissions(payment="test"))) is None


def test_an_operation_that_the_target_lacks_is_named() -> None:
    """The person knows what to describe."""
    refused = refusal(heading(needs=("upload", "widget")), TARGET)
    assert refused is not None
    assert "needs upload, widget" in str(refused)


async def test_a_refused_scenario_sends_nothing() -> None:
    """`run_scenario` raises before the script is called."""
    async with HttpEngine() as engine:
        environment = RunEnvironment(clock=SystemClock(), http=engine, target=TARGET)
        with pytest.raises(OperatorError, match="does not allow"):
            await run_scenario(heading(writes=True), environment=environment)
