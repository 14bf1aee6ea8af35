"""The stand-in's widget works in a real browser, inside a customer's page of another origin, from upload to checkout."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FrameLocator, Page, async_playwright, expect

from probes.browser import find_browser
from probes.browser_chromium import FLAGS
from tests.message_kit import until
from tests.page_kit import wait_until
from tests.platform_kit import StandIn, part, start_stand_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRAME = "#cnc-quote-widget iframe"
DEADLINE_MS = 40_000.0


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """One platform for the whole file, with TLS as a real one has."""
    with start_stand_in("--tls", "--workers", "1") as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(stand_in: StandIn) -> AsyncIterator[Browser]:
    """A Chromium for the whole file that trusts the platform's key and nothing else unusual."""
    async with async_playwright() as playwright:
        trusted = f"--ignore-certificate-errors-spki-list={','.join(stand_in.spki)}"
        launched = await playwright.chromium.launch(
            executable_path=str(find_browser().path), args=["--no-sandbox", *FLAGS, trusted]
        )
        try:
            yield launched
        finally:
            await launched.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A fresh page, in a context of its own, whose waits have a deadline."""
    opened = await browser.new_page()
    opened.set_default_timeout(DEADLINE_MS)
    yield opened
    await opened.close()


async def open_widget(page: Page, stand_in: StandIn) -> FrameLocator:
    """The widget inside the host's page."""
    await page.goto(stand_in.urls["host"])
    return page.frame_locator(FRAME)


async def test_a_visitor_gets_a_quote_and_a_checkout(page: Page, stand_in: StandIn) -> None:
    """Upload, analysis, score, price, quote, checkout; the page around it is told, and the prices agree."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    widget = await open_widget(page, stand_in)
    await widget.locator("input[type=file]").set_input_files(part("heat_sink").path)
    await expect(widget.get_by_text("File uploaded successfully")).to_be_visible(timeout=DEADLINE_MS)
    await expect(widget.locator("#upload-progress")).to_have_js_property("value", 100, timeout=DEADLINE_MS)
    await expect(widget.get_by_text("Part Analysis")).to_be_visible(timeout=DEADLINE_MS)
    await expect(widget.get_by_text("Manufacturability Score")).to_be_visible(timeout=DEADLINE_MS)
    await widget.locator("select[name=material]").select_option("alu-6061")
    await widget.locator("input[name=quantity]").fill("10")
    await expect(widget.get_by_text("Price per unit")).to_be_visible(timeout=DEADLINE_MS)
    await widget.get_by_role("button", name="Get quote").click()
    await expect(widget.locator(".quote-summary .quote-quantity")).to_have_text("10", timeout=DEADLINE_MS)
    total = await widget.locator(".quote-summary .quote-total").inner_text()
    await widget.get_by_role("button", name="Checkout").click()
    await expect(widget.get_by_text("is waiting for payment")).to_be_visible(timeout=DEADLINE_MS)
    # The words are there a moment before the page around them is told.
    await wait_until(page, "window.quoteMessages.some(message => message.type === 'checkout:started')")
    messages = await page.evaluate("window.quoteMessages")
    kinds = [message["type"] for message in messages]
    assert kinds[-2:] == ["quote:created", "checkout:started"]
    assert "price:updated" in kinds
    created = messages[-2]["data"]
    assert total == f"${created['total']:,.2f}"
    assert stand_in.call("GET", "web", f"/checkout/{messages[-1]['data']['orderId']}").status == 200
    assert errors == []


async def test_a_file_that_is_no_part_gets_a_reason_and_no_price(page: Page, stand_in: StandIn) -> None:
    """The visitor reads why; neither price nor quote appears."""
    widget = await open_widget(page, stand_in)
    await widget.locator("input[type=file]").set_input_files(part("inv-truncated.step").path)
    await expect(widget.get_by_text("This part cannot be quoted")).to_be_visible(timeout=DEADLINE_MS)
    assert not await widget.get_by_text("Price per unit").is_visible()


async def test_a_fault_of_the_price_is_shown_where_it_happened(page: Page, stand_in: StandIn) -> None:
    """The upload and the analysis went well; the price says that it failed."""
    with stand_in.fault("error-5xx", route="price"):
        widget = await open_widget(page, stand_in)
        await widget.locator("input[type=file]").set_input_files(part("clean_block").path)
        await expect(widget.get_by_text("No price:")).to_be_visible(timeout=DEADLINE_MS)


async def test_the_widget_can_be_blank_refused_or_in_error(page: Page, stand_in: StandIn) -> None:
    """Blank and refused leave no control in the frame; the script's error reaches the page, whose controls still answer."""
    for name in ("widget-blank", "widget-refused"):
        with stand_in.fault(name):
            widget = await open_widget(page, stand_in)
            await page.wait_for_load_state("networkidle")
            assert await widget.locator("#upload-button").count() == 0
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    with stand_in.fault("widget-js-error"):
        widget = await open_widget(page, stand_in)
        await expect(widget.locator("#upload-button")).to_be_enabled(timeout=DEADLINE_MS)
        await page.wait_for_load_state("networkidle")
        await until(lambda: errors, "the error of the script")
        assert errors == ["widget: a script of ours failed"]
        await widget.locator("input[type=file]").set_input_files(part("tiny").path)
        await expect(widget.get_by_text("File uploaded successfully")).to_be_visible(timeout=DEADLINE_MS)
