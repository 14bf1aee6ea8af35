"""The browser of this process: one Chromium, started on first use, a fresh cold context for every run, recycled.

    async with BrowserEngine(find_browser()) as engine:
        async with engine.session(origin_ns=origin_ns, headers=headers, evidence=sink) as session:
            page = await session.load(url, ready=ReadyCheck(...), deadline_s=30)

What a page does wrong is a `PageFailed`; what Chromium does wrong is a DependencyError, and the next session starts a new
one. Whatever happens in a session (an error, a page that hangs, a cancelled run), its context is gone afterwards, if need be
with the whole browser; when the engine is closed no process of it is left.

Refuses remote browsers: a browser that others drive, too, measures nothing. Called by the wiring and by `probes.journey`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from playwright.async_api import BrowserContext
from playwright.async_api import Error as PlaywrightError

from probes.browser_chromium import Chromium, Viewport, launch_chromium
from probes.browser_evidence import Recording
from probes.browser_failure import PageFailed
from probes.browser_find import BrowserChoice, find_browser
from probes.browser_health import BrowserHealth
from probes.browser_log import BrowserLog
from probes.browser_marks import Marks
from probes.browser_perform import PageMoment
from probes.browser_script import BINDING, Condition, ReadyCheck, page_script
from probes.browser_session import BrowserSession
from probes.errors import BugError, DependencyError
from probes.evidence import EvidenceSink

__all__ = [
    "BrowserChoice",
    "BrowserEngine",
    "BrowserSession",
    "Condition",
    "PageFailed",
    "PageMoment",
    "ReadyCheck",
    "Viewport",
    "find_browser",
]

OPEN_TIMEOUT_S = 15.0
DEFAULT_VIEWPORT = Viewport()
MAX_CONTEXTS = 50
MAX_GROWTH_BYTES = 512 * 1024 * 1024
# What goes into every request's User-Agent instead: this one is a list of products, and never makes a CORS preflight.
AGENT_HEADER = "user-agent"
RUN_HEADER = "x-request-id"


class BrowserEngine:
    """One Chromium in use at a time for each set of trusted keys; a retired one finishes its last sessions.

    `sandbox` None: on, unless this process is root. `max_contexts` and `max_growth_bytes` say when it is recycled.
    """

    def __init__(
        self,
        choice: BrowserChoice,
        *,
        sandbox: bool | None = None,
        max_contexts: int = MAX_CONTEXTS,
        max_growth_bytes: int = MAX_GROWTH_BYTES,
    ) -> None:
        self.choice = choice
        self.launches = 0
        self._sandbox = sandbox
        self._max_contexts = max_contexts
        self._max_growth_bytes = max_growth_bytes
        self._lock = asyncio.Lock()
        self._running: dict[tuple[str, ...], Chromium] = {}
        self._retired: list[Chromium] = []
        self._is_closed = False

    @property
    def version(self) -> str:
        """The browser's version."""
        return self.choice.version

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        browsers = (*self._running.values(), *self._retired)
        self._running.clear()
        self._retired.clear()
        try:
            for browser in browsers:
                await browser.close()
        finally:
            for browser in browsers:
                browser.group.kill()

    @asynccontextmanager
    async def session(
        self,
        *,
        origin_ns: int,
        headers: Mapping[str, str],
        evidence: EvidenceSink,
        viewport: Viewport = DEFAULT_VIEWPORT,
        trusted_spki: tuple[str, ...] = (),
        traced_origins: tuple[str, ...] = (),
    ) -> AsyncIterator[BrowserSession]:
        """A fresh cold context, closed whatever happens. Open it outside of steps: a new browser may have to be started.

        `headers` (trace context, run id) go on the requests that the page's own scripts make: to `traced_origins` when there are
        any, else each document to its own origin, where they cost no CORS preflight. `trusted_spki` are the SHA-256 hashes
        (base64) of public keys of a private CA's server certificates. Evidence is taken on the way out, after all clocks.
        Raises DependencyError when there is no context to be had.
        """
        if self._is_closed:
            raise BugError("a session of a browser engine that is closed")
        chromium, context = await self._open(viewport, headers, trusted_spki)
        log = BrowserLog(evidence.mask)
        recording = Recording(context, log, evidence)
        try:
            session = await open_session(
                context,
                BrowserHealth(chromium, log),
                recording,
                headers=headers,
                origins=traced_origins,
                origin_ns=origin_ns,
                pinned=trusted_spki,
            )
            try:
                yield session
            except BaseException:
                session.has_failed = True
                raise
            finally:
                await recording.keep(session)
        finally:
            await self._close(chromium, context)

    async def _open(
        self, viewport: Viewport, headers: Mapping[str, str], trusted_spki: tuple[str, ...]
    ) -> tuple[Chromium, BrowserContext]:
        async with self._lock:
            chromium = await self._chromium(tuple(sorted(set(trusted_spki))))
            agent = " ".join([chromium.user_agent, *agent_suffix(headers)])
            try:
                return chromium, await chromium.open_context(viewport=viewport, user_agent=agent)
            finally:
                await self._bury()

    async def _chromium(self, trusted_spki: tuple[str, ...]) -> Chromium:
        running = self._running.get(trusted_spki)
        if running is not None and not running.is_alive:
            self._retire(trusted_spki)
            running = None
        if running is None:
            for other in [key for key, browser in self._running.items() if browser.live == 0]:
                self._retire(other)
            await self._bury()
            running = await launch_chromium(self.choice, trusted_spki=trusted_spki, sandbox=self._sandbox)
            self.launches += 1
            self._running[trusted_spki] = running
        return running

    def _retire(self, trusted_spki: tuple[str, ...]) -> None:
        chromium = self._running.pop(trusted_spki)
        chromium.retire()
        self._retired.append(chromium)

    async def _bury(self) -> None:
        """End the retired browsers that nobody uses any more."""
        for key in [key for key, browser in self._running.items() if browser.is_retired]:
            self._retire(key)
        for chromium in [chromium for chromium in self._retired if chromium.live == 0 or not chromium.is_alive]:
            try:
                await chromium.close()
            finally:
                self._retired.remove(chromium)

    async def _close(self, chromium: Chromium, context: BrowserContext) -> None:
        await chromium.close_context(context)
        if chromium.is_worn(max_contexts=self._max_contexts, max_growth_bytes=self._max_growth_bytes):
            chromium.retire()
        if chromium.is_retired and not self._is_closed:
            async with self._lock:
                await self._bury()


