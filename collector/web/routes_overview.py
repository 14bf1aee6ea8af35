"""The first page: how every service level stands, and what each region last found of each scenario.

Called by `collector.web.parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web
from markupsafe import Markup

from collector.ledger import SlotCounts
from collector.web.apart import APART
from collector.web.board import board_words
from collector.web.choice import Choice, choice_of
from collector.web.kept import Kept, NotYetError, keep
from collector.web.live import COVERAGE_EVERY_S, LIVE, Live
from collector.web.live_stream import stream_board
from collector.web.registry import NavLink, Part, Route
from collector.web.release_view import latest_of
from collector.web.render import render
from collector.web.shared import SHARED, Shared, render_part
from collector.web.site import SITE, site_of
from collector.web.standing import STANDINGS, Level, Standing, standing_for

__all__ = ["PART"]

OLD_AFTER: Final = timedelta(minutes=1)
LEVELS_GOOD_FOR_S: Final = 3600.0
MOST_WIDE: Final = 8
"""Regions side by side with all that a cell says; of more regions cells say the least, so that a desk shows all at once."""
RELEASE_DAYS: Final = 30
MOST_RELEASES: Final = 5


async def show_overview(request: web.Request) -> web.StreamResponse:
    """The page."""
    choice = await choice_of(request)
    standing, is_coming = None, False
    if choice.target:
        try:
            standing = await standing_for(request, choice.target, choice.window, is_soon=True)
        except NotYetError:
            is_coming = True
    board_part = await _board_part(request)
    # After the board: what is told between the two is in the list and in the stream, and never in neither.
    releases = await latest_of(request, choice.target, days=RELEASE_DAYS, limit=MOST_RELEASES)
    return render(
        request,
        "overview.html",
        title="Overview",
        choice=choice,
        standing=standing,
        is_coming=is_coming,
        is_old=standing is not None and site_of(request).clock.now() - standing.asked.now > OLD_AFTER,
        board_part=board_part,
        levels_part=await _levels_part(request, choice, standing) if standing else "",
        releases=releases,
        most_releases=MOST_RELEASES,
    )


async def _board_part(request: web.Request) -> Markup:
    """The board, the same for everybody; ages are those of when it was made, and the page's script goes on from there."""

    async def make() -> Markup:
        board = await request.app[LIVE].board()
        is_dense = len(board.regions) > MOST_WIDE
        return render_part(request, "overview_board.html", board=board, board_words=board_words, is_dense=is_dense)

    return await request.app[SHARED].get("board", make)


async def _levels_part(request: web.Request, choice: Choice, standing: Standing) -> Markup:
    """All lines, made once for each time that they were worked out and each day that they are shown on."""

    async def make() -> Markup:
        return render_part(request, "overview_levels.html", choice=choice, sections=sections_of(standing))

    today = site_of(request).clock.now().date()
    key = ("levels", choice.target, choice.window, standing.asked.now, today)
    return await request.app[SHARED].get(key, make, good_for_s=LEVELS_GOOD_FOR_S)


@dataclass(frozen=True, slots=True)
class Shown:
    """Lines below a heading."""

    title: str
    levels: tuple[Level, ...]


def sections_of(standing: Standing) -> tuple[Shown, ...]:
    """The lines in the sections of the report."""
    known = {level.row.name: level for level in standing.levels}
    return tuple(
        Shown(section.title, tuple(known[row.name] for row in section.rows)) for section in standing.page.sections
    )


def begin(application: web.Application) -> None:
    """Keep the caches that pages share, and end them with the application."""
    site = application[SITE]
    application[STANDINGS] = keep(application, Kept(application[APART], site.clock))
    counts: Kept[Mapping[tuple[str, str], SlotCounts]] = Kept(
        application[APART], site.clock, most=1, least_age_s=COVERAGE_EVERY_S
    )
    application[LIVE] = Live(site, keep(application, counts))
    application[SHARED] = Shared(site.clock)
    application.on_shutdown.append(stop)


async def stop(application: web.Application) -> None:
    """Send viewers away."""
    await application[LIVE].stop()


PART = Part(
    routes=(Route("GET", "/", show_overview), Route("GET", "/live", stream_board, is_long=True)),
    nav=(NavLink(10, "Overview", "/"),),
    begin=begin,
)
