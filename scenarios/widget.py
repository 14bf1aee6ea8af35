"""The embeddable widget as a client: what a visitor does in it, one method each, in a real browser.

Each method does one thing in the open step and waits, by the page's own clock, for what the visitor would wait for. Figures
that the widget shows are compared like those of the API, within the digits that it shows. Selectors and texts are data
(`[widget]` of the target). Used by `widget_load` and `widget_quote`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import FilePayload, Frame

from probes.answers import UNITS
from probes.browser import BrowserSession, Condition, PageMoment, ReadyCheck
from probes.errors import BugError
from probes.journey import Journey
from probes.parts import Part
from probes.records import Failure, FailureKind, PageLoad
from probes.target_model import Shown, Widget
from probes.templates import fill_url, names_in
from scenarios.expectations import expect_fair_units, expect_sum

__all__ = ["ShownPrice", "WidgetAnswer", "WidgetPage"]

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
WORK = ("fetch", "xhr")
"""The requests of the widget's own work, as opposed to pictures and styles."""

DRIVE_ATTRIBUTE = "browser.drive_s"
"""Run attribute: what driving the browser cost in all driven steps together, so that a reader can take it off."""

LOOK_AGAIN_S = 0.02
MOST_LOOKS = 25


@dataclass(frozen=True, slots=True)
class ShownPrice:
    """A price as the visitor reads it."""

    quantity: int
    unit_price: float
    total_price: float


@dataclass(frozen=True, slots=True)
class WidgetAnswer:
    """An answer that the widget got: its JSON, and the visitor's own token, if the request had one."""

    body: object
    token: str


