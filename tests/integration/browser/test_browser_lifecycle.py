"""The browser as a process: crashes are ours, nothing is left behind, and it is recycled."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import Error as PlaywrightError

from probes.browser import BrowserEngine, BrowserSession, Condition, ReadyCheck, find_browser
from probes.browser_process import ProcessGroup, all_states
from probes.errors import BugError, DependencyError
from probes.evidence import EvidenceStore
from tests.integration.browser.browser_site import Answer, Seen, Site, html, open_site

CHECK = ReadyCheck("", ("button",))
DEADLINE_S = 60.0
"""Whatever ends under a page is heard of in a moment: half of this is for hosts that are busy."""


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """One page with a button, and one that never gets it."""
    async with open_site() as opened:
        opened.routes["/"] = html("<button>Go</button>")
        opened.routes["/late"] = html("<p>still nothing</p>")
        yield opened


async def load(engine: BrowserEngine, store: EvidenceStore, url: str, deadline_s: float = DEADLINE_S) -> None:
    """One cold load."""
    async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
        await session.load(url, ready=CHECK, deadline_s=deadline_s)


def group_of(engine: BrowserEngine) -> ProcessGroup:
    """The processes of the one browser of an engine."""
    (browser,) = engine._running.values()
    return browser.group


async def eventually(holds: Callable[[], bool], deadline_s: float = DEADLINE_S) -> bool:
    """True as soon as it holds, False when it does not within the deadline."""
    until_s = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > until_s:
            return False
        await asyncio.sleep(0.02)
    return True


async def test_a_browser_killed_in_a_run_is_ours_and_the_next_session_starts_another(
    store: EvidenceStore, site: Site
) -> None:
    """DependencyError, promptly; the run after it passes."""
    async with BrowserEngine(find_browser()) as engine:
        await load(engine, store, site.url)
        group = group_of(engine)
        waiting = asyncio.ensure_future(load(engine, store, f"{site.url}/late"))
        assert await eventually(lambda: "/late" in site.paths())
        began_s = time.monotonic()
        os.kill(group.pid, signal.SIGKILL)
        with pytest.raises(DependencyError, match="Chromium"):
            await waiting
        assert time.monotonic() - began_s < DEADLINE_S / 2
        await load(engine, store, site.url)
        assert engine.launches == 2
        assert group_of(engine).pid != group.pid
    assert group.members() == ()


@pytest.mark.parametrize("site_of_frame", ["same", "other"])
async def test_a_renderer_that_crashes_is_ours(store: EvidenceStore, site: Site, site_of_frame: str) -> None:
    """The process of the page or of its frame ends: the run is inconclusive, at once, and the next one passes."""
    host = "localhost" if site_of_frame == "other" else "127.0.0.1"
    site.routes["/page"] = html(f'<iframe id=widget src="http://{host}:{site.port}/late"></iframe>')
    async with BrowserEngine(find_browser()) as engine:
        async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
            check = ReadyCheck("#widget", ("button",))
            waiting = asyncio.ensure_future(session.load(f"{site.url}/page", ready=check, deadline_s=DEADLINE_S))
            assert await eventually(lambda: len(session.page.frames) == 2 and "late" in session.page.frames[1].url)
            target = session.page.frames[1] if site_of_frame == "other" else session.page
            devtools = await session.context.new_cdp_session(target)
            began_s = time.monotonic()
            crashing = asyncio.ensure_future(devtools.send("Page.crash"))
            with pytest.raises(DependencyError, match=r"crashed|ended"):
                await waiting
            assert time.monotonic() - began_s < DEADLINE_S / 2
        with suppress(PlaywrightError):
            await crashing  # never answered: what it was sent to is gone
        await load(engine, store, site.url)


@pytest.mark.parametrize("sessions", [5, pytest.param(20, marks=pytest.mark.slow)])
async def test_sessions_leave_no_context_and_no_process(store: EvidenceStore, site: Site, sessions: int) -> None:
    """One browser serves them all, and when the engine is closed nothing of it is left, zombies included."""
    before = set(zombies())
    async with BrowserEngine(find_browser()) as engine:
        for _ in range(sessions):
            await load(engine, store, site.url)
        (browser,) = engine._running.values()
        assert (engine.launches, browser.opened, browser.live, browser.contexts) == (1, sessions, 0, 0)
        group = browser.group
        assert group.memory_bytes() > 1_000_000
    assert group.members() == ()
    assert await eventually(lambda: set(zombies()) <= before)


def zombies() -> list[int]:
    """Children of ours that have ended and that nobody has collected; those of other tests too."""
    return [state.pid for state in all_states() if state.parent_pid == os.getpid() and state.state == "Z"]


async def test_a_worn_browser_is_replaced(store: EvidenceStore, site: Site) -> None:
    """After its share of contexts a browser makes place for a new one."""
    async with BrowserEngine(find_browser(), max_contexts=2) as engine:
        for _ in range(3):
            await load(engine, store, site.url)
        assert engine.launches == 2


@pytest.mark.slow
async def test_a_browser_that_has_grown_is_replaced(store: EvidenceStore, site: Site) -> None:
    """A limit below nothing is passed by any browser."""
    async with BrowserEngine(find_browser(), max_growth_bytes=-1) as engine:
        for _ in range(2):
            await load(engine, store, site.url)
        assert engine.launches == 2


async def test_a_worn_browser_finishes_the_sessions_it_has(store: EvidenceStore, site: Site) -> None:
    """Recycling never takes the browser from under a run."""
    async with BrowserEngine(find_browser(), max_contexts=1) as engine:
        async with engine.session(origin_ns=0, headers={}, evidence=store.sink("a")) as first:
            await load(engine, store, site.url)
            await first.load(site.url, ready=CHECK, deadline_s=DEADLINE_S)
        assert not engine._running
        assert not engine._retired


async def test_a_cancelled_run_closes_its_context(store: EvidenceStore, site: Site) -> None:
    """Cancellation goes through, and the context is gone."""
    async with BrowserEngine(find_browser()) as engine:
        await load(engine, store, site.url)
        waiting = asyncio.ensure_future(load(engine, store, f"{site.url}/late"))
        assert await eventually(lambda: "/late" in site.paths())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        (browser,) = engine._running.values()
        assert (browser.live, browser.contexts) == (0, 0)


async def test_a_run_cancelled_while_it_gets_its_context_leaves_none(store: EvidenceStore, site: Site) -> None:
    """The context that still comes belongs to a browser that is ended."""
    async with BrowserEngine(find_browser()) as engine:
        await load(engine, store, site.url)
        group = group_of(engine)
        opening = asyncio.ensure_future(load(engine, store, site.url))
        await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        await load(engine, store, site.url)
    assert group.members() == ()


async def test_a_browser_that_does_not_close_a_context_is_killed(store: EvidenceStore, site: Site) -> None:
    """A stopped browser answers nothing; it is ended by its own process id, and the next session works."""
    async with BrowserEngine(find_browser()) as engine:
        async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
            await session.load(site.url, ready=CHECK, deadline_s=DEADLINE_S)
            group = group_of(engine)
            os.killpg(group.pid, signal.SIGSTOP)
        assert await eventually(lambda: group.members() == ())
        await load(engine, store, site.url)
        assert engine.launches == 2


@pytest.mark.parametrize("has_committed", [False, True])
async def test_a_driver_that_dies_is_ours_too(store: EvidenceStore, site: Site, has_committed: bool) -> None:
    """Playwright's own process is a part of the probe, asked something at that moment or only awaited."""
    released = asyncio.Event()

    async def hold(_: Seen) -> Answer:
        await released.wait()
        return Answer()

    if not has_committed:
        site.routes["/late"] = hold
    async with BrowserEngine(find_browser()) as engine:
        await load(engine, store, site.url)
        group = group_of(engine)
        async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
            waiting = asyncio.ensure_future(session.load(f"{site.url}/late", ready=CHECK, deadline_s=DEADLINE_S))
            assert await eventually(lambda: "/late" in (session.page.url if has_committed else site.paths()))
            began_s = time.monotonic()
            os.kill(group.driver_pid, signal.SIGKILL)
            with pytest.raises(DependencyError):
                await waiting
            assert time.monotonic() - began_s < DEADLINE_S / 2
        released.set()
        await load(engine, store, site.url)
    assert await eventually(lambda: group.members() == ())


