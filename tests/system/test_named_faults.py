"""Every named fault of the stand-in fails exactly the scenarios that its row in the one table says, and nothing else.

For each row the scenarios are run through the real wiring and compared with the row: the step, the kind, and that everything
else passes. So that this fits into every CI run, they read the stand-in's description with fewer parts (one large one, two
small formats, four bad files), and only some of those that must pass are run, see `Stage.seen_often`. The table over the whole
list, with every scenario in every row and with rows that differ by an argument only, is `slow`. In rows whose runs end by a
deadline the description's own deadlines are shorter, and the scenarios wait together. A run that this host was unfit for is
made again; see `fault_runs`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import pytest
import pytest_asyncio

from probes.records import Outcome, Run, Step
from tests.system.fault_runs import RATED_RUNS, Stage, describe, endings_of, measured, open_stage, statuses_pass
from tests.system.fault_table import (
    DOCUMENT,
    FIRST_STEPS,
    NOTHING,
    NOTICES,
    PASSES,
    ROWS,
    Ending,
    FaultRow,
    documented,
    render,
)

# Fifteen journeys at once fill this machine: beside another test the host is unfit, and then a row says nothing.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.serial]
OFTEN = tuple(row for row in ROWS if row.often)
NO_FAULT = FaultRow("")
NO_FAULT_TLS = FaultRow("", tls=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    """Two stand-ins, a browser and the engines, for all tests here."""
    async with open_stage() as opened:
        yield opened


def expected(names: Collection[str], row: FaultRow) -> dict[str, object]:
    """The row as `endings_of` tells it, for these scenarios."""
    return {
        name: {Ending(step, ending.kind) for step in (ending.step, ending.then) if step}
        for name, ending in row.fails.items()
        if name in names
    }


async def status_alone(stage: Stage, row: FaultRow, runs: list[Run]) -> str:
    """What a check of statuses makes of the requests of the steps that failed, and of the pages that did not load."""
    failed = [step for run in runs if run.outcome is Outcome.FAIL for step in run.steps if is_failed(step)]
    if not failed:
        return NOTHING
    passes = statuses_pass(exchange for step in failed for exchange in step.exchanges)
    if any(step.name == "load" for step in failed):
        passes = passes and all(0 < status < 400 for status in await stage.page_statuses(row))
    return PASSES if passes else NOTICES


def is_failed(step: Step) -> bool:
    """True for a step of the journey that failed."""
    return step.failure is not None and not step.cleanup


@pytest.mark.timeout(400)
@pytest.mark.parametrize("row", [NO_FAULT, NO_FAULT_TLS, *OFTEN], ids=str)
async def test_a_fault_fails_what_its_row_says_and_nothing_else(stage: Stage, row: FaultRow) -> None:
    """Step and kind of every failing scenario, a pass of every other one; and what statuses alone would have said."""
    names = stage.seen_often(row)
    runs = await stage.run_row(row, names, fewer_parts=True)
    assert {run.identity.scenario for run in runs} == names
    assert endings_of(runs) == expected(names, row), describe(runs)
    assert await status_alone(stage, row, runs) == row.status_alone


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("row", [NO_FAULT, NO_FAULT_TLS, *ROWS], ids=str)
async def test_a_fault_fails_what_its_row_says_with_every_part(stage: Stage, row: FaultRow) -> None:
    """The same with every scenario and the whole list of parts of the built-in description."""
    runs = await stage.run_row(row, stage.runnable, fewer_parts=False)
    assert endings_of(runs) == expected(stage.runnable, row), describe(runs)
    assert await status_alone(stage, row, runs) == row.status_alone


async def test_every_run_sees_each_named_fault_fail_all_that_its_row_names(stage: Stage) -> None:
    """What the short table leaves out is a browser that would only see the same again."""
    seen: dict[str, set[str]] = {}
    named: dict[str, set[str]] = {}
    for row in OFTEN:
        named.setdefault(row.name, set()).update(row.fails.keys() & stage.runnable)
        seen.setdefault(row.name, set()).update(row.fails.keys() & stage.seen_often(row))
    late = {name: lacking for name in named if (lacking := named[name] - seen[name])}
    assert late == {"one-region-down": {"widget-load", "widget-quote"}}
    assert stage.seen_often(NO_FAULT) == stage.seen_often(NO_FAULT_TLS) == stage.runnable


async def test_every_named_fault_and_every_scenario_has_its_place_in_the_table(stage: Stage) -> None:
    """The stand-in's own list and the registry decide, so that a new fault or scenario without a row is noticed."""
    known = await stage.control("GET", path="/faults/known")
    assert isinstance(known, dict)
    assert {fault["name"] for fault in known["faults"]} == {row.name for row in OFTEN}
    assert len({row.fault for row in ROWS}) == len(ROWS)
    assert set(stage.registry.names()) == set(FIRST_STEPS)


async def test_statuses_alone_miss_most_named_faults() -> None:
    """Of the faults that fail something, most answer every request with a status below 400; the rows above prove each."""
    plain = [row for row in ROWS if row.fault == row.name and row.fails]
    missed = {row.name for row in plain if row.status_alone == PASSES}
    assert len(missed) > len(plain) / 2
    assert {"null-health", "stub-geometry", "zero-price", "widget-blank", "never-finishes", "auth-fallback"} <= missed


async def test_the_document_shows_this_table() -> None:
    """`python -m tests.system.fault_table` writes it there."""
    assert documented(DOCUMENT.read_text("utf-8")) == render()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_rate_hits_that_share_of_the_runs_and_the_same_ones_again(stage: Stage, seed: int) -> None:
    """Every hit is one failing run, no other run fails, and the seed alone decides which."""
    outcomes = [await stage.outcomes("web-health", "error-5xx:route=health.web@0.1", seed=seed) for _ in range(2)]
    assert outcomes[0] == outcomes[1]
    assert await stage.outcomes("web-health", "error-5xx:route=health.web@0.1", seed=seed + 2) != outcomes[0]
    failed, hit = outcomes[0]
    assert 0 < len(failed) == hit < RATED_RUNS / 2


@pytest.mark.parametrize(
    ("scenario", "fault", "code"),
    [
        ("web-health", "error-5xx:route=health.web,status=500", "500"),
        ("sign-in", "error-5xx:route=session,status=504", "504"),
        ("sign-in", "rate-limit:route=signin,retry_after_s=7", "Retry-After: 7"),
        ("cad-small", "reset-mid-upload:after=0", "ECONNRESET"),
    ],
)
async def test_arguments_of_a_fault_show_in_the_failure(stage: Stage, scenario: str, fault: str, code: str) -> None:
    """What was asked for is what happened, and the message tells it."""
    async with stage.fault(fault):
        run = await measured(stage.registry.get(scenario), stage.environment(), seed=1)
    assert run.failure is not None
    assert code in f"{run.failure.error_type} {run.failure.message}"


async def test_a_slow_platform_passes_and_its_times_say_so(stage: Stage) -> None:
    """`slow` fails nothing: every answer is right, and each took at least as long as it was held back."""
    async with stage.fault("slow:ms=400"):
        run = await measured(stage.registry.get("web-health"), stage.environment(), seed=1)
    assert run.outcome is Outcome.PASS
    # It is held back from when its last byte has left, and that is known a moment later than it is so.
    phases = [exchange.phases for step in run.steps for exchange in step.exchanges]
    assert len(phases) == 2
    assert all((one.send_ns + one.wait_ns) / 1e9 >= 0.4 for one in phases)
