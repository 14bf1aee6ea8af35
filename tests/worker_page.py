"""A lane of the worker with a browser and one scenario for it. Imported by that lane's own process.

Used by tests named worker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from probes.browser import BrowserEngine, ReadyCheck, find_browser
from probes.journey import Journey
from probes.registry import scenario, spec_of
from probes.worker_kit import LaneKit
from probes.worker_pipe import LaneOrder
from tests.worker_kit import open_kit

__all__ = ["FACTORY", "open_lane"]

FACTORY = "tests.worker_page:open_lane"
PAGE_DEADLINE_S = 4.0


@scenario("page", timeout="20s", browser=True)
async def page(probe: Journey) -> None:
    """Load a page and wait for its button."""
    async with probe.browser() as session, probe.step("load"):
        url = f"{probe.target.bases['api']}/page"
        probe.record_page(await session.load(url, ready=ReadyCheck(controls=("button",)), deadline_s=PAGE_DEADLINE_S))


@asynccontextmanager
async def open_lane(order: LaneOrder) -> AsyncIterator[LaneKit]:
    """The lane, with a browser of its own."""
    async with BrowserEngine(find_browser()) as browser, open_kit(order, {"page": spec_of(page)}, browser) as kit:
        yield kit
