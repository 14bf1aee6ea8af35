"""One look at a page from outside: what each of its documents has measured and what is still missing, within a deadline.

Looks are taken outside the timed window, or shortly before a deadline when the page is late anyway. A document that does
not answer in time is reported as such: its thread is busy. Called by `probes.browser_session`; read by
`probes.browser_diagnosis`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, Page

from probes.browser_script import KEY
from probes.records import PageLoad

__all__ = ["DocumentState", "Look", "look_at", "page_load"]

SNAPSHOT = f"() => {KEY}?.snapshot?.() ?? null"
MAX_DOCUMENTS = 20
MS = 1_000_000
State = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DocumentState:
    """What one document said of itself; `answered` is False when it did not come to it. Instants are Unix time in ms."""

    answered: bool
    values: State = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """A measured number, None when it was not reported."""
        value = self.values.get(name)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def text(self, name: str) -> str:
        """A text, empty when it was not reported."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.values.get(name)
        return tuple(str(item) for item in value) if isinstance(value, list) else ()

    @property
    def is_empty(self) -> bool:
        """True when the document shows nothing at all."""
        return self.values.get("isEmpty") is True


SILENT = DocumentState(answered=False)


@dataclass(frozen=True, slots=True)
class Look:
    """The page's documents, the one that was selected, and whether its element is there.

    `element` is `missing`, `no frame` (it matched something that holds no document), `found`, or `unknown` when the page did
    not answer. Without a frame selector the page itself is selected.
    """

    documents: Mapping[Frame, DocumentState]
    element: str
    selected: Frame | None

    @property
    def is_whole(self) -> bool:
        """True when everything that was asked answered."""
        return self.element != "unknown" and all(state.answered for state in self.documents.values())

    def state(self, frame: Frame | None) -> DocumentState:
        """What a document said, or that it did not."""
        return self.documents.get(frame, SILENT) if frame is not None else SILENT


async def look_at(page: Page, frame_selector: str, deadline_s: float) -> Look:
    """Ask every document and find the selected frame; returns within the deadline, whatever the page does."""
    frames = page.frames[:MAX_DOCUMENTS]
    asked = [asyncio.ensure_future(ask(frame)) for frame in frames]
    selecting = asyncio.ensure_future(select(page, frame_selector))
    try:
        await asyncio.wait([*asked, selecting], timeout=deadline_s)
    finally:
        for task in (*asked, selecting):
            task.cancel()
        results = await asyncio.gather(*asked, selecting, return_exceptions=True)
    states = [result if isinstance(result, DocumentState) else SILENT for result in results[:-1]]
    selection = results[-1]
    element, selected = selection if isinstance(selection, tuple) else ("unknown", None)
    return Look(dict(zip(frames, states, strict=True)), element, selected)


async def ask(frame: Frame) -> DocumentState:
    """One document's snapshot; silent when it went away while it was asked."""
    try:
        values = await frame.evaluate(SNAPSHOT)
    except PlaywrightError:
        return SILENT
    return DocumentState(answered=True, values=values if isinstance(values, dict) else {})


async def select(page: Page, frame_selector: str) -> tuple[str, Frame | None]:
    """The frame that the selector names now, without waiting for one."""
    if not frame_selector:
        return "found", page.main_frame
    try:
        element = await page.query_selector(frame_selector)
        if element is None:
            return "missing", None
        frame = await element.content_frame()
    except PlaywrightError:
        return "unknown", None
    return ("found", frame) if frame is not None else ("no frame", None)


def page_load(url: str, look: Look, main: Frame, *, origin_ms: float | None, ready_ms: float | None) -> PageLoad:
    """What the documents measured, from the start of the page's own; what the log knows is added by the session.

    The largest paint is the largest of all documents, and the layout shift that of the worst one: what a person saw.
    """
    top = look.state(main)
    origin = top.number("origin") if origin_ms is None else origin_ms

    def since_start_ns(at_ms: float | None) -> int | None:
        return None if at_ms is None or origin is None else max(0, round((at_ms - origin) * MS))

    shifts = [value for state in look.documents.values() if (value := state.number("cls")) is not None]
    return PageLoad(
        url=url,
        ready_ns=since_start_ns(ready_ms),
        ttfb_ns=since_start_ns(top.number("ttfb")),
        fcp_ns=since_start_ns(top.number("fcp")),
        lcp_ns=since_start_ns(largest_paint_ms(look)),
        dom_content_loaded_ns=since_start_ns(top.number("domContentLoaded")),
        load_ns=since_start_ns(top.number("load")),
        cls=round(max(shifts), 6) if shifts else None,
    )


def largest_paint_ms(look: Look) -> float | None:
    """When the largest thing of any document was painted."""
    paints: list[tuple[float, float]] = []
    for state in look.documents.values():
        paint = state.values.get("lcp")
        if isinstance(paint, dict) and isinstance(paint.get("at"), (int, float)):
            paints.append((float(paint.get("size") or 0), float(paint["at"])))
    return max(paints)[1] if paints else None
