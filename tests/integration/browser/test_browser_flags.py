"""What Chromium is told when it starts: all that Playwright tells it, and to load nothing of its own beside the page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from playwright.async_api import async_playwright

from probes.browser import BrowserEngine, find_browser
from probes.browser_chromium import FEATURES_OFF, FLAGS
from probes.evidence import EvidenceMode, EvidenceStore

OFF: Final = "--disable-features="


async def test_no_feature_that_playwright_switches_off_is_left_on() -> None:
    """Chromium obeys the last of two such lists, which is ours: it must hold Playwright's own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(find_browser().path), args=["--no-sandbox"])
        devtools = await browser.new_browser_cdp_session()
        processes = (await devtools.send("SystemInfo.getProcessInfo"))["processInfo"]
        pid = next(entry["id"] for entry in processes if entry["type"] == "browser")
        words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")  # noqa: ASYNC240 - a file of the kernel
        await browser.close()
    (theirs,) = [word.removeprefix(OFF).split(",") for word in words if word.startswith(OFF)]
    assert set(theirs) - set(FEATURES_OFF) == set()
    assert [flag for flag in FLAGS if flag.startswith(OFF)] == [OFF + ",".join(FEATURES_OFF)]


async def test_the_browser_loads_nothing_of_its_own_beside_the_page(tmp_path: Path) -> None:
    """A renderer for a part of a window that nobody sees would take the processor while a page is timed."""
    store = EvidenceStore(tmp_path, mode=EvidenceMode.NEVER)
    async with (
        BrowserEngine(find_browser()) as engine,
        engine.session(origin_ns=0, headers={}, evidence=store.sink("r")) as session,
    ):
        await session.page.goto("data:text/html,hello")
        (browser,) = engine._running.values()
        found = (await browser._devtools.send("Target.getTargets", {"filter": [{}]}))["targetInfos"]
    assert {(one["type"], one["url"].partition(",")[0]) for one in found} <= {
        ("browser", ""),
        ("page", "data:text/html"),
        ("tab", "data:text/html"),
    }