async def crash(session: BrowserSession, _group: ProcessGroup) -> None:
    """End the page's renderer; the question is never answered, as what it was sent to is gone."""
    devtools = await session.context.new_cdp_session(session.page)
    with suppress(PlaywrightError, TimeoutError):
        async with asyncio.timeout(0.2):
            await devtools.send("Page.crash")


async def kill_browser(_session: BrowserSession, group: ProcessGroup) -> None:
    """End the browser."""
    os.kill(group.pid, signal.SIGKILL)


async def kill_driver(_session: BrowserSession, group: ProcessGroup) -> None:
    """End what drives the browser."""
    os.kill(group.driver_pid, signal.SIGKILL)


@pytest.mark.parametrize("end", [crash, kill_browser, kill_driver])
async def test_what_ends_under_a_driven_step_is_ours(
    store: EvidenceStore, site: Site, end: Callable[[BrowserSession, ProcessGroup], Awaitable[None]]
) -> None:
    """A step that only waits for its page hears of it at once, and is no failure of the page's."""
    async with BrowserEngine(find_browser()) as engine:
        async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
            await session.load(site.url, ready=CHECK, deadline_s=DEADLINE_S)
            never = Condition.text("never")
            waiting = asyncio.ensure_future(session.until(session.page.main_frame, never, DEADLINE_S))
            assert await eventually(lambda: bool(session.marks.waits))
            await session.page.evaluate("1")  # answered after what arms the step
            began_s = time.monotonic()
            await end(session, group_of(engine))
            with pytest.raises(DependencyError, match="Chromium"):
                await waiting
            assert time.monotonic() - began_s < DEADLINE_S / 2
        await load(engine, store, site.url)


