"""What pages cost: a fleet of 12 regions and 40 scenarios, answers from what is kept, and viewers that share one reading."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import pytest_asyncio

from collector.scoring import Scorer
from collector.store import Store, open_store
from collector.web.server import open_pages
from probes.clock import Clock
from probes.messages import Address
from tests.clock import JumpingClock
from tests.page_kit import DESK, PHONE, look_at, open_browser
from tests.store_kit import NOW, deliver, run_at, run_entry
from tests.web_kit import Pages, QuickClock, site_over

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGIONS: Final = tuple(f"region-{number:02}" for number in range(1, 13))
SCENARIOS: Final = ("api-health", "quote", *(f"journey-{number:02}" for number in range(1, 39)))
ANSWERED_MS: Final = 150
AFTERWARDS: Final = NOW + timedelta(minutes=1)


async def fill(store: Store, *, slots: int, every: timedelta) -> None:
    """So many slots of every scenario in every region, up to now."""
    for region in REGIONS:
        probe = Address("fleet", region, "probe-1")
        runs = [
            run_entry(run_at(NOW - every * turn, probe=probe, scenario=scenario, number=1 + turn * 100 + place))
            for turn in reversed(range(slots))
            for place, scenario in enumerate(SCENARIOS)
        ]
        for start in range(0, len(runs), 400):
            await store.file([deliver(runs[start : start + 400], probe=probe, first_seq=start + 1)])


async def open_large(folder: Path, *, slots: int, every: timedelta, clock: Clock | None = None) -> AsyncIterator[Pages]:
    """The pages of such a fleet, in the loop of the test."""
    async with open_store(str(folder / "store.db"), survives_power_cut=False) as store:
        site = site_over(store, clock=clock or JumpingClock(AFTERWARDS), regions=REGIONS)
        await store.scores.begin(Scorer.of(site.objectives.current))
        await fill(store, slots=slots, every=every)
        async with (
            open_pages(site, "127.0.0.1:0") as url,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        ):
            yield Pages(url, session)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def large(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pages]:
    """An hour of it, for tests that only read."""
    async for pages in open_large(tmp_path_factory.mktemp("large"), slots=2, every=timedelta(minutes=30)):
        yield pages


async def cost_ms(pages: Pages, path: str) -> float:
    """The CPU time of an answer, client and all, at its best of a few."""
    await pages.read(path)
    costs = []
    for _ in range(7):
        began_s = time.process_time()
        answer = await pages.ask(path)
        costs.append((time.process_time() - began_s) * 1000)
        assert answer.status == 200
    return min(costs)


@pytest.mark.serial
@pytest.mark.parametrize(
    "path", ["/", "/levels/api-uptime", "/levels/api-p95", "/alerts", "/api/v1/board", "/api/v1/levels"]
)
async def test_a_page_of_a_large_fleet_is_answered_in_no_time(large: Pages, path: str) -> None:
    """480 cells and all lines, from what is kept."""
    assert await cost_ms(large, path) < ANSWERED_MS


@pytest.mark.slow
async def test_a_large_fleet_fits_a_phone(tmp_path: Path) -> None:
    """The wide table scrolls by itself, the page does not, and axe-core finds nothing grave in it."""
    clock = QuickClock(AFTERWARDS)
    async for pages in open_large(tmp_path, slots=1, every=timedelta(minutes=30), clock=clock):
        async with open_browser() as browser:
            for view in (PHONE, DESK):
                assert (await look_at(browser, f"{pages.url}/", view)).trouble == []


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(1800)
async def test_a_month_of_a_large_fleet_is_answered_in_no_time(tmp_path: Path) -> None:
    """12 regions, 40 scenarios, 30 days."""
    async for pages in open_large(tmp_path, slots=120, every=timedelta(hours=6)):
        for path in ("/", "/levels/api-uptime", "/levels/api-p95", "/alerts", "/api/v1/levels"):
            assert await cost_ms(pages, path) < ANSWERED_MS, path


@pytest.mark.serial
async def test_viewers_share_one_reading(large: Pages) -> None:
    """Fifty pages of fifty viewers within the same seconds cost no more than what rendering them costs."""
    await large.read("/")
    one = await cost_ms(large, "/")
    began_s = time.process_time()
    for _ in range(50):
        await large.ask("/")
    assert (time.process_time() - began_s) * 1000 / 50 < 3 * one
