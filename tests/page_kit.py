"""Looking at pages in a real browser: what every page must be, whoever made it.

Used by tests named web_look and by whoever makes the pictures of the documentation. The browser is Debian's; axe-core is the
script that its package carries.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from playwright.async_api import Browser, Page, async_playwright

from probes.browser import find_browser
from probes.browser_chromium import FLAGS

__all__ = ["DESK", "PHONE", "Look", "View", "look_at", "open_browser", "wait_until"]

PATIENCE_MS: Final = 60_000
GRAVE: Final = ("serious", "critical")


@dataclass(frozen=True, slots=True)
class View:
    """A screen."""

    width: int
    height: int
    scheme: Literal["light", "dark"]
    has_scripts: bool = True


PHONE: Final = View(360, 740, "dark")
DESK: Final = View(1280, 900, "light")


@dataclass(slots=True)
class Look:
    """What was wrong with a page, in words; `painted_ms` is when something was first seen."""

    trouble: list[str] = field(default_factory=list)
    painted_ms: float = 0.0


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """One browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(find_browser().path), args=["--no-sandbox", *FLAGS], timeout=PATIENCE_MS
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_page(browser: Browser, view: View) -> AsyncIterator[Page]:
    """A page of a context of its own."""
    context = await browser.new_context(
        viewport={"width": view.width, "height": view.height},
        color_scheme=view.scheme,
        java_script_enabled=view.has_scripts,
    )
    try:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield page
    finally:
        await context.close()


async def load(page: Page, url: str) -> None:
    """The page with its figures, however long they take to be worked out."""
    await page.goto(url)
    await wait_for_figures(page)


async def wait_for_figures(page: Page) -> None:
    """Until a page that renews itself has them; looked at again and again, for an event may come before anybody waits for it."""
    give_up_s = time.monotonic() + PATIENCE_MS / 1000
    while "being worked out" in await page.inner_text("main"):
        assert time.monotonic() < give_up_s, f"not within {PATIENCE_MS} ms: the figures of {page.url}"
        await asyncio.sleep(0.05)
    await page.wait_for_load_state()


async def wait_until(page: Page, expression: str) -> None:
    """Until the page says so; asked from outside, for the policy of our pages forbids Playwright's own way of waiting."""
    give_up_s = time.monotonic() + PATIENCE_MS / 1000
    while not await page.evaluate(expression):
        assert time.monotonic() < give_up_s, f"not within {PATIENCE_MS} ms: {expression}"
        await asyncio.sleep(0.02)


async def look_at(browser: Browser, url: str, view: View, *, statuses: tuple[int, ...] = (200,)) -> Look:
    """Open a page and check all that every page owes: it is whole, quiet, stays here, fits the screen, and is for everybody."""
    look, origin = Look(), "/".join(url.split("/", 3)[:3])
    async with open_page(browser, view) as page:
        page.on("console", lambda message: look.trouble.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: look.trouble.append(f"error: {error}"))
        page.on("request", lambda request: _check_host(look, request.url, origin))
        page.on("response", lambda answer: _check_status(look, answer.url, answer.status, statuses))
        await load(page, url)
        if not view.has_scripts:
            return look
        width = await page.evaluate("document.documentElement.scrollWidth")
        if width > view.width:
            look.trouble.append(f"wider than the screen: {width}")
        if await page.locator("h1").count() != 1:
            look.trouble.append("not one first heading")
        look.trouble += [f"axe: {found}" for found in await _axe(page)]
        paints = "performance.getEntriesByType('paint').map(one => one.startTime)"
        look.painted_ms = max(await page.evaluate(paints), default=0.0)
    return look


def _check_host(look: Look, url: str, origin: str) -> None:
    if not url.startswith((f"{origin}/", "data:")) and url != origin:
        look.trouble.append(f"asked another host: {url}")


def _check_status(look: Look, url: str, status: int, statuses: tuple[int, ...]) -> None:
    if status not in (200, *statuses):
        look.trouble.append(f"{status} from {url}")


async def _axe(page: Page) -> list[str]:
    """The grave findings of axe-core, each with the first places where it is."""
    script = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    await page.evaluate(script)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found["violations"]
        if one["impact"] in GRAVE
    ]
