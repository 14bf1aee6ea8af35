"""The fleet itself: which probes are heard, what waits in them, what is missing, how fit hosts are and how right clocks.

Says what `runner.py status` says, in the same words. Nothing here is charged to the platform. Refuses to count and to judge.
Called by `collector.web.parts`.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from markupsafe import Markup

from collector.web.apart import APART
from collector.web.fleet_answers import FleetAnswer, fleet_answer
from collector.web.fleet_slots import slots_by_region, slots_by_scenario
from collector.web.fleet_view import COUNTS, Counted, fleet_view
from collector.web.kept import Kept, keep
from collector.web.registry import NavLink, Operation, Part, Route
from collector.web.render import render
from collector.web.shared import SHARED, render_part
from collector.web.site import SITE

__all__ = ["PART"]

LEAST_AGE_S: Final = 15.0


async def show_fleet(request: web.Request) -> web.StreamResponse:
    """The page, made once for everybody; with `scenario` the slots of that one by region."""
    scenario = request.query.get("scenario", "")
    is_coming, figures = await request.app[SHARED].get(("fleet", scenario), lambda: _figures(request, scenario))
    return render(request, "fleet.html", title="Fleet", figures=figures, is_coming=is_coming)


async def _figures(request: web.Request, scenario: str) -> tuple[bool, Markup]:
    """All that the page says, and whether some of it is still being counted."""
    view = await fleet_view(request, is_soon=True)
    counts = dict(view.slots)
    if scenario and view.counted and all(name != scenario for name, _ in counts):
        raise web.HTTPNotFound(text="The fleet owed no slot of such a scenario in the last day.")
    rows = slots_by_region(counts, scenario) if scenario else slots_by_scenario(counts)
    is_coming = bool(view.probes) and view.counted is None
    return is_coming, render_part(request, "fleet_figures.html", view=view, slots=rows, scenario=scenario)


async def tell_fleet(request: web.Request) -> FleetAnswer:
    """See the operation."""
    return fleet_answer(await fleet_view(request))


def begin(application: web.Application) -> None:
    """Keep the counts."""
    kept: Kept[Counted] = Kept(application[APART], application[SITE].clock, most=1, least_age_s=LEAST_AGE_S)
    application[COUNTS] = keep(application, kept)


PART = Part(
    routes=(Route("GET", "/fleet", show_fleet),),
    nav=(NavLink(45, "Fleet", "/fleet"),),
    api=(
        Operation("GET", "/fleet", tell_fleet, "The probes, the slots of a day, and what was set aside", FleetAnswer),
    ),
    begin=begin,
)
