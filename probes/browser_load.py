"""One cold load: navigate, wait for the mark of the right frame, or say why it cannot come any more.

Refuses to count a frame's `onload` as anything: it fires for refused frames and error pages, too. Never waits beyond its
deadline: a late page is looked at shortly before, so that the failure can say what was missing and still be in time. Called
by `probes.browser_session`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Response

from probes.browser_diagnosis import diagnose, with_errors
from probes.browser_failure import (
    LOOK_AT_MEMORY,
    PageFailed,
    failure_of_net_error,
    net_error,
    status_failure,
)
from probes.browser_health import BrowserHealth
from probes.browser_log import BrowserLog
from probes.browser_look import MS, Look, look_at, page_load
from probes.browser_marks import Marks, ReadyMark
from probes.browser_script import ReadyCheck, arm_script
from probes.errors import DependencyError, OperatorError
from probes.http_failures import OR_DEAD_ZONE
from probes.http_resolver import system_lookup
from probes.http_unreachable import is_gateway_silent_to
from probes.records import Failure, FailureKind, PageLoad

__all__ = ["ColdLoad"]

# A page that tries its frame again gets this long after a document of a frame failed.
GRACE_S = 1.0
LOOK_S = 1.0
# This long before its deadline a late page is looked at for the first time, and then again and again.
LATE_S = 2.0
# A document that did not answer within this is busy; one that had less time may only be slow to reach.
ENOUGH_S = 0.6
LOOK_AGAIN_S = 0.25
RESOLVE_TIMEOUT_S = 5.0
# The kernel gives a neighbour up after three seconds.
GATEWAY_S = 5.0
# Two processes read one clock of this host; more than this apart, it was set in between.
CLOCK_TOLERANCE_NS = 50 * MS
NOT_RESOLVED = "ERR_NAME_NOT_RESOLVED"
NOTHING_SEEN = Look({}, "unknown", None)
RESOLVER_FAILED = (socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM, socket.EAI_FAIL)


@dataclass(slots=True)
class ColdLoad:
    """One load of one page; `run` once, `measured` as often as wanted."""

    page: Page
    health: BrowserHealth
    marks: Marks
    url: str
    check: ReadyCheck
    deadline_s: float
    mark: ReadyMark | None = None
    last_look: Look = NOTHING_SEEN
    drive_ns: int = 0
    _until_s: float = field(default=0.0, init=False)

    @property
    def log(self) -> BrowserLog:
        """What happened in the context."""
        return self.health.log

    async def run(self) -> PageLoad:
        """Load, wait until ready, and return what was measured until then.

        Raises PageFailed, DependencyError (Chromium or this host failed) or OperatorError (the check is wrong).
        """
        began_ns = time.monotonic_ns()
        self._until_s = time.monotonic() + self.deadline_s
        self.marks.begin_load()
        try:
            await self._arm()
            response = await self._navigate()
            self._judge_status(response)
            self.mark = await self._wait_ready()
        except PageFailed as failed:
            failed.page = replace(self.measured(), drive_ns=0)
            if failed.failure.kind is FailureKind.TIMEOUT:
                await self.health.raise_if_silent(failed)
            document = self.log.documents.get(self.last_look.selected) if self.last_look.selected else None
            if document is not None and document.error == NOT_RESOLVED:
                await raise_if_unanswered(document.url)
            raise
        except PlaywrightError as error:
            raise PageFailed(await self._translate(error), self.measured()) from error
        return self._driven(began_ns)

    def measured(self) -> PageLoad:
        """What the documents said at the last look, and what the log has by now."""
        loaded = page_load(
            self.log.mask(self.url),
            self.last_look,
            self.page.main_frame,
            origin_ms=self.marks.origins.get(self.page),
            ready_ms=self.mark.at_ms if self.mark else None,
        )
        return replace(
            loaded,
            drive_ns=self.drive_ns,
            requests=self.log.total_requests,
            failed_requests=self.log.shown_failed(),
            uncaught_errors=self.log.shown_errors(),
        )

    def _driven(self, began_ns: int) -> PageLoad:
        """What the load took on our clock beyond the page's own time. Raises DependencyError when the clocks disagree."""
        ready_ns = self.measured().ready_ns
        if ready_ns is None:
            raise DependencyError("the page never said when it began, so its times cannot be told", where=self.url)
        wall_ns = time.monotonic_ns() - began_ns
        if ready_ns > wall_ns + CLOCK_TOLERANCE_NS:
            raise DependencyError(
                "the clock of this host was set while a page was timed",
                remedy="Let NTP slew the clock instead of stepping it",
            )
        self.drive_ns = max(0, wall_ns - ready_ns)
        return self.measured()

    async def _arm(self) -> None:
        """Put the check into the page to come. Raises DependencyError when the browser does not take it: no page is there yet."""
        try:
            async with asyncio.timeout_at(self._loop_time(self._until_s)):
                await self.page.add_init_script(arm_script(self.check))
        except TimeoutError:
            raise DependencyError(
                "Chromium itself did not answer before a page was loaded", remedy=LOOK_AT_MEMORY
            ) from None

    async def _navigate(self) -> Response | None:
        try:
            async with asyncio.timeout_at(self._loop_time(self._until_s)):
                # Committed is enough: from here on the documents report for themselves.
                return await self.page.goto(self.url, wait_until="commit", timeout=0)
        except TimeoutError:
            message = f"{self.log.mask(self.url)} sent no page within {self.deadline_s:.1f} s"
            raise PageFailed(Failure(FailureKind.TIMEOUT, with_errors(message, self.log), "timeout")) from None

    async def _translate(self, error: PlaywrightError) -> Failure:
        """What an error of Playwright's says about the target. Raises DependencyError when it says something about us."""
        self.health.raise_if_ours(error)
        name = net_error(error.message)
        if name == NOT_RESOLVED:
            await raise_if_unanswered(self.url)
        if name == "ERR_ADDRESS_UNREACHABLE" and await is_network_down(self.url):
            raise DependencyError(
                "this host has no route to the target, or its gateway does not answer",
                where=self.url,
                remedy="Look at this host's network",
            ) from error
        what = self.log.mask(self.url)
        if not name:
            return Failure(FailureKind.BROWSER, f"{what} could not be loaded: {self.log.mask(error.message)}", "page")
        return failure_of_net_error(name, what)

    def _judge_status(self, response: Response | None) -> None:
        if response is not None and response.status >= 400:
            retry_after = response.headers.get("retry-after", "")
            what = self.log.mask(self.url)
            raise PageFailed(status_failure(what, response.status, retry_after=retry_after))

    async def _wait_ready(self) -> ReadyMark:
        look_at_s = self._until_s - min(LATE_S, self.deadline_s / 3)
        while (now_s := time.monotonic()) < self._until_s:
            if (mark := await self._selected_mark()) is not None:
                return mark
            await self._give_up_if_doomed()
            if now_s >= look_at_s:
                await self._look_late()
                look_at_s = time.monotonic() + LOOK_AGAIN_S
            again_s = time.monotonic() + LOOK_AGAIN_S if self._is_unplaced() else self._until_s
            await self._wait_news(min(self._until_s, look_at_s, again_s))
        mark = await self._selected_mark()
        if mark is not None and self._is_in_time(mark):
            return mark
        raise PageFailed(self._diagnose())

    async def _wait_news(self, until_s: float) -> None:
        """Returns when something was reported, or when it is time."""
        pauses_s = [until_s - time.monotonic(), *self.log.document_failed_pauses_s(GRACE_S)]
        try:
            async with asyncio.timeout(max(0.001, min(pauses_s))):
                await self.marks.news.wait()
        except TimeoutError:
            return
        self.marks.news.clear()

    async def _selected_mark(self) -> ReadyMark | None:
        """The first mark that came from the frame that the check selects."""
        self._raise_if_dead()
        if self.marks.invalid:
            raise OperatorError(
                f"a control of the ready check is no CSS selector ({self.marks.invalid})",
                where=f"controls {list(self.check.controls)}",
                remedy="Write plain CSS selectors; texts belong into `answer`",
            )
        if not self.marks.ready:
            return None
        # One look serves both ends: which frame the selector names, and what all documents have measured.
        self.last_look = await look_at(self.page, self.check.frame_selector, LOOK_S)
        return next((mark for mark in self.marks.ready if mark.frame == self.last_look.selected), None)

    def _is_unplaced(self) -> bool:
        """A document is ready, and the page was too busy to say which frame is the selected one: no news will come of that."""
        return bool(self.marks.ready) and self.last_look.element == "unknown"

    async def _give_up_if_doomed(self) -> None:
        """Fails when the selected frame's document failed and the page has had its time to try again."""
        if not self.check.frame_selector or not self.log.has_failed_document(GRACE_S):
            return
        self.last_look = await self._look()
        if self.last_look.selected in self.log.documents:
            raise PageFailed(self._diagnose())
        self.log.forgive_documents()

    async def _look_late(self) -> None:
        """A look cut short by the deadline says nothing about a document that answered the one before."""
        had_time = self._until_s - time.monotonic() >= ENOUGH_S
        look = await self._look()
        if had_time or look.is_whole or not self.last_look.documents:
            self.last_look = look

    async def _look(self) -> Look:
        left_s = self._until_s - time.monotonic()
        return await look_at(self.page, self.check.frame_selector, max(0.001, min(LOOK_S, left_s)))

    def _is_in_time(self, mark: ReadyMark) -> bool:
        origin_ms = self.marks.origins.get(self.page)
        return origin_ms is not None and mark.at_ms - origin_ms <= self.deadline_s * 1000

    def _diagnose(self) -> Failure:
        self._raise_if_dead()
        waited_s = self.deadline_s - max(0.0, self._until_s - time.monotonic())
        return diagnose(self.check, self.last_look, self.log, self.page.main_frame, waited_s=waited_s)

    def _raise_if_dead(self) -> None:
        """A crash is ours: Chromium is a part of this probe, and no page may bring it down."""
        self.health.raise_if_ours()
        if self.page.is_closed():
            raise DependencyError("Chromium ended in the middle of a run", remedy=LOOK_AT_MEMORY)

    def _loop_time(self, at_s: float) -> float:
        return asyncio.get_running_loop().time() + max(0.001, at_s - time.monotonic())