async def open_session(
    context: BrowserContext,
    health: BrowserHealth,
    recording: Recording,
    *,
    headers: Mapping[str, str],
    origins: tuple[str, ...],
    origin_ns: int,
    pinned: tuple[str, ...],
) -> BrowserSession:
    """A page in a context, with everything that watches it in place before it loads anything."""
    marks = Marks()
    health.log.attach(context)
    health.log.news = marks.news.set
    # A browser that ends takes its contexts along, a driver that ends says nothing: whoever waits must hear of both at once.
    take_off = health.chromium.on_end(marks.end)
    context.on("close", lambda _: take_off())
    context.on("close", lambda _: marks.end())
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await recording.start()
            await context.expose_binding(BINDING, marks.receive)
            traced = {name: value for name, value in headers.items() if name.lower() != AGENT_HEADER}
            await context.add_init_script(page_script(headers=traced, traced_origins=origins))
            page = await context.new_page()
            page.on("crash", lambda _: marks.end())
    except (PlaywrightError, TimeoutError) as error:
        raise DependencyError(
            f"Chromium gave no page ({type(error).__name__})", remedy="The next run starts a new one"
        ) from error
    return BrowserSession(context, page, health=health, marks=marks, origin_ns=origin_ns, is_pinned=bool(pinned))


def agent_suffix(headers: Mapping[str, str]) -> list[str]:
    """What tells a server's log that this is a probe, and of which run."""
    by_name = {name.lower(): value for name, value in headers.items()}
    run_id = by_name.get(RUN_HEADER, "")
    agent = by_name.get(AGENT_HEADER, "probe-fleet")
    return [f"{agent} (run {run_id})" if run_id else agent]
