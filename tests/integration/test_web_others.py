"""The pages Fleet, Status and Compare over a real store: what stands there, for whom, and what never does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from collector.scoring import Scorer
from collector.store import Store, open_store
from collector.web.limits import PAGES
from collector.web.server import open_pages
from probes.messages import Address
from probes.records import FailureKind, Run
from tests.clock import JumpingClock
from tests.sample_runs import make_run, make_step
from tests.store_kit import NOW, PROBE, deliver, run_at, run_entry
from tests.web_kit import READ, Pages, open_filled, open_site, site_over

STRANGER = "status.example"
SECRETS = ("quote", "sign-in", "analyse", "probe-1", "probe-2", "eu-west", "us-east", "stand-in", "cube-10", "fleet")
HEALTH = ("api-health", "api-health")


def health_run(slot_at: datetime, probe: Address, number: int, *, fails: bool = False, release: str = "") -> Run:
    """A run of the scenario that decides the API's minutes."""
    step = make_step(HEALTH[1], kind=FailureKind.STATUS if fails else None, message="inside: db-7 refused")
    identity = run_at(slot_at, probe=probe, scenario=HEALTH[0]).identity
    run = replace(make_run(step, scenario=HEALTH[0], number=number), identity=identity, target_release=release)
    return replace(run, scheduled_at=slot_at, started_at=slot_at)


async def file_health(store: Store, *, minutes: int, bad_from: int = 10**9, hours: int = 0) -> None:
    """Minutes of health from two probes until the hour after NOW; the last of them bad from a minute on."""
    until_at = NOW + timedelta(hours=1 + hours)
    for place, probe in enumerate((PROBE, Address("fleet", "us-east", "probe-2"))):
        entries = [
            run_entry(
                health_run(
                    until_at - timedelta(minutes=minutes - number),
                    probe,
                    10_000 * (place + 1) + number,
                    fails=number >= bad_from,
                )
            )
            for number in range(minutes)
        ]
        await store.file([deliver(entries, probe=probe, first_seq=1000)])


@asynccontextmanager
async def open_quiet(folder: Path) -> AsyncIterator[tuple[Pages, Store]]:
    """Pages of a fleet without an incident, an hour after NOW."""
    async with open_store(str(folder / "store.db")) as store:
        site = site_over(store, clock=JumpingClock(NOW + timedelta(hours=1)))
        await store.scores.begin(Scorer.of(site.objectives.current))
        async with (
            open_pages(site, "127.0.0.1:0") as url,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        ):
            yield Pages(url, session), store


async def test_with_nothing_each_page_says_so(tmp_path: Path) -> None:
    """No error, no empty table."""
    async with open_site(tmp_path) as pages:
        assert "No probe was heard yet" in (await pages.read("/fleet")).text
        assert "Nothing was measured yet" in (await pages.read("/status")).text
        assert "Nothing was measured yet" in (await pages.read("/compare")).text


async def test_the_fleet_says_what_probes_said_and_what_is_missing(tmp_path: Path) -> None:
    """Condition, outbox, gaps, clock, and a note where a person should look."""
    async with open_filled(tmp_path) as filled:
        now = NOW + timedelta(minutes=59, seconds=50)
        said = {
            "online": True,
            "ready": True,
            "outbox": {"entries": 7, "body_bytes": 2100, "oldest_at": (now - timedelta(minutes=5)).isoformat()},
            "clock": {"offset_ns": 1_500_000, "bound_ns": 300_000},
        }
        await filled.store.note_status(PROBE, json.dumps(said).encode(), now)
        await filled.store.file([deliver([run_entry(run_at(NOW + timedelta(minutes=30), number=77))], first_seq=40)])
        page = (await filled.pages.read("/fleet")).text
        assert "1 of 2 probes are up" in page
        assert "7 (2.1 kB), oldest 5 min ago" in page
        assert "+1.5 ± 0.3 ms" in page
        assert 'class="figure over">19</td>' in page
        assert "silent" in page, "the other one was last heard an hour ago, and never said anything about itself"


async def test_the_public_page_needs_no_token_and_has_no_inside_detail(tmp_path: Path) -> None:
    """A stranger reads it; names of scenarios, steps, probes, regions, targets and messages are not in it."""
    async with open_filled(tmp_path, read_tokens={"desk": READ}) as filled:
        await file_health(filled.store, minutes=40, bad_from=35)
        await filled.pages.read("/status")
        page = await filled.pages.ask("/status", host=STRANGER)
        assert page.status == 200
        assert "API uptime 99.9 %" in page.text
        found = page.text.replace("style.css", "")
        assert [word for word in (*SECRETS, HEALTH[0], "db-7") if word in found] == []
        assert (await filled.pages.ask("/fleet", host=STRANGER)).status == 303
        assert (await filled.pages.ask("/compare", host=STRANGER)).status == 303


