"""`python -m tests.pictures [FOLDER]`: the pictures of the pages in docs/images, all made by this script from one made-up month.

The month has three regions and every scenario that can be simulated, an outage with an alert, a slow day, and a region that was
silent for hours; it is looked at on its last evening. Takes minutes. Each page is taken on a desk, in light, and on a phone, in
dark. Called by whoever changes what a page looks like.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page

from collector.scoring import Scorer
from collector.simulation import deliveries_of
from collector.simulation_plan import Plan, read_plan
from collector.store import open_store
from console.objectives import load_set
from slo.window import Span, minute_of, month_span
from tests.alert_kit import open_an_incident
from tests.page_kit import View, load, open_browser, open_page, wait_for_figures
from tests.web_kit import QuickClock, served_over

__all__ = ["PICTURES", "main", "take_all"]

MONTH: Final = month_span("2026-09")
END: Final = datetime(2026, 9, 30, 21, 0, 20, tzinfo=UTC)
OUTAGE_AT: Final = datetime(2026, 9, 30, 20, 40, tzinfo=UTC)
PLAN: Final = """
seed = 7
[journeys]
api-health = "1m"
web-health = "5m"
widget-load = "5m"
sign-in = "15m"
quote = "15m"
cad-small = "1h"
cad-large = "1h"
payment = "1h"
[[statement]]
what = "fail"
residue = { mod = 1500, equals = 11, per_region = 700 }
[[statement]]
from = 2026-09-03T10:00:00Z
until = 2026-09-03T10:12:00Z
what = "fail"
kind = "status"
[[statement]]
scenarios = ["quote", "api-health"]
from = 2026-09-08T09:00:00Z
until = 2026-09-08T15:00:00Z
what = "slow"
times = 3.0
[[statement]]
regions = ["ap-south"]
from = 2026-09-17T12:00:00Z
until = 2026-09-17T18:00:00Z
what = "missing"
[[statement]]
scenarios = ["api-health", "quote"]
regions = ["eu-west", "us-east"]
from = 2026-09-30T20:40:00Z
until = 2026-09-30T22:00:00Z
what = "fail"
kind = "connect"
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A page, how it is called in docs/images, and how much of it a desk shows; `follow`: the link that leads on to it."""

    name: str
    path: str
    desk_height: int = 900
    follow: str = ""


PICTURES: Final = (
    Picture("overview", "/", 1000),
    Picture("level", "/levels/api-uptime", 1900),
    Picture("alerts", "/alerts", 800),
    Picture("runs", "/runs?scenario=quote", 820),
    Picture("run", "/runs?scenario=quote&outcome=fail", 1200, "tbody tr:nth-child(1) th a"),
    Picture("fleet", "/fleet", 900),
    Picture("compare", "/compare?by=region&a=eu-west&b=us-east", 900),
    Picture("status", "/status", 900),
)
DESK_WIDTH: Final = 1200
PHONE: Final = View(390, 844, "dark")


def fill(database: Path, plan: Plan) -> None:
    """The month up to its last evening, and the alert of what is going on."""

    async def work() -> None:
        async with open_store(str(database), survives_power_cut=False) as store:
            await store.scores.begin(Scorer.of(load_set()))
            for delivery in deliveries_of(plan, Span(MONTH.name, MONTH.from_minute, minute_of(END))):
                await store.file([delivery])
            await open_an_incident(store, OUTAGE_AT)

    asyncio.run(work())


async def take_all(browser: Browser, url: str, folder: Path) -> list[Path]:
    """Every picture, on a desk and on a phone; the files."""
    return [await take(browser, url, picture, *view) for picture in PICTURES for view in views_of(picture, folder)]


def views_of(picture: Picture, folder: Path) -> Iterator[tuple[View, Path]]:
    """The screens of a picture, each with its file."""
    yield View(DESK_WIDTH, picture.desk_height, "light"), folder / f"{picture.name}.png"
    yield PHONE, folder / f"{picture.name}-phone.png"


async def take(browser: Browser, url: str, picture: Picture, view: View, file: Path) -> Path:
    """One picture."""
    async with open_page(browser, view) as page:
        await load(page, f"{url}{picture.path}")
        if picture.follow:
            await follow(page, picture.follow)
        await page.screenshot(path=file)
    return file


async def follow(page: Page, link: str) -> None:
    """Go where a link leads."""
    await page.locator(link).first.click()
    await page.wait_for_load_state()
    await wait_for_figures(page)


def main() -> None:
    """Make the month, serve it, take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description="Take the pictures of the pages.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent.parent / "docs" / "images")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "plan.toml").write_text(PLAN, encoding="utf-8")
        plan = read_plan(Path(name) / "plan.toml")
        fill(Path(name) / "month.db", plan)
        with served_over(Path(name) / "month.db", QuickClock(END), fleet=plan.fleet, regions=plan.regions) as served:
            files = asyncio.run(_taken(served.url, folder))
    sys.stdout.write("".join(f"{file}\n" for file in files))


async def _taken(url: str, folder: Path) -> list[Path]:
    async with open_browser() as browser:
        return await take_all(browser, url, folder)


if __name__ == "__main__":
    main()