class WidgetPage:
    """The widget in one browser session. Call `load` first; the rest in the order of the journey."""

    def __init__(self, probe: Journey, session: BrowserSession) -> None:
        if probe.target.widget is None:
            raise BugError("the target has no widget", remedy='Mark the scenario with needs=("widget",)')
        self._probe = probe
        self._session = session
        self._widget: Widget = probe.target.widget
        self._frame: Frame | None = None
        self._requests_of_load = 0

    @property
    def frame(self) -> Frame:
        """The widget's own document."""
        if self._frame is None:
            raise BugError("the widget was not loaded")
        return self._frame

    async def load(self) -> PageLoad:
        """Load the customer's page cold, and return when the widget's own controls answer inside the frame."""
        ready = ReadyCheck(self._widget.frame, self._widget.controls, self._widget.answers)
        url = fill_url(self._widget.page, self._constants())
        page = await self._session.load(url, ready=ready, deadline_s=self._probe.remaining_s())
        self._probe.record_page(page)
        self._frame = await self._session.frame(self._widget.frame)
        self._requests_of_load = self._session.log.total_requests
        return page

    async def settle(self) -> PageLoad:
        """After the step: give late errors, paints and shifts a moment to happen, and add them to the record."""
        await self._probe.sleep(self._widget.settle_s)
        page = await self._session.collect()
        self._probe.record_page(page)
        return page

    async def upload(self, part: Part, content: bytes) -> None:
        """Choose the file and wait until the widget says that it was taken. Its name begins with the run id."""
        payload = FilePayload(name=self.file_name(part), mimeType=part.media_type, buffer=content)
        await self._after(
            lambda: self.frame.set_input_files(self._widget.file_input, payload),
            Condition.text(self._widget.uploaded_text),
        )

    def file_name(self, part: Part) -> str:
        """What the uploaded file is called."""
        return f"{self._probe.run_id}-{part.upload_name}"

    async def answer_to(self, operation: str) -> WidgetAnswer | None:
        """What the platform answered when the widget itself did the operation, as the target describes it; None if not seen.

        Outside of steps: the browser is asked for the body. An operation of several requests is not put together from them.
        """
        if not self._probe.target.has(operation) or len(self._probe.target.operation(operation).requests) > 1:
            return None
        request = self._probe.target.operation(operation).requests[0]
        url = fill_url(request.url, self._constants()) if set(names_in(request.url)) <= set(self._constants()) else ""
        for entry in reversed(self._session.log.requests.values()):
            if (entry.request.method, entry.request.url) == (request.method, url) and entry.response is not None:
                try:
                    body: object = await entry.response.json()
                except (PlaywrightError, ValueError):
                    return None
                return WidgetAnswer(body, entry.request.headers.get("authorization", "").removeprefix("Bearer "))
        return None

    def _constants(self) -> dict[str, str]:
        values = {f"value.{name}": text for name, text in self._probe.target.values.items()}
        return {**self._probe.target.bases, **values}

    async def analyse(self) -> None:
        """Wait until the widget shows what it measured and checked."""
        shown = Condition.text(self._widget.analysis_text)
        for figure in (self._widget.volume, self._widget.area, self._widget.bbox):
            if figure is not None:
                shown = shown.both(has_text(figure.selector))
        if self._widget.dfm_text:
            shown = shown.both(Condition.text(self._widget.dfm_text))
        await self._after(None, shown)

    async def expect_geometry(self, part: Part) -> None:
        """Compare the figures that the widget shows with the part's, within the digits shown."""
        truth = part.geometry
        if truth is None:
            raise BugError(f"the part {part.id!r} has no known geometry")
        expected = (
            ("volume", self._widget.volume, "mm3", (truth.volume_mm3.value,), truth.volume_mm3.rel_tol, 0.0),
            ("area", self._widget.area, "mm2", (truth.area_mm2.value,), truth.area_mm2.rel_tol, 0.0),
            ("bounding box", self._widget.bbox, "mm", truth.bbox_mm, 0.0, truth.bbox_abs_tol_mm),
        )
        for name, figure, unit, values, rel_tol, abs_tol in expected:
            if figure is not None:
                await self._expect_figures(name, figure, unit, values, rel_tol=rel_tol, abs_tol=abs_tol)

    async def _expect_figures(
        self, name: str, figure: Shown, unit: str, values: tuple[float, ...], *, rel_tol: float, abs_tol: float
    ) -> None:
        text = await self._text(figure.selector)
        # The unit may have digits of its own (mm3); figures are told from it by white space.
        found = [word for word in text.split() if NUMBER.fullmatch(word)]
        factor = UNITS[figure.unit][1] / UNITS[unit][1] if figure.unit else 1.0
        self._probe.expect(name, len(found) == len(values), expected=f"{len(values)} figures", found=text)
        for word, value in zip(found, values, strict=True):
            digits = 0.5 * 10.0 ** -len(word.partition(".")[2])
            allowed = max(abs_tol, rel_tol * value) + digits * factor
            self._probe.expect_close(name, parse_amount(word) * factor, value, abs_tol=allowed)

    async def prices(self, quantities: tuple[int, ...]) -> list[ShownPrice]:
        """Choose the material, then one quantity after the other, and read the price of each. Empty if none is shown."""
        if not self._widget.unit_price or not self._widget.total_price:
            await self._after(None, Condition.text(self._widget.price_text))
            return []
        await self._after(None, has_text(self._widget.unit_price).both(has_text(self._widget.total_price)))
        await self._choose_material()
        prices = []
        for quantity in quantities:
            await self._choose_quantity(quantity)
            prices.append(await self._read_price(quantity))
        return prices

    async def _choose_material(self) -> None:
        select = self._widget.material_select
        if select and self._widget.material and await self.frame.input_value(select) != self._widget.material:
            await self._after(
                lambda: self.frame.select_option(select, self._widget.material),
                Condition.changed(self._widget.unit_price),
            )

    async def _choose_quantity(self, quantity: int) -> None:
        field = self._widget.quantity_input
        if await self.frame.input_value(field) != str(quantity):
            await self._after(
                lambda: self.frame.fill(field, str(quantity)), Condition.changed(self._widget.total_price)
            )

    async def _read_price(self, quantity: int) -> ShownPrice:
        unit_text, total_text = await self._text(self._widget.unit_price), await self._text(self._widget.total_price)
        price = ShownPrice(quantity, parse_amount(unit_text), parse_amount(total_text))
        self._probe.expect("unit price", price.unit_price > 0, expected="above 0", found=unit_text)
        expect_sum(self._probe, f"total of {quantity}", price.total_price, price.unit_price, quantity)
        if self._widget.currency_text:
            has_currency = self._widget.currency_text in unit_text
            self._probe.expect("currency", has_currency, expected=self._widget.currency_text, found=unit_text)
        return price

    def expect_fair(self, prices: list[ShownPrice]) -> None:
        """Check that more pieces never cost more each."""
        expect_fair_units(self._probe, [(price.quantity, price.unit_price) for price in prices])

    async def quote(self, price: ShownPrice | None) -> None:
        """Ask for the quote and wait for its summary; it must cost what was shown before."""
        button = self._widget.quote_button
        await self._after(
            (lambda: self.frame.click(button)) if button else None, Condition.usable(self._widget.summary)
        )
        if price is not None and self._widget.quote_total:
            total = await self._text(self._widget.quote_total)
            self._probe.expect_close("quote's total", parse_amount(total), price.total_price, abs_tol=0.005)

    async def _text(self, selector: str) -> str:
        element = await self.frame.query_selector(selector)
        return "" if element is None else (await element.inner_text()).strip()

    async def _after(self, action: Callable[[], Awaitable[object]] | None, wanted: Condition) -> PageMoment:
        """Act, and wait for what is wanted or for the widget's own words that it will not come."""
        until = wanted.script(
            f"(({wanted.expression}) ? {{ ok: true }} : {error_shown(self._widget.errors)})",
            wanted.describes,
            prepare=wanted.prepare,
        )
        deadline_s = self._probe.remaining_s()
        if action is None:
            moment = await self._session.until(self.frame, until, deadline_s)
        else:
            moment = await self._session.perform(action, frame=self.frame, until=until, deadline_s=deadline_s)
        before = self._probe.attributes.get(DRIVE_ATTRIBUTE, 0.0)
        self._probe.attributes[DRIVE_ATTRIBUTE] = (before if isinstance(before, float) else 0.0) + moment.drive_ns / 1e9
        if isinstance(moment.value, dict) and "error" in moment.value:
            await self._hear_of_failure()
            raise self._session.failed(self._failure(str(moment.value["error"])))
        return moment

    async def _hear_of_failure(self) -> None:
        """The page's words can be faster than the news of the request that failed."""
        log = self._session.log
        for _ in range(MOST_LOOKS):
            if log.failed_since(self._requests_of_load, WORK) or not log.pending():
                return
            await self._probe.sleep(LOOK_AGAIN_S)

    def _failure(self, words: str) -> Failure:
        """What went wrong when the widget says so: the kind is that of the latest of its own requests that failed.

        The request may belong to an earlier step: the widget asks for the price as soon as it has the analysis.
        """
        log, message = self._session.log, f"the widget says: {words}"
        for failed in reversed(log.failed_since(self._requests_of_load, WORK)):
            message += f" ({failed.describe(log.mask)})"
            if failed.status == 429:
                return Failure(FailureKind.RATE_LIMITED, message, "429")
            if failed.status:
                return Failure(FailureKind.STATUS, message, str(failed.status))
            return Failure(FailureKind.CONNECT, message, f"net::{failed.error}")
        return Failure(FailureKind.BROWSER, message, "widget-error")


def has_text(selector: str) -> Condition:
    """The element is rendered and has some text."""
    element = f"document.querySelector({json.dumps(selector)})"
    expression = f"({element}?.checkVisibility() && {element}.innerText.trim() !== '')"
    return Condition.script(expression, f"a text in {selector}")


def error_shown(selector: str) -> str:
    """JavaScript: the text of the first place for errors that has one, or false."""
    if not selector:
        return "false"
    return (
        f"((e) => e ? {{ error: e.innerText.trim() }} : false)"
        f"([...document.querySelectorAll({json.dumps(selector)})].find((e) => e.innerText.trim() !== ''))"
    )


def parse_amount(text: str) -> float:
    """The first number in a text that people read, with commas between thousands; 0 when there is none."""
    found = NUMBER.search(text)
    return float(found.group().replace(",", "")) if found else 0.0
