"""One service level: how its budget burned down, how fast its steps were, what cost it, and what nobody knows.

Called by `collector.web.parts`.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from collector.web.apart import APART
from collector.web.charts import draw_chart
from collector.web.choice import choice_of
from collector.web.kept import Kept, keep
from collector.web.level_charts import burn_chart, chart_document, latency_chart, region_chart, share_name
from collector.web.level_view import LevelView, level_view_of
from collector.web.registry import Part, Route
from collector.web.release_view import moments_of, numbered_of
from collector.web.render import render
from collector.web.site import SITE, site_of
from collector.web.standing import asked_of

__all__ = ["LEVELS", "PART", "level_for"]

LEVELS: Final = web.AppKey("levels", Kept[LevelView | None])
MOST_KEPT: Final = 24
LEAST_AGE_S: Final = 15.0


async def level_for(request: web.Request, name: str, target: str, window: str, *, is_soon: bool = False) -> LevelView:
    """The line of that name. Raises 404 where there is none, and StoreError."""
    site = site_of(request)
    known = site.objectives.current
    if (
        name not in known.objectives
        and name not in known.obligations
        and not any(gap.name == name for gap in known.not_measured)
    ):
        raise web.HTTPNotFound(text="There is no service level of that name.")
    kept, key = request.app[LEVELS], (name, target, window)
    question = asked_of(site, target, window, (name,))
    get = kept.get_soon if is_soon else kept.get
    view = await get(key, level_view_of, known, question)
    if view is None:
        raise web.HTTPNotFound(text="There is no service level of that name.")
    return view


async def show_level(request: web.Request) -> web.StreamResponse:
    """The page."""
    choice = await choice_of(request)
    view = await level_for(request, request.match_info["name"], choice.target, choice.window, is_soon=True)
    level, span, latency = view.level, view.level.span, view.latency
    releases = await numbered_of(request, choice.target, span)
    moments = moments_of(releases)
    burn = burn_chart(view, moments)
    has_latency = latency is not None and span is not None and bool(latency.by_region)
    return render(
        request,
        "level.html",
        title=view.row.title,
        choice=choice,
        view=view,
        level=level,
        row=view.row,
        releases=releases,
        burn_svg=draw_chart(burn) if burn else "",
        latency=latency if has_latency else None,
        latency_svg=draw_chart(latency_chart(latency, span, moments)) if has_latency and latency and span else "",
        region_svg=draw_chart(region_chart(latency, span, moments)) if has_latency and latency and span else "",
        own_name=share_name(latency.own) if latency else "",
        shares=sorted({share for found in latency.by_region.values() for share in found.at}) if latency else (),
        share_name=share_name,
    )


async def tell_charts(request: web.Request) -> web.StreamResponse:
    """The charts of the page as data, for the script that draws them to be looked at closely."""
    choice = await choice_of(request)
    view = await level_for(request, request.match_info["name"], choice.target, choice.window)
    span, latency, charts = view.level.span, view.latency, {}
    moments = moments_of(await numbered_of(request, choice.target, span))
    if burn := burn_chart(view, moments):
        unit = view.level.unit.value if view.level.unit else ""
        charts["burn"] = chart_document(burn, "Budget left", unit)
    if latency is not None and span is not None and latency.by_region:
        charts["latency"] = chart_document(latency_chart(latency, span, moments), "Step times", "ms")
        regions = region_chart(latency, span, moments)
        charts["regions"] = chart_document(regions, f"{share_name(latency.own)} by region", "ms")
    return web.json_response(charts)


def begin(application: web.Application) -> None:
    """Keep what was worked out."""
    kept: Kept[LevelView | None] = Kept(
        application[APART], application[SITE].clock, most=MOST_KEPT, least_age_s=LEAST_AGE_S
    )
    application[LEVELS] = keep(application, kept)


PART = Part(
    routes=(
        Route("GET", "/levels/{name}", show_level),
        Route("GET", "/levels/{name}/charts.json", tell_charts),
    ),
    begin=begin,
)
