"""One driven step: arm a condition in a document, act, and learn from the page's own clock when it was met.

Refuses to poll: the document watches itself and reports once. Called by `probes.browser_session`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from probes.browser_diagnosis import named
from probes.browser_failure import LOOK_AT_MEMORY, PageFailed, status_failure
from probes.browser_health import BrowserHealth
from probes.browser_log import BrowserLog
from probes.browser_look import MS
from probes.browser_marks import Marks, Wait
from probes.browser_script import Condition, until_expression
from probes.errors import DependencyError, OperatorError
from probes.records import Failure, FailureKind

__all__ = ["DrivenStep", "PageMoment"]

Action = Callable[[], Awaitable[object]]
# The requests that a page makes for its work, as opposed to pictures and other people's counters.
WORK = ("fetch", "xhr", "document")


@dataclass(frozen=True, slots=True)
class PageMoment:
    """When a condition was met, by the clock of the document that watched for it.

    `started_ns` and `met_ns` count from the start of the page's navigation; `duration_ns` lies between them. `drive_ns` is what
    the step took beyond that on this host's clock. `value` is what the condition's expression was.
    """

    started_ns: int
    met_ns: int
    duration_ns: int
    drive_ns: int
    value: object = None


@dataclass(slots=True)
class DrivenStep:
    """One action and one condition in one frame; `run` once."""

    frame: Frame
    condition: Condition
    action: Action | None
    deadline_s: float
    health: BrowserHealth
    marks: Marks
    number: int

    @property
    def log(self) -> BrowserLog:
        """What happened in the context."""
        return self.health.log

    async def run(self) -> PageMoment:
        """Arm, act, wait. Raises PageFailed, DependencyError, or OperatorError when the condition measures nothing."""
        began_ns = time.monotonic_ns()
        wait = Wait(asyncio.get_running_loop().create_future())
        self.marks.waits[self.number] = wait
        errors, requests, is_acting = len(self.log.errors), self.log.total_requests, False
        try:
            async with asyncio.timeout(self.deadline_s):
                armed_ms = await self._arm()
                if self.action is not None:
                    is_acting = True
                    await self.action()
                    is_acting = False
                await wait.over
        except TimeoutError:
            # The action's own limit ends a little before the step's; on a busy host the step's may come first all the same.
            is_untaken = is_acting and wait.started_ms is None
            failure = self._not_taken(None) if is_untaken else self._missed(wait, errors, requests)
            raise await self._late(failure) from None
        except PlaywrightError as error:
            raise await self._late(self._not_taken(error)) from error
        finally:
            del self.marks.waits[self.number]
        if wait.met_ms is None:
            self.health.raise_if_ours()
            raise DependencyError("Chromium ended in the middle of a run", remedy=LOOK_AT_MEMORY)
        return self._moment(wait, wait.met_ms, armed_ms, began_ns)

    async def _arm(self) -> float:
        """The instant at which the document began to watch."""
        arguments = {"id": self.number, "afterAction": self.action is not None}
        try:
            armed = await self.frame.evaluate(until_expression(self.condition), arguments)
        except PlaywrightError as error:
            if "SyntaxError" not in error.message:
                raise
            raise OperatorError(
                f"the condition is no JavaScript expression ({error.message.splitlines()[0]})",
                where=f"condition {self.condition.describes!r}",
            ) from error
        if not isinstance(armed, dict):
            raise DependencyError("the page's own script is not there", where=self.frame.url)
        if armed.get("wasTrue"):
            raise OperatorError(
                f"the condition was met before the action, so it would measure nothing: {self.condition.describes}",
                remedy="Wait for something that the action changes: Condition.changed",
            )
        return float(armed["at"])

    def _moment(self, wait: Wait, met_ms: float, armed_ms: float, began_ns: int) -> PageMoment:
        started_ms = wait.started_ms if wait.started_ms is not None else armed_ms
        origin_ms = self.marks.origins.get(self.frame.page, started_ms)
        duration_ns = max(0, round((met_ms - started_ms) * MS))
        return PageMoment(
            started_ns=max(0, round((started_ms - origin_ms) * MS)),
            met_ns=max(0, round((met_ms - origin_ms) * MS)),
            duration_ns=duration_ns,
            drive_ns=max(0, time.monotonic_ns() - began_ns - duration_ns),
            value=wait.value,
        )

    async def _late(self, failure: Failure) -> PageFailed:
        """What to raise when the time was over. Raises DependencyError when the browser itself does not answer."""
        failed = PageFailed(failure)
        if failure.kind is FailureKind.TIMEOUT:
            await self.health.raise_if_silent(failed)
        return failed

    def _not_taken(self, error: PlaywrightError | None) -> Failure:
        """The page did not let itself be used (None: still tried at the end). Raises DependencyError when Chromium is gone."""
        self.health.raise_if_ours(error)
        is_late = error is None or isinstance(error, PlaywrightTimeoutError)
        kind = FailureKind.TIMEOUT if is_late else FailureKind.BROWSER
        words = error.message if error else f"it was still tried after {self.deadline_s:.1f} s"
        said = self.log.mask(" ".join(words.split()))[:400]
        return Failure(
            kind, f"the page did not take the action ({self.condition.describes} was to follow): {said}", "action"
        )

    def _missed(self, wait: Wait, errors: int, requests: int) -> Failure:
        """The condition was not met: the kind is that of the first thing seen to go wrong since the action began."""
        self.health.raise_if_ours()
        message = f"waited {self.deadline_s:.1f} s for {self.condition.describes}"
        if self.action is not None and wait.started_ms is None:
            message += "; the action caused no event in the frame"
        if wait.broken:
            message += f"; the condition throws: {wait.broken}"
        new_errors = self.log.errors[errors:]
        if new_errors:
            message += f"; uncaught in the page: {named(new_errors)}"
        failed = self.log.failed_since(requests, WORK)
        if failed:
            message += f"; failed requests: {named([entry.describe(self.log.mask) for entry in failed])}"
            if failed[0].status:
                return status_failure(f"{message}; the page's request", failed[0].status)
            return Failure(FailureKind.CONNECT, message, f"net::{failed[0].error}")
        if new_errors:
            return Failure(FailureKind.BROWSER, message, "uncaught-error")
        waiting = self.log.pending()
        return Failure(FailureKind.TIMEOUT, message + (f"; pending: {named(waiting)}" if waiting else ""), "timeout")
