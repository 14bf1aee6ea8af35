"""What is kept of a browser session: screenshot, documents, trace, HAR and console, taken when all clocks have stopped.

Only the trace must run while the page is timed; what that costs is measured by `bench/browser_cost.py`, and decided what it may
contain (docs/adr/0012). Refuses to change a run's outcome: what cannot be taken is noted. Called by `probes.browser`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import BrowserContext
from playwright.async_api import Error as PlaywrightError

from probes.browser_har import render_browser_har
from probes.browser_log import BrowserLog
from probes.browser_session import BrowserSession
from probes.evidence import EvidenceMode, EvidenceSink

__all__ = ["Recording"]

SCREENSHOT_TIMEOUT_S = 3.0
TRACE_TIMEOUT_S = 5.0
HAR_TIMEOUT_S = 3.0
DOCUMENTS_TIMEOUT_S = 2.0
MAX_DOCUMENTS = 5


class Recording:
    """The evidence of one context: `start` before it loads anything, `keep` at its end."""

    def __init__(self, context: BrowserContext, log: BrowserLog, sink: EvidenceSink) -> None:
        self._context = context
        self._log = log
        self._sink = sink
        self._is_tracing = False

    async def start(self) -> None:
        """Begin to trace, when a trace may be kept."""
        if self._sink.mode is EvidenceMode.NEVER:
            return
        # No screenshots: a screencast takes the processor from the page. No snapshots: each action would wait for one of
        # every frame, for ever when a frame hangs. The documents are kept at the end instead.
        await self._context.tracing.start(screenshots=False, snapshots=False, sources=False)
        self._is_tracing = True

    async def keep(self, session: BrowserSession) -> None:
        """Take and keep what is wanted; bounded in time, and silent about everything but a cancelled run."""
        if not self._sink.wants(failed=session.has_failed):
            if self._is_tracing:
                await self._attempt("end of the trace", TRACE_TIMEOUT_S, self._context.tracing.stop)
            return
        answers = await self._attempt("screenshot", SCREENSHOT_TIMEOUT_S, lambda: self._screenshot(session))
        await self._attempt("HAR", HAR_TIMEOUT_S, self._har)
        if answers:
            await self._attempt("documents", DOCUMENTS_TIMEOUT_S, lambda: self._documents(session))
        if self._is_tracing:
            await self._attempt("trace", TRACE_TIMEOUT_S, self._trace)
        if text := self._log.console_text():
            await asyncio.to_thread(self._sink.add, "console", "console.log", text)

    async def _attempt(self, what: str, timeout_s: float, take: Callable[[], Awaitable[None]]) -> bool:
        """True when it was taken."""
        try:
            async with asyncio.timeout(timeout_s):
                await take()
        except TimeoutError:
            self._sink.note_problem(f"no {what}: the browser did not give one within {timeout_s:.0f} s")
            return False
        except (PlaywrightError, OSError) as error:
            self._sink.note_problem(f"no {what}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            return False
        return True

    async def _screenshot(self, session: BrowserSession) -> None:
        picture = await session.page.screenshot(animations="allow", timeout=SCREENSHOT_TIMEOUT_S * 1000)
        await asyncio.to_thread(self._sink.add, "screenshot", "screenshot.png", picture)

    async def _documents(self, session: BrowserSession) -> None:
        for number, frame in enumerate(session.page.frames[:MAX_DOCUMENTS]):
            content = (await frame.content()).encode()
            await asyncio.to_thread(self._sink.add, "body", f"document-{number}.html", content)

    async def _har(self) -> None:
        browser = self._context.browser
        har = await render_browser_har(self._log, browser.version if browser else "")
        await asyncio.to_thread(self._sink.add, "har", "browser.har", har)

    async def _trace(self) -> None:
        with tempfile.TemporaryDirectory(prefix="probe-trace-", ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "trace.zip"
            await self._context.tracing.stop(path=path)
            await asyncio.to_thread(self._sink.add, "trace", "trace.zip", path)