async def test_a_browser_that_is_stopped_fails_no_page(store: EvidenceStore, site: Site) -> None:
    """The page's time runs out while Chromium gets no processor at all: that is this host, and says nothing of the page."""
    async with BrowserEngine(find_browser()) as engine:
        async with engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session:
            await session.load(site.url, ready=CHECK, deadline_s=DEADLINE_S)
            os.killpg(group_of(engine).pid, signal.SIGSTOP)
            steps: list[Callable[[], Awaitable[object]]] = [
                lambda: session.frame("#widget", deadline_s=0.5),
                lambda: session.until(session.page.main_frame, Condition.text("never"), 0.5),
                lambda: session.load(f"{site.url}/late", ready=CHECK, deadline_s=0.5),
            ]
            for step in steps:
                with pytest.raises(DependencyError, match="itself did not answer"):
                    await step()
        await load(engine, store, site.url)


async def test_a_closed_engine_opens_nothing(store: EvidenceStore, site: Site) -> None:
    """A session after the end would be a browser that nobody ends."""
    async with BrowserEngine(find_browser()) as engine:
        pass
    with pytest.raises(BugError):
        await load(engine, store, site.url)


async def test_a_browser_that_does_not_start_is_a_dependency_error(
    store: EvidenceStore, tmp_path: Path, site: Site
) -> None:
    """It says which program, and nothing of the attempt is left."""
    program = tmp_path / "chromium"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Chromium 999.0.0.0" && exit 0\necho broken >&2\nexit 1\n'
    )
    program.chmod(0o755)
    async with BrowserEngine(find_browser(str(program))) as engine:
        with pytest.raises(DependencyError, match=r"did not start \(broken\)"):
            await load(engine, store, site.url)


ORPHANS = """
import asyncio, ctypes, os, sys
from pathlib import Path
from probes.browser import BrowserEngine, find_browser
from probes.browser_process import all_states
from probes.evidence import EvidenceMode, EvidenceStore

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

async def main():
    for kill in (False, True):
        async with BrowserEngine(find_browser()) as engine:
            sink = EvidenceStore(Path(sys.argv[1]), mode=EvidenceMode.NEVER).sink("r")
            async with engine.session(origin_ns=0, headers={}, evidence=sink) as session:
                await session.page.goto("data:text/html,hello")
            if kill:
                next(iter(engine._running.values())).group.kill()
    left = [s for s in all_states() if s.parent_pid == os.getpid()]
    print([s.name for s in left if s.state == "Z"])

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="process 1 of a container is a matter of Linux")
async def test_a_probe_that_is_process_1_reaps_the_browsers_orphans(tmp_path: Path) -> None:
    """In a container without an init the browser's helpers fall to the probe: none is left as a zombie."""
    assert ctypes.sizeof(ctypes.c_long) == 8
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(ORPHANS), str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    said, complained = await asyncio.wait_for(done.communicate(), 100)
    assert said.decode().strip() == "[]", complained.decode()


async def test_a_probe_that_is_killed_takes_its_browser_along(tmp_path: Path) -> None:
    """Nobody can clean up after SIGKILL; the browser ends by itself when its driver's pipe closes."""
    script = ORPHANS.replace(
        'await session.page.goto("data:text/html,hello")',
        "print(next(iter(engine._running.values())).group.pid, flush=True); await asyncio.sleep(60)",
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(tmp_path)),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    group = ProcessGroup(int(await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)))
    assert group.is_alive()
    process.kill()
    await process.wait()
    assert await eventually(lambda: group.members() == ())
