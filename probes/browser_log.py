"""What happened in one browser context, kept as it happens: requests, console, uncaught errors, crashes.

Costs the page nothing: Playwright hears of it anyway, and the bound on what is kept holds whatever a page does. Refuses to ask
the browser anything. Called by `probes.browser_session`; read by the diagnosis, the page load and the evidence.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from playwright.async_api import BrowserContext, ConsoleMessage, Frame, Page, Request, Response, WebError
from playwright.async_api import Error as PlaywrightError

from probes.browser_failure import net_error

__all__ = ["BrowserLog", "DocumentFailure", "LoggedRequest"]

MAX_REQUESTS = 2000
MAX_LINES = 500
MAX_SHOWN = 20
MAX_TEXT = 300
# The innermost place of a stack as V8 writes it. Source: https://v8.dev/docs/stack-trace-api
STACK_PLACE = re.compile(r"\bat (?:.*\()?(\S+?:\d+:\d+)\)?")
# Given up by the page itself or because it went away; nobody's failure.
ABORTED = "ERR_ABORTED"


@dataclass(slots=True)
class LoggedRequest:
    """One request: its answer comes later or never. `started_ns` is of this host's monotonic clock."""

    request: Request
    started_ns: int
    is_document: bool
    status: int = 0
    error: str = ""
    response: Response | None = None
    is_over: bool = False

    @property
    def is_failed(self) -> bool:
        """True for an error on the way and for a status of 400 and above."""
        return self.status >= 400 or (self.error not in ("", ABORTED))

    def describe(self, mask: Callable[[str], str]) -> str:
        """Method, address and why, for a person."""
        return mask(f"{self.request.method} {self.request.url}: {self.error or self.status}")[:MAX_TEXT]


@dataclass(frozen=True, slots=True)
class DocumentFailure:
    """Why the document of a frame did not come: a network error's name or a status of 400 and above."""

    url: str
    error: str = ""
    status: int = 0
    retry_after: str = ""
    at_ns: int = 0


