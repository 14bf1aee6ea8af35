"""Every built-in scenario against the stand-in that comes with the fleet: it passes, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from console.stand_in import StandIn, start_stand_in
from probes.execute import RunEnvironment
from probes.records import Exchange, Outcome, Run
from probes.registry import load_registry
from tests.scenario_kit import describe, open_scenario_environment, run_built_in, target_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

RATE_LIMIT = 100
REGIONS = 5
IDS = re.compile(r"/(?=[^/]*\d)[^/]{8,}")

STEPS = {
    "api-health": ["api-health", "cad-health", "api-health"],
    "backups": ["list"] + ["verify"] * 30,
    "failover": ["failover", "standby"],
    "telemetry-canary": ["send-errors", "visible-errors", "send-events", "visible-events"],
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


class Runs:
    """One run of each scenario, made when a test first asks for it."""

    def __init__(self, environment: RunEnvironment) -> None:
        self._environment = environment
        self._done: dict[str, Run] = {}

    async def of(self, name: str) -> Run:
        """The run of the scenario `name`."""
        if name not in self._done:
            self._done[name] = await run_built_in(name, self._environment)
        return self._done[name]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def runs(environment: RunEnvironment) -> Runs:
    """Shared by the tests that only look."""
    return Runs(environment)


@pytest.mark.parametrize("name", STEPS)
async def test_every_scenario_passes_on_a_healthy_platform(name: str, runs: Runs) -> None:
    """Its steps have the names that service levels select on, and whatever it made is deleted or known to be kept."""
    run = await runs.of(name)
    assert run.outcome is Outcome.PASS, describe(run)
    assert [step.name for step in run.steps if not step.cleanup] == STEPS[name]
    expect_clean(run)


async def test_each_bad_file_gets_a_clean_answer(runs: Runs) -> None:
    """One step a file, none of them hostile, none of them quoted."""
    run = await runs.of("cad-invalid")
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


async def test_small_files_are_read_back_by_hash(runs: Runs) -> None:
    """What the platform stored is what was sent."""
    run = await runs.of("cad-small")
    assert {effect.read_back for effect in run.side_effects} == {True}, describe(run)


async def test_every_made_object_carries_the_run_id(runs: Runs) -> None:
    """Somebody who finds one on the platform can find the run."""
    run = await runs.of("widget-quote")
    uploads = [effect for effect in run.side_effects if effect.kind == "upload"]
    assert uploads, describe(run)
    assert all(effect.name.startswith(run.run_id) for effect in uploads)


async def test_no_secret_stands_in_a_record(runs: Runs) -> None:
    """Not the password, whatever fails or passes."""
    assert "probe-password" not in repr(await runs.of("sign-in"))


async def test_the_schedule_stays_far_below_the_rate_limit_of_every_route(runs: Runs) -> None:
    """From five regions behind one address, half of the platform's 100 requests a minute and route are not reached."""
    per_minute: defaultdict[str, float] = defaultdict(float)
    for spec in load_registry("scenarios"):
        if spec.name == "restore-drill":
            continue  # once a day, and it needs a server of its own
        for step in (await runs.of(spec.name)).steps:
            for exchange in step.exchanges:
                per_minute[route_of(exchange)] += 60 / spec.every_s * REGIONS
    busiest = max(per_minute, key=per_minute.__getitem__)
    assert 0 < per_minute[busiest] <= RATE_LIMIT / 2, (busiest, per_minute[busiest])


async def test_no_single_run_comes_near_the_rate_limit(runs: Runs) -> None:
    """Not even the one that sends all bad files in a row."""
    for name in (*STEPS, "cad-invalid"):
        seen = Counter(route_of(exchange) for step in (await runs.of(name)).steps for exchange in step.exchanges)
        assert max(seen.values(), default=0) < RATE_LIMIT, (name, seen.most_common(1))


def route_of(exchange: Exchange) -> str:
    """Method, host and path with ids left out, as a rate limit counts."""
    url = urlsplit(exchange.url)
    return f"{exchange.method} {url.netloc}{IDS.sub('/*', url.path)}"


def expect_clean(run: Run) -> None:
    """Nothing is left without a word about it."""
    for effect in run.side_effects:
        assert effect.fate == "deleted" or (effect.fate == "kept" and effect.detail), describe(run)


def counts(stand_in: StandIn) -> dict[str, dict[str, int]]:
    """What the stand-in says that it made and deleted."""
    with urllib.request.urlopen(f"{stand_in.urls['control']}/stats", timeout=60) as answer:  # noqa: S310 - our own, http
        found: dict[str, dict[str, int]] = json.load(answer)
    return found
