"""Scripts that use a browser: a real one, through the real executor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from probes import browser_evidence, browser_health
from probes.browser import BrowserEngine, BrowserSession, ReadyCheck, find_browser
from probes.errors import DependencyError
from probes.evidence import EvidenceStore
from probes.journey import Journey
from probes.records import FailureKind, Outcome
from tests.clock import JumpingClock
from tests.journey_kit import SmallTarget, open_target, run_script

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "<!doctype html><title>Page</title><link rel=icon href=data:,><button>Go</button>"
READY = ReadyCheck(controls=("button",))
DEADLINE_S = 60.0
SHORT_S = 4.0
"""For a load that fails because its time is over: a busy host, too, has asked for the page until then."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[BrowserEngine]:
    """The browser of this host, for the whole file: each session has a context of its own."""
    try:
        choice = find_browser()
    except DependencyError as missing:
        pytest.skip(str(missing))
    async with BrowserEngine(choice) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def target() -> AsyncIterator[SmallTarget]:
    """A server with one page."""

    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text=PAGE, content_type="text/html")

    async with open_target({"/page": page}) as opened:
        yield opened


async def test_a_page_that_breaks_its_promise_fails_its_step(
    engine: BrowserEngine, target: SmallTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the page becomes the step's failure, with what it measured, and a screenshot is kept."""
    monkeypatch.setattr(browser_evidence, "SCREENSHOT_TIMEOUT_S", DEADLINE_S)
    monkeypatch.setattr(browser_health, "ANSWER_S", DEADLINE_S)

    async def script(probe: Journey) -> None:
        async with probe.browser() as session, probe.step("load", keep_going=True):
            await session.load(f"{target.url}/page", ready=ReadyCheck(controls=("#missing",)), deadline_s=SHORT_S)

    run = await run_script(script, target.url, browser=engine, evidence=EvidenceStore(tmp_path))
    assert (run.outcome, run.failed_step) == (Outcome.FAIL, "load")
    assert run.failure is not None
    assert run.failure.kind in {FailureKind.BROWSER, FailureKind.TIMEOUT}
    [loaded] = run.steps[0].pages
    assert loaded.requests >= 1
    assert "screenshot" in {item.kind for item in run.evidence}


async def test_the_time_that_a_browser_takes_to_start_is_not_taken_from_the_platforms() -> None:
    """Fifty seconds on a slow host: the platform has its thirty of the scenario's sixty all the same."""
    try:
        choice = find_browser()
    except DependencyError as missing:
        pytest.skip(str(missing))
    clock = JumpingClock()

    class SlowToStart(BrowserEngine):
        """A browser whose start takes long by the clock of the run."""

        @asynccontextmanager
        async def session(self, **options: Any) -> AsyncIterator[BrowserSession]:  # noqa: ANN401 - those of the engine
            async with super().session(**options) as session:
                clock.advance(50)
                yield session

    async def script(probe: Journey) -> None:
        async with probe.browser():
            async with probe.step("wait"):
                await probe.sleep(30)
            probe.expect("waited", ok=True, expected="30 s", found="30 s")

    async with SlowToStart(choice) as engine:
        run = await run_script(script, browser=engine, clock=clock, time_limit="60s")
    assert run.outcome is Outcome.PASS, run.failure
    assert [step.started_ns // 1_000_000_000 for step in run.steps] == [50]


async def test_a_control_that_is_not_there_is_the_pages_fault_also_for_a_script_of_its_own(
    engine: BrowserEngine, target: SmallTarget
) -> None:
    """Playwright's own time-out is a finding, not a crash of the script."""

    async def script(probe: Journey) -> None:
        async with probe.browser() as session:
            async with probe.step("load"):
                probe.record_page(await session.load(f"{target.url}/page", ready=READY, deadline_s=DEADLINE_S))
            async with probe.step("press"):
                await session.page.click("#missing", timeout=100)

    run = await run_script(script, target.url, browser=engine)
    assert (run.outcome, run.failed_step) == (Outcome.FAIL, "press")
    assert run.failure is not None
    assert run.failure.kind is FailureKind.TIMEOUT
    assert run.steps[0].outcome is Outcome.PASS


async def test_a_page_is_asked_for_with_the_name_of_the_run(engine: BrowserEngine, target: SmallTarget) -> None:
    """The server's log can tell which run it was."""

    async def script(probe: Journey) -> None:
        async with probe.browser() as session, probe.step("load"):
            probe.record_page(await session.load(f"{target.url}/page", ready=READY, deadline_s=DEADLINE_S))

    run = await run_script(script, target.url, browser=engine)
    assert run.outcome is Outcome.PASS
    agents = {headers["User-Agent"] for _, path, headers in target.seen if path == "/page"}
    assert all(run.run_id in agent for agent in agents)


@pytest.mark.parametrize("inside", [True, False])
async def test_a_browser_is_opened_outside_of_steps_and_only_where_there_is_one(inside: bool) -> None:
    """Its start would be timed as the platform's; both slips are the script's and say what to do."""

    async def script(probe: Journey) -> None:
        if not inside:
            async with probe.browser():
                pass
        async with probe.step("load"), probe.browser():
            pass

    run = await run_script(script)
    assert run.outcome is Outcome.INCONCLUSIVE
    assert run.failure is not None
    assert ("before the step" if inside else "browser=True") in run.failure.message
