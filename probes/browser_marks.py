"""What pages report of themselves, as it comes in: where the page's clock starts, that a document is ready, that a wait is over.

A mark is an instant of the page's clock; when we heard of it says only what hearing cost. Refuses to trust a page: whatever
is not of the expected shape is left out. Called by `probes.browser_session`.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from playwright.async_api import Frame, Page

__all__ = ["Marks", "ReadyMark", "Wait"]

MAX_READY_MARKS = 50


@dataclass(frozen=True, slots=True)
class ReadyMark:
    """A document says that its controls answer."""

    frame: Frame
    at_ms: float


@dataclass(slots=True)
class Wait:
    """One armed condition: when the action began and when the condition was met, by the page's clock.

    `over` is also done when the browser ended; then nothing was met.
    """

    over: asyncio.Future[None]
    started_ms: float | None = None
    met_ms: float | None = None
    value: object = None
    broken: str = ""


@dataclass  # no slots: Playwright notes its handlers on the object that owns them
class Marks:
    """The marks of one session; `news` is set whenever something came in."""

    news: asyncio.Event = field(default_factory=asyncio.Event)
    origins: dict[Page, float] = field(default_factory=dict)
    ready: deque[ReadyMark] = field(default_factory=lambda: deque(maxlen=MAX_READY_MARKS))
    invalid: str = ""
    waits: dict[int, Wait] = field(default_factory=dict)

    def receive(self, source: Mapping[str, object], report: object = None) -> None:
        """Take one report of a document; called by Playwright."""
        frame, page = source.get("frame"), source.get("page")
        if not isinstance(report, dict) or not isinstance(frame, Frame) or not isinstance(page, Page):
            return
        at_ms = report.get("at")
        what = report.get("what")
        if what == "invalid":
            self.invalid = str(report.get("message"))
        elif what == "broken":
            self._broken(report)
        elif isinstance(at_ms, (int, float)):
            self._take(what, float(at_ms), frame, page, report)
        self.news.set()

    def end(self) -> None:
        """Nothing more will come: wake everybody who waits, so that they look why."""
        self.news.set()
        for wait in self.waits.values():
            if not wait.over.done():
                wait.over.set_result(None)

    def begin_load(self) -> None:
        """Forget what earlier documents said."""
        self.origins.clear()
        self.ready.clear()
        self.invalid = ""
        self.news.clear()

    def _take(self, what: object, at_ms: float, frame: Frame, page: Page, report: Mapping[str, object]) -> None:
        if what == "origin" and frame == page.main_frame:
            self.origins[page] = at_ms
        elif what == "ready":
            self.ready.append(ReadyMark(frame, at_ms))
        elif what in ("started", "met") and (wait := self._wait_of(report)) is not None:
            if what == "started":
                wait.started_ms = at_ms
            else:
                wait.met_ms = at_ms
                wait.value = parse_value(report.get("value"))
                if not wait.over.done():
                    wait.over.set_result(None)

    def _wait_of(self, report: Mapping[str, object]) -> Wait | None:
        number = report.get("id")
        return self.waits.get(int(number)) if isinstance(number, (int, float)) else None

    def _broken(self, report: Mapping[str, object]) -> None:
        wait = self._wait_of(report)
        if wait is not None:
            wait.broken = str(report.get("message"))


def parse_value(value: object) -> object:
    """What a condition handed back: True as it is, anything else as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
