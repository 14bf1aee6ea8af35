"""Every built-in scenario against the stand-in that comes with the fleet: it passes, and leaves nothing behind."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from console.stand_in import StandIn, start_stand_in
from probes.execute import RunEnvironment
from probes.records import Outcome, Run
from tests.scenario_kit import describe, open_scenario_environment, run_built_in, target_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

STEPS = {
    "api-health": ["api-health", "cad-health", "api-health"],
    "web-health": ["web-health"],
    "sign-in": ["sign-in", "session", "wrong-password"],
    "widget-load": ["load"],
    "cad-small": ["upload", "analyse", "read-back"] * 7,
    "cad-large": ["upload", "analyse"] * 2,
    "cad-over-limit": ["refuse", "upload"],
    "quote": ["sign-in", "upload", "analyse", "dfm", "price", "quote", "read-back"],
    "widget-quote": ["load", "upload", "analyse", "price", "quote"],
    "payment": ["sign-in", "upload", "analyse", "dfm", "price", "quote", "read-back", "checkout", "settle"],
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand_in() -> AsyncIterator[StandIn]:
    """One healthy stand-in for all tests of this file."""
    async with start_stand_in() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def environment(stand_in: StandIn) -> AsyncIterator[RunEnvironment]:
    """Real engines around it."""
    async with open_scenario_environment(target_of(stand_in)) as opened:
        yield opened


@pytest.mark.parametrize("name", STEPS)
async def test_every_scenario_passes_on_a_healthy_platform(name: str, environment: RunEnvironment) -> None:
    """Its steps have the names that service levels select on, and whatever it made is deleted or known to be kept."""
    run = await run_built_in(name, environment)
    assert run.outcome is Outcome.PASS, describe(run)
    assert [step.name for step in run.steps if not step.cleanup] == STEPS[name]
    expect_clean(run)


async def test_each_bad_file_gets_a_clean_answer(environment: RunEnvironment) -> None:
    """One step a file, none of them hostile, none of them quoted."""
    run = await run_built_in("cad-invalid", environment)
    assert run.outcome is Outcome.PASS, describe(run)
    rejected = [str(step.attributes["cad.part"]) for step in run.steps if step.name == "reject"]
    assert len(rejected) == len(set(rejected)) >= 30
    assert "inv-zip_slip.3mf" not in rejected
    assert not [effect for effect in run.side_effects if effect.kind == "quote"]
    expect_clean(run)


async def test_what_scenarios_make_is_gone_afterwards(stand_in: StandIn, environment: RunEnvironment) -> None:
    """The platform's own count says so, for uploads and quotes alike."""
    before = counts(stand_in)
    for name in ("quote", "cad-small"):
        run = await run_built_in(name, environment)
        assert run.outcome is Outcome.PASS, describe(run)
    after = counts(stand_in)
    for kind in ("objects", "quotes"):
        made = after["made"].get(kind, 0) - before["made"].get(kind, 0)
        deleted = after["deleted"].get(kind, 0) - before["deleted"].get(kind, 0)
        assert made == deleted > 0, kind


async def test_small_files_are_read_back_by_hash(environment: RunEnvironment) -> None:
    """What the platform stored is what was sent."""
    run = await run_built_in("cad-small", environment)
    assert {effect.read_back for effect in run.side_effects} == {True}, describe(run)


async def test_every_made_object_carries_the_run_id(environment: RunEnvironment) -> None:
    """Somebody who finds one on the platform can find the run."""
    run = await run_built_in("widget-quote", environment)
    uploads = [effect for effect in run.side_effects if effect.kind == "upload"]
    assert uploads, describe(run)
    assert all(effect.name.startswith(run.run_id) for effect in uploads)


async def test_no_secret_stands_in_a_record(environment: RunEnvironment) -> None:
    """Neither the password nor a token, whatever fails or passes."""
    run = await run_built_in("sign-in", environment)
    assert "probe-password" not in repr(run)


def expect_clean(run: Run) -> None:
    """Nothing is left without a word about it."""
    for effect in run.side_effects:
        assert effect.fate == "deleted" or (effect.fate == "kept" and effect.detail), describe(run)


def counts(stand_in: StandIn) -> dict[str, dict[str, int]]:
    """What the stand-in says that it made and deleted."""
    with urllib.request.urlopen(f"{stand_in.urls['control']}/stats", timeout=5) as answer:  # noqa: S310 - our own, http
        found: dict[str, dict[str, int]] = json.load(answer)
    return found
