"""The overview and the page of a service level over a real store: what stands there with nothing, with little, and for whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from probes.records import FailureKind
from tests.clock import JumpingClock
from tests.sample_runs import make_run, make_step
from tests.store_kit import NOW, deliver, run_at, run_entry
from tests.web_kit import open_filled, open_site, site_over

HOSTILE = '<script>alert("x")</script>&\u202e'


async def test_with_nothing_the_overview_says_so(tmp_path: Path) -> None:
    """A new fleet's first page is no error and no empty table."""
    async with open_site(tmp_path) as pages:
        page = await pages.ask("/")
        assert page.status == 200
        assert "Nothing was measured yet" in page.text
        assert "No slot ended lately" in page.text


async def test_the_overview_has_every_line_and_what_each_region_found(tmp_path: Path) -> None:
    """All lines of the document, and a cell for each region and scenario."""
    async with open_filled(tmp_path) as filled:
        pages, store = filled.pages, filled.store
        page = await pages.read("/")
        assert page.status == 200
        known = site_over(store).objectives.current
        for name in {*known.objectives, *known.obligations}:
            assert f'href="/levels/{name}"' in page.text
        assert 'data-cell="quote/eu-west"' in page.text
        assert 'data-cell="quote/us-east"' in page.text
        assert page.text.count(">passed<") == 2


async def test_every_level_has_a_page(tmp_path: Path) -> None:
    """Also those that nothing measures; each names its window, and says what it is a share of or why there is none."""
    async with open_filled(tmp_path) as filled:
        pages, store = filled.pages, filled.store
        known = site_over(store).objectives.current
        for name in [*known.objectives, *known.obligations, *(gap.name for gap in known.not_measured)]:
            page = await pages.read(f"/levels/{name}")
            assert page.status == 200, name
            assert "<dt>SLI</dt>" in page.text or 'class="nothing"' in page.text or "<dt>" in page.text
        assert (await pages.ask("/levels/no-such-line")).status == 404


async def test_charts_are_told_as_numbers_too(tmp_path: Path) -> None:
    """The burn-down starts with the whole budget, and the threshold is the line's own."""
    async with open_filled(tmp_path) as filled:
        pages = filled.pages
        page = await pages.read("/levels/quote-p95")
        assert '<svg class="chart"' in page.text
        assert "threshold 10.0 s for p95" in page.text
        charts = await pages.ask("/levels/quote-p95/charts.json")
        assert '"name": "threshold 10.0 s for p95"' in charts.text


@pytest.mark.parametrize("query", ["window=2026-13", "window=3", "window=0d", "window=1999-01", "window=2026-03x"])
async def test_a_window_that_is_none_is_refused(tmp_path: Path, query: str) -> None:
    """With the form that one has; nothing is computed."""
    async with open_filled(tmp_path) as filled:
        pages = filled.pages
        assert (await pages.ask(f"/?{query}")).status == 400
        assert (await pages.ask(f"/levels/api-uptime?{query}")).status == 400


async def test_a_target_that_is_none_is_refused(tmp_path: Path) -> None:
    """And its name is not repeated."""
    async with open_filled(tmp_path) as filled:
        pages = filled.pages
        answer = await pages.ask("/?target=%3Cscript%3E")
        assert answer.status == 404
        assert "<script>" not in answer.text.replace('<script src="', "")


async def test_a_window_can_be_asked_for(tmp_path: Path) -> None:
    """A month or some days."""
    async with open_filled(tmp_path) as filled:
        pages = filled.pages
        assert "2026-03 (calendar month, UTC)" in (await pages.read("/?window=2026-03")).text
        assert "7d (rolling)" in (await pages.read("/?window=7d")).text


async def test_heavy_questions_are_answered_by_a_process_of_their_own(tmp_path: Path) -> None:
    """A page says that figures come; a moment later they stand there, the same as in place."""
    async with open_filled(tmp_path, apart=True) as filled:
        pages = filled.pages
        page = await pages.read("/")
        assert 'href="/levels/quote-p95"' in page.text
    async with open_filled(tmp_path / "b") as filled:
        in_place = filled.pages
        assert (await in_place.read("/")).text.partition("levels-1")[2] == page.text.partition("levels-1")[2]


async def test_figures_of_long_ago_are_shown_at_once_with_their_time_and_looked_at_again_soon(tmp_path: Path) -> None:
    """Nobody waits for newer ones: the page has those of an hour ago, says so, and asks again in a moment."""
    async with open_filled(tmp_path, apart=True) as filled:
        first = (await filled.pages.read("/")).text
        said = first.partition("worked out at ")[2].partition(".")[0]
        assert said
        assert "data-soon" not in first
        assert isinstance(filled.clock, JumpingClock)
        filled.clock.advance(3600)
        later = (await filled.pages.ask("/")).text
        assert f"worked out at {said}." in later
        assert "data-soon" in later


async def test_names_that_a_probe_chose_are_only_text(tmp_path: Path) -> None:
    """A step called like a script is shown as it is called, and what steers text is replaced."""
    async with open_filled(tmp_path) as filled:
        pages, store = filled.pages, filled.store
        failed = make_run(make_step(HOSTILE, kind=FailureKind.TIMEOUT), number=99)
        at = NOW + timedelta(minutes=50)
        hostile = replace(failed, identity=run_at(at).identity, scheduled_at=at, started_at=at)
        await store.file([deliver([run_entry(hostile)], first_seq=100)])
        page = await pages.read("/")
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert" in page.text
        assert "\u202e" not in page.text