async def test_what_is_not_known_is_never_called_good(tmp_path: Path) -> None:
    """With nothing heard of a component for a quarter of an hour its state is unknown, and no day without results is green."""
    async with open_filled(tmp_path) as filled:
        page = (await filled.pages.read("/status")).text
        assert "unknown at present" in page
        assert "> well<" not in page
        assert 'class="ok"' not in page
        assert "is well" not in page


async def test_a_component_that_was_just_seen_good_is_said_to_be(tmp_path: Path) -> None:
    """And of another one nothing is known, so that not everything is well."""
    async with open_quiet(tmp_path) as (pages, store):
        await file_health(store, minutes=50)
        page = (await pages.read("/status")).text
        assert page.count("> well<") == 1
        assert "not everything is known" in page
        assert "100.000 %" in page


async def test_trouble_is_seen_before_anybody_is_told(tmp_path: Path) -> None:
    """Minutes that were just bad are said, though no alert is on."""
    async with open_quiet(tmp_path) as (pages, store):
        await file_health(store, minutes=50, bad_from=45)
        page = (await pages.read("/status")).text
        assert "trouble just seen" in page
        assert 'class="bad"' in page
        assert "1 day with bad minutes" in page


async def test_an_incident_is_told_as_a_disruption(tmp_path: Path) -> None:
    """When, and going on; not what failed."""
    async with open_filled(tmp_path) as filled:
        page = (await filled.pages.read("/status")).text
        incidents = (await filled.pages.ask("/alerts")).text
        assert 'href="/alerts/1"' in incidents
        assert ("going on" in page) == ("There is a disruption." in page)


async def test_the_public_page_is_the_same_text_for_a_crowd(tmp_path: Path) -> None:
    """It is worked out and written once; caches may keep it; parameters change nothing; what is too much is refused."""
    async with open_filled(tmp_path) as filled:
        first = await filled.pages.read("/status")
        assert first.headers["Cache-Control"] == "public, max-age=30"
        assert (await filled.pages.ask("/status?target=x&window=7d")).text == first.text
        answers = [(await filled.pages.ask("/status", host=STRANGER)).status for _ in range(PAGES.burst + 5)]
        assert answers[-1] == 429


async def test_regions_are_compared(tmp_path: Path) -> None:
    """With the number of times, and an honest word where there are too few hours."""
    async with open_filled(tmp_path) as filled:
        page = (await filled.pages.read("/compare?by=region&a=eu-west&b=us-east")).text
        assert "A: eu-west. B: us-east." in page
        assert "20 → 20" in page
        assert "too few hours" in page
        assert "no difference found" not in page


async def test_releases_are_compared(tmp_path: Path) -> None:
    """A slow release is found out over a day of hours, and runs that said no release are a side of their own."""
    async with open_filled(tmp_path) as filled:
        entries = []
        for number in range(240):
            at, is_new = NOW - timedelta(minutes=12 * number + 1), number < 120
            run = health_run(at, PROBE, 500 + number, release="2.0" if is_new else "1.9")
            step = replace(run.steps[0], duration_ns=run.steps[0].duration_ns * (3 if is_new else 1) + number % 7)
            entries.append(run_entry(replace(run, steps=(step,))))
        await filled.store.file([deliver(entries, first_seq=2000)])
        page = (await filled.pages.read("/compare?by=release&a=1.9&b=2.0")).text
        assert "more in B" in page
        assert "120 → 120" in page
        assert "no release said" in (await filled.pages.read("/compare")).text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("by=colour", 400),
        ("days=0", 400),
        ("days=1e3", 400),
        ("days=91", 400),
        ("scenario=nothing", 404),
        ("by=region&a=eu-west&b=%3Cscript%3E", 404),
        ("target=other", 404),
    ],
)
async def test_what_cannot_be_compared_is_refused(tmp_path: Path, query: str, status: int) -> None:
    """Before anything is worked out, and without repeating it."""
    async with open_filled(tmp_path) as filled:
        answer = await filled.pages.ask(f"/compare?{query}")
        assert answer.status == status
        assert "<script>" not in answer.text


async def test_pages_read_only(tmp_path: Path) -> None:
    """None of them takes anything."""
    async with open_filled(tmp_path) as filled:
        pages: Pages = filled.pages
        for path in ("/fleet", "/status", "/compare"):
            assert (await pages.ask(path, "POST", data={"x": "y"})).status == 405
