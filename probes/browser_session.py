"""One cold browser context of one run: loads measured to ready, driven steps, and what the page said of itself.

Every time comes from the page's own clock. What driving it cost us (round trips before the navigation, hearing of a mark,
asking afterwards) is the difference to this host's clock, and is handed back as `drive_ns`.

Refuses to hold up a request to add headers to it: that was measured, see docs/adr/0012. Made by `probes.browser`, used by
scenario scripts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

from playwright.async_api import BrowserContext, Frame, Page, Response
from playwright.async_api import Error as PlaywrightError

from probes.browser_failure import LOOK_AT_MEMORY, PageFailed
from probes.browser_health import BrowserHealth
from probes.browser_load import ColdLoad
from probes.browser_look import look_at
from probes.browser_marks import Marks
from probes.browser_perform import DrivenStep, PageMoment
from probes.browser_script import Condition, ReadyCheck
from probes.errors import DependencyError, OperatorError
from probes.records import Failure, FailureKind, PageLoad

__all__ = ["BrowserSession"]

LOOK_S = 1.0
CERTIFICATE_TIMEOUT_S = 5.0


class BrowserSession:
    """A fresh context with one page. Use `load` first, then `perform` and `until`; `page` is Playwright's for the rest.

    `has_failed` is True once something raised; it decides whether evidence of a failure is kept.
    """

    def __init__(
        self,
        context: BrowserContext,
        page: Page,
        *,
        health: BrowserHealth,
        marks: Marks,
        origin_ns: int,
        is_pinned: bool,
    ) -> None:
        self.context = context
        self.page = page
        self.health = health
        self.log = health.log
        self.marks = marks
        self.origin_ns = origin_ns
        self.has_failed = False
        self._is_pinned = is_pinned
        self._load: ColdLoad | None = None
        self._steps = 0

    async def load(self, url: str, *, ready: ReadyCheck, deadline_s: float) -> PageLoad:
        """Load the page cold, and return when it is ready, with what it measured until then.

        Raises PageFailed when it does not become ready within the deadline or cannot any more, DependencyError when Chromium or
        this host failed, OperatorError when the check itself is wrong.
        """
        self._load = ColdLoad(self.page, self.health, self.marks, url, ready, deadline_s)
        with self._noting_failure():
            loaded = await self._load.run()
            if self._is_pinned:
                await self._judge_certificates(loaded)
        return loaded

    async def collect(self) -> PageLoad:
        """The load as it stands now: later paints, shifts, errors and failed requests included.

        Outside the timed window; where a document no longer answers, its earlier figures stay.
        """
        if self._load is None:
            raise OperatorError("collect() before load()", remedy="Load a page first")
        before = self._load.measured()
        self._load.last_look = await look_at(self.page, self._load.check.frame_selector, LOOK_S)
        now = self._load.measured()
        return replace(
            now,
            ttfb_ns=before.ttfb_ns if now.ttfb_ns is None else now.ttfb_ns,
            fcp_ns=before.fcp_ns if now.fcp_ns is None else now.fcp_ns,
            lcp_ns=before.lcp_ns if now.lcp_ns is None else now.lcp_ns,
            cls=before.cls if now.cls is None else now.cls,
        )

    async def frame(self, selector: str, *, deadline_s: float = 5.0) -> Frame:
        """The frame of the page that a CSS selector names; an empty selector is the page's own document.

        Raises PageFailed when there is none within the deadline.
        """
        if not selector:
            return self.page.main_frame
        found: Frame | None = None
        with self._noting_failure():
            try:
                element = await self.page.wait_for_selector(selector, state="attached", timeout=deadline_s * 1000)
                found = await element.content_frame() if element is not None else None
            except PlaywrightError as error:
                self.health.raise_if_ours(error)
            if found is None:
                message = f"no frame {selector} within {deadline_s:.1f} s"
                missing = PageFailed(Failure(FailureKind.BROWSER, message, "frame-missing"))
                await self.health.raise_if_silent(missing)
                raise missing
        return found

    async def perform(
        self, action: Callable[[], Awaitable[object]], *, frame: Frame, until: Condition, deadline_s: float
    ) -> PageMoment:
        """Do one thing as a person would, and return when `until` is met in the frame's document.

            moment = await session.perform(
                lambda: frame.set_input_files("input[type=file]", part.path),
                frame=frame, until=Condition.text("File uploaded successfully"), deadline_s=30)

        The time starts with the first event that the action causes in that document and ends in the task in which the
        condition became true (within 10 ms where nothing in the document changed). The frame must not navigate meanwhile.
        Raises PageFailed when the condition is not met in time, OperatorError when it was met before the action.
        """
        return await self._moment(frame, until, action, deadline_s)

    async def until(self, frame: Frame, condition: Condition, deadline_s: float) -> PageMoment:
        """Return when the condition is met in the frame's document; the time starts when the watch was armed.

        Raises PageFailed when it is not met in time.
        """
        return await self._moment(frame, condition, None, deadline_s)

    def failed(self, failure: Failure) -> PageFailed:
        """An error to raise for something that a script found in the page, with what the page measured so far."""
        self.has_failed = True
        return PageFailed(failure, self._load.measured() if self._load else None)

    async def _moment(
        self, frame: Frame, condition: Condition, action: Callable[[], Awaitable[object]] | None, deadline_s: float
    ) -> PageMoment:
        self._steps += 1
        # An action that cannot be done must say so before the step's own deadline takes its place.
        self.context.set_default_timeout(max(1.0, deadline_s * 1000 - 100))
        step = DrivenStep(frame, condition, action, deadline_s, self.health, self.marks, self._steps)
        with self._noting_failure():
            try:
                return await step.run()
            except PageFailed as failed:
                failed.page = self._load.measured() if self._load else None
                raise

    async def _judge_certificates(self, loaded: PageLoad) -> None:
        """A trusted key silences every complaint about its certificate, so its dates are looked at here."""
        try:
            async with asyncio.timeout(CERTIFICATE_TIMEOUT_S):
                for response in self.log.document_responses():
                    await judge_certificate(response, loaded, self.log.mask(response.url))
        except (TimeoutError, PlaywrightError) as error:
            # The page came and was ready: what Chromium does not tell of its connection is no failure of the page's.
            self.health.raise_if_ours(error if isinstance(error, PlaywrightError) else None)
            message = f"Chromium did not tell the dates of the certificate ({type(error).__name__})"
            raise DependencyError(message, remedy=LOOK_AT_MEMORY) from error

    def _noting_failure(self) -> NotingFailure:
        return NotingFailure(self)


class NotingFailure:
    """Notes on its session that something raised."""

    __slots__ = ("_session",)

    def __init__(self, session: BrowserSession) -> None:
        self._session = session

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._session.has_failed = True


async def judge_certificate(response: Response, loaded: PageLoad, what: str) -> None:
    """Raises PageFailed when the certificate of an answer has expired or is not valid yet."""
    details = await response.security_details()
    now_s = datetime.now(UTC).timestamp()
    if details is None:
        return
    ends_s, begins_s = details.get("validTo"), details.get("validFrom")
    if ends_s is not None and ends_s < now_s:
        ended = datetime.fromtimestamp(ends_s, UTC).isoformat(timespec="seconds")
        message = f"{what}: the certificate expired at {ended}"
    elif begins_s is not None and begins_s > now_s:
        begins = datetime.fromtimestamp(begins_s, UTC).isoformat(timespec="seconds")
        message = f"{what}: the certificate is not valid before {begins}"
    else:
        return
    raise PageFailed(Failure(FailureKind.TLS, message, "certificate-date"), loaded)
