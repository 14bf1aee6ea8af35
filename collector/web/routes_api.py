"""The API's operations on service levels, the board and alerts, and the document that describes all operations.

Operations on what one page shows are beside that page. Answers say what the pages say, with exact figures beside the words.
Called by `collector.web.parts`.
"""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from collector.alerting.reading import alert_history
from collector.web.access import viewer_of
from collector.web.alert_answers import (
    AcknowledgeBody,
    IncidentAnswer,
    IncidentDetailAnswer,
    IncidentsAnswer,
    incident_answer,
    incident_detail_answer,
)
from collector.web.api import API_PATH, OPENAPI
from collector.web.api_answers import (
    BoardAnswer,
    LevelDetailAnswer,
    LevelsAnswer,
    TargetsAnswer,
    board_answer,
    detail_answer,
    level_answer,
)
from collector.web.choice import choice_of
from collector.web.live import LIVE
from collector.web.parameters import DAYS, NAME, NUMBER, TARGET, WINDOW
from collector.web.registry import Access, Operation, Part, Route
from collector.web.routes_alerts import (
    MOST_LISTED,
    acknowledge_as,
    days_of,
    incident_of,
    incident_view,
)
from collector.web.routes_levels import level_for
from collector.web.site import site_of
from collector.web.standing import standing_for

__all__ = ["PART"]


async def tell_targets(request: web.Request) -> TargetsAnswer:
    """See the operation."""
    return TargetsAnswer(targets=list((await choice_of(request)).targets))


async def tell_levels(request: web.Request) -> LevelsAnswer:
    """See the operation."""
    choice = await choice_of(request)
    if not choice.target:
        return LevelsAnswer(as_of=None, target="", headline="Nothing was measured yet.", levels=[])
    standing = await standing_for(request, choice.target, choice.window)
    return LevelsAnswer(
        as_of=standing.asked.now,
        target=choice.target,
        headline=standing.page.headline,
        levels=[level_answer(level) for level in standing.levels],
    )


async def tell_level(request: web.Request) -> LevelDetailAnswer:
    """See the operation."""
    choice = await choice_of(request)
    view = await level_for(request, request.match_info["name"], choice.target, choice.window)
    return detail_answer(view)


async def tell_board(request: web.Request) -> BoardAnswer:
    """See the operation."""
    return board_answer(await request.app[LIVE].board())


async def tell_incidents(request: web.Request) -> IncidentsAnswer:
    """See the operation."""
    site, days = site_of(request), days_of(request)
    now = site.clock.now()
    found = await alert_history(
        site.store, now - timedelta(days=days), now + timedelta(minutes=1), fleet=site.fleet, limit=MOST_LISTED
    )
    return IncidentsAnswer(incidents=[incident_answer(one) for one in found])


async def tell_incident(request: web.Request) -> IncidentDetailAnswer:
    """See the operation."""
    return incident_detail_answer(await incident_view(request))


async def acknowledge_incident(request: web.Request, body: AcknowledgeBody) -> IncidentAnswer:
    """See the operation."""
    incident = await incident_of(request)
    by = body.by.strip() or viewer_of(request).name
    found = await acknowledge_as(site_of(request), incident.incident_id, by=by, how="api", note=body.note.strip())
    return incident_answer(found)


async def tell_openapi(request: web.Request) -> web.StreamResponse:
    """The document that describes all operations."""
    return web.json_response(request.app[OPENAPI])


PART = Part(
    routes=(Route("GET", f"{API_PATH}/openapi.json", tell_openapi),),
    api=(
        Operation("GET", "/targets", tell_targets, "Everything that was measured", TargetsAnswer),
        Operation("GET", "/levels", tell_levels, "How every service level stands", LevelsAnswer, (TARGET, WINDOW)),
        Operation(
            "GET", "/levels/{name}", tell_level, "One service level in full", LevelDetailAnswer, (NAME, TARGET, WINDOW)
        ),
        Operation("GET", "/board", tell_board, "What each region last found of each scenario", BoardAnswer),
        Operation("GET", "/alerts", tell_incidents, "Alerts of the last days", IncidentsAnswer, (DAYS,)),
        Operation(
            "GET", "/alerts/{number}", tell_incident, "One alert with all about it", IncidentDetailAnswer, (NUMBER,)
        ),
        Operation(
            "POST",
            "/alerts/{number}/acknowledge",
            acknowledge_incident,
            "Say that somebody knows of an alert; again changes nothing",
            IncidentAnswer,
            (NUMBER,),
            AcknowledgeBody,
            Access.OPERATE,
        ),
    ),
)