async def raise_if_unanswered(url: str) -> None:
    """Raises DependencyError unless this host's resolver says that the name has no address.

    Chromium has one word for that and for a resolver that fails. One that fails no more and knows the name now has failed.
    """
    said = f"this host's name resolver does not answer ({OR_DEAD_ZONE})"
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            await asyncio.to_thread(system_lookup, urlsplit(url).hostname or "", 0)
    except (TimeoutError, socket.gaierror) as error:
        if isinstance(error, socket.gaierror) and error.errno not in RESOLVER_FAILED:
            return
    else:
        said = "this host's name resolver gave Chromium no address, and gives one now"
    raise DependencyError(said, where=url, remedy="Look at /etc/resolv.conf")


async def is_network_down(url: str) -> bool:
    """True when this host's own kernel knows no way to the address, or its gateway on the way there does not answer.

    Chromium has one name for both and for a host that a router cannot reach. A connection is tried for it, within `GATEWAY_S`.
    """
    return not has_route(url) or await asyncio.to_thread(_is_gateway_silent, url)


def _is_gateway_silent(url: str) -> bool:
    parts = urlsplit(url)
    try:
        family, _, _, _, address = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)[0]
    except OSError:
        return False
    return is_gateway_silent_to(family, address, within_s=GATEWAY_S)


def has_route(url: str) -> bool:
    """False when this host's own kernel knows no way to the address; Chromium has one name for that and for a silent host.

    Connecting a UDP socket sends nothing; it only asks the routing table.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((host, parts.port or 443))
    except OSError as error:
        return error.errno != errno.ENETUNREACH
    return True