@dataclass  # no slots: Playwright notes its handlers on the object that owns them
class BrowserLog:
    """All of one context. `dropped` counts what the bounds left out."""

    mask: Callable[[str], str]
    requests: dict[Request, LoggedRequest] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    documents: dict[Frame, DocumentFailure] = field(default_factory=dict)
    total_requests: int = 0
    failed_requests: int = 0
    dropped: int = 0
    crashed: str = ""
    news: Callable[[], None] | None = None
    """Called when a document failed or a renderer crashed, so that nobody has to wait for it to be noticed."""

    def attach(self, context: BrowserContext) -> None:
        """Listen to the context and to every page it opens."""
        context.on("request", self._note_request)
        context.on("response", self._note_response)
        context.on("requestfinished", self._note_finished)
        context.on("requestfailed", self._note_failed)
        context.on("console", self._note_console)
        context.on("weberror", self._note_error)
        context.on("page", self._note_page)

    def pending(self) -> tuple[str, ...]:
        """The requests that have had no whole answer yet, oldest first."""
        return tuple(self._shown(entry.request.url) for entry in self.requests.values() if not entry.is_over)

    def failed_since(self, requests: int, resource_types: tuple[str, ...]) -> tuple[LoggedRequest, ...]:
        """The failed ones among the requests after the first `requests`, of these types only."""
        later = list(self.requests.values())[requests:]
        return tuple(entry for entry in later if entry.is_failed and entry.request.resource_type in resource_types)

    def document_responses(self) -> tuple[Response, ...]:
        """The answers that brought documents, redirects included."""
        return tuple(entry.response for entry in self.requests.values() if entry.is_document and entry.response)

    def document_failed_pauses_s(self, grace_s: float) -> list[float]:
        """How long until each failed document has been failed for `grace_s`; nothing when none failed."""
        now_ns = time.monotonic_ns()
        return [max(0.0, grace_s - (now_ns - why.at_ns) / 1e9) for why in self.documents.values() if why.at_ns]

    def has_failed_document(self, grace_s: float) -> bool:
        """True when a document failed that long ago and nothing else came in its place."""
        return any(pause_s == 0.0 for pause_s in self.document_failed_pauses_s(grace_s))

    def forgive_documents(self) -> None:
        """Wake nobody any more for the documents that failed until now: they belong to frames that do not matter."""
        self.documents = {frame: replace(why, at_ns=0) for frame, why in self.documents.items()}

    def shown_failed(self) -> tuple[str, ...]:
        """The failed requests, masked and bounded, for a record."""
        return bounded_list(self.failed, self.failed_requests)

    def shown_errors(self) -> tuple[str, ...]:
        """The uncaught errors, masked and bounded, for a record."""
        return bounded_list(self.errors, len(self.errors))

    def console_text(self) -> bytes:
        """The console and the uncaught errors, one line each, in the order they came."""
        dropped = [f"({self.dropped} more lines or requests were not kept)"] if self.dropped else []
        return "".join(f"{line}\n" for line in (*self.console, *dropped)).encode()

    def refusal(self) -> str:
        """What the console says about a document that may not be framed, which no other event tells."""
        for line in reversed(self.console):
            if "Refused to display" in line or "Refused to frame" in line or "Framing '" in line:
                return line.split("] ", 1)[-1].strip()
        return ""

    def _shown(self, text: str) -> str:
        return self.mask(text)[:MAX_TEXT]

    def _line(self, kind: str, text: str) -> None:
        if len(self.console) >= MAX_LINES:
            self.dropped += 1
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.console.append(f"{at} [{kind}] {self._shown(text)}")

    def _note_page(self, page: Page) -> None:
        page.on("crash", self._note_crash)

    def _note_crash(self, page: Page) -> None:
        self.crashed = f"the renderer of {self._shown(page.url)} crashed"
        self._line("crash", self.crashed)
        self._tell()

    def _note_request(self, request: Request) -> None:
        self.total_requests += 1
        if len(self.requests) >= MAX_REQUESTS:
            self.dropped += 1
            return
        is_document = request.is_navigation_request()
        self.requests[request] = LoggedRequest(request, time.monotonic_ns(), is_document)
        if is_document and (frame := frame_of(request)) is not None:
            self.documents.pop(frame, None)

    def _note_response(self, response: Response) -> None:
        entry = self.requests.get(response.request)
        if entry is not None:
            entry.status = response.status
            entry.response = response
        if response.status >= 400:
            self._failed(response.request, str(response.status))
            if entry is not None and entry.is_document:
                retry_after = response.headers.get("retry-after", "")
                self._document_failed(
                    response.request,
                    DocumentFailure(response.url, "", response.status, retry_after[:MAX_TEXT], time.monotonic_ns()),
                )

    def _note_finished(self, request: Request) -> None:
        entry = self.requests.get(request)
        if entry is not None:
            entry.is_over = True

    def _note_failed(self, request: Request) -> None:
        entry = self.requests.get(request)
        error = net_error(request.failure or "") or (request.failure or "unknown")
        if entry is not None:
            entry.is_over = True
            entry.error = error
        if error == ABORTED:
            return
        self._failed(request, error)
        if entry is not None and entry.is_document:
            self._document_failed(request, DocumentFailure(request.url, error, at_ns=time.monotonic_ns()))

    def _failed(self, request: Request, why: str) -> None:
        self.failed_requests += 1
        if len(self.failed) < MAX_SHOWN:
            self.failed.append(self._shown(f"{request.method} {request.url}: {why}"))

    def _document_failed(self, request: Request, why: DocumentFailure) -> None:
        frame = frame_of(request)
        if frame is None:
            return
        self.documents[frame] = why
        self._tell()

    def _tell(self) -> None:
        if self.news is not None:
            self.news()

    def _note_console(self, message: ConsoleMessage) -> None:
        place = message.location
        self._line(message.type, f"{message.text} ({place.get('url', '')}:{place.get('lineNumber', 0)})")

    def _note_error(self, error: WebError) -> None:
        text = describe_error(error)
        self._line("uncaught", text)
        if len(self.errors) < MAX_LINES:
            self.errors.append(self._shown(text))


def describe_error(error: WebError) -> str:
    """The message of an uncaught error and the script, line and column that threw it."""
    thrown = error.error
    place = STACK_PLACE.search(thrown.stack or "")
    return f"{thrown.message} (at {place[1]})" if place else thrown.message


def frame_of(request: Request) -> Frame | None:
    """The frame that asked; None for a request of a worker or of a page that is not there yet."""
    try:
        return request.frame
    except PlaywrightError:
        return None


def bounded_list(texts: list[str], total: int) -> tuple[str, ...]:
    """The first ones and how many more there were."""
    shown = texts[:MAX_SHOWN]
    return (*shown, f"... and {total - len(shown)} more") if total > len(shown) else tuple(shown)
