"""`python -m tests.pictures [FOLDER]`: the pictures of the pages in docs/images, all made by this script from one made-up month.

The month has three regions and every scenario that can be simulated, an outage with an alert, a slow day, a region that was
silent for hours, and releases with and without a gate; it is looked at on its last evening. Takes minutes. Each page is taken
on a desk, in light, and on a phone, in dark. Called by whoever changes what a page looks like.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page

from collector.scoring import Scorer
from collector.simulation import deliveries_of
from collector.simulation_plan import Plan, read_plan
from collector.store import open_store
from console.objectives import load_set
from probes.release_marker import ReleaseMarker, ReleaseOutcome
from slo.window import Span, minute_of, month_span
from tests.alert_kit import FLEET, TARGET, open_an_incident
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

WITHIN: Final = (
    "3 % or more failing is excluded in 8 checks, and 14 timed steps are within 25 % (or 20.0 ms) of production, after"
)
PRICED_AT_ZERO: Final = "price (assertion) in quote: total: expected > 0, found 0; 2 of 2 rounds of quote"
WAITS: Final = "the time of 60 min is over, 2 timed steps not decided; the release waits"


def release(
    name: str, at: str, minutes: int, outcome: ReleaseOutcome, cause: str = "", *, target: str = "staging", job: int
) -> ReleaseMarker:
    """A release of September, told by a job whose page has its report; without minutes it went to production."""
    began_at = datetime.fromisoformat(f"2026-09-{at}:00+00:00")
    return ReleaseMarker(
        name,
        target,
        began_at,
        began_at + timedelta(minutes=minutes),
        outcome,
        environment="" if minutes else "production",
        cause=cause,
        by=f"deploy #{job}",
        report_url=f"https://ci.example/jobs/{job}" if minutes else "",
    )


def releases() -> Iterator[ReleaseMarker]:
    """Those of the month: gates on staging, and what then went out to the target that is probed."""
    passed, none = ReleaseOutcome.PASS, ReleaseOutcome.NO_GATE
    yield release("2026.09.1", "02T13:10", 34, passed, f"{WITHIN} 99 rounds", job=412)
    yield release("2026.09.1", "02T14:02", 0, none, target=TARGET, job=413)
    yield release("2026.09.2", "07T12:45", 2, ReleaseOutcome.FAIL, PRICED_AT_ZERO, job=420)
    yield release("2026.09.3", "07T16:20", 41, passed, f"{WITHIN} 118 rounds", job=424)
    yield release("2026.09.3", "08T07:55", 0, none, target=TARGET, job=425)
    hotfix = release("2026.09.3-hotfix", "08T14:50", 0, none, target=TARGET, job=431)
    yield replace(hotfix, by="r.meyer", note="rolled out by hand: the cache of prices was off")
    yield release("2026.09.4", "22T09:05", 61, ReleaseOutcome.UNDECIDED, WAITS, job=447)
    yield release("2026.09.4", "22T13:30", 52, passed, f"{WITHIN} 164 rounds", job=448)
    yield release("2026.09.4", "23T08:00", 0, none, target=TARGET, job=449)


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
    Picture("releases", "/releases", 1000),
    Picture("compare", "/compare?by=region&a=eu-west&b=us-east", 900),
    Picture("status", "/status", 900),
)
DESK_WIDTH: Final = 1200
PHONE: Final = View(390, 844, "dark")


def fill(database: Path, plan: Plan) -> None:
    """The month up to its last evening, its releases, and the alert of what is going on."""

    async def work() -> None:
        async with open_store(str(database), survives_power_cut=False) as store:
            await store.scores.begin(Scorer.of(load_set()))
            for delivery in deliveries_of(plan, Span(MONTH.name, MONTH.from_minute, minute_of(END))):
                await store.file([delivery])
            await open_an_incident(store, OUTAGE_AT)
            for marker in releases():
                await store.releases.add(FLEET, marker, now=marker.ended_at, received_from="gate")

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
