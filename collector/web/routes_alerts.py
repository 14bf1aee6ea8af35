"""What is wrong, who knows of it, and how quickly people answered: the page of alerts, and one of each incident.

Saying that one knows is a form that only who may operate can send. Refuses to decide whether an alert is on
(`collector.alerting` does). Called by `collector.web.parts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web

from collector.alerting.confirmations import Confirmation, confirmations_of
from collector.alerting.model import AlertEvent, EventKind, Incident, Origin
from collector.alerting.reading import acknowledge, alert_events, alert_history, find_incident, open_incidents
from collector.alerting.words import incident_lines, since_text
from collector.web.access import viewer_of
from collector.web.choice import choice_of
from collector.web.kept import NotYetError
from collector.web.outcome_words import STATES, WORDS
from collector.web.registry import Access, NavLink, Part, Route
from collector.web.render import render
from collector.web.site import Site, site_of
from collector.web.standing import Level, standing_for
from slo.burn_tiers import Severity
from slo.obligation import ObservationSource

__all__ = ["PART", "IncidentView", "incident_of", "incident_view"]

DAYS: Final = 30
MOST_DAYS: Final = 400
MOST_LISTED: Final = 200
MOST_NOTE: Final = 500
MOST_NAME: Final = 80
TONES: Final = {Severity.CRITICAL: "bad", Severity.HIGH: "bad", Severity.MEDIUM: "warn", Severity.REPORT: "none"}
EVENTS: Final = {
    EventKind.FIRED: "fired",
    EventKind.JOINED: "one more alert",
    EventKind.UPGRADED: "became worse",
    EventKind.ACKNOWLEDGED: "acknowledged",
    EventKind.RESOLVED: "over",
    EventKind.SILENCED: "silenced by announced works",
    EventKind.UNSILENCED: "not silenced any more",
    EventKind.WOULD_HAVE_FIRED: "would have fired: results came too late",
    EventKind.ASKED: "a probe elsewhere was asked to look",
}


async def show_alerts(request: web.Request) -> web.StreamResponse:
    """What is wrong now, what was, and the levels of the answers."""
    site, now = site_of(request), site_of(request).clock.now()
    days = days_of(request)
    current = await open_incidents(site.store, fleet=site.fleet)
    past = await alert_history(
        site.store, now - timedelta(days=days), now + timedelta(minutes=1), fleet=site.fleet, limit=MOST_LISTED
    )
    return render(
        request,
        "alerts.html",
        title="Alerts",
        current=current,
        asked={one.incident_id: await confirmations_of(site.store, one) for one in current},
        run_words=WORDS,
        run_states=STATES,
        past=[one for one in past if not one.is_open],
        days=days,
        answers=await _answers(request),
        tones=TONES,
        since_text=since_text,
        incident_lines=incident_lines,
    )


async def _answers(request: web.Request) -> tuple[Level, ...]:
    """The lines that owe an answer to alerts; none while they are being worked out."""
    choice = await choice_of(request)
    if not choice.target:
        return ()
    owed = {
        name
        for name, versions in site_of(request).objectives.current.obligations.items()
        if versions[-1].selector.source is ObservationSource.ALERTS
    }
    try:
        standing = await standing_for(request, choice.target, choice.window, is_soon=True)
    except NotYetError:
        return ()
    return tuple(level for level in standing.levels if level.row.name in owed)


@dataclass(frozen=True, slots=True)
class IncidentView:
    """One incident, what happened to it, and what regions found that were asked to look."""

    incident: Incident
    events: Sequence[AlertEvent]
    asked: Sequence[Confirmation]


async def incident_view(request: web.Request) -> IncidentView:
    """That of the path. Raises 404, StoreError."""
    site, incident = site_of(request), await incident_of(request)
    events = await alert_events(
        site.store,
        min(incident.first_bad_at, incident.opened_at) - timedelta(days=1),
        site.clock.now() + timedelta(days=1),
        incident_id=incident.incident_id,
    )
    return IncidentView(incident, events, await confirmations_of(site.store, incident))


async def show_incident(request: web.Request) -> web.StreamResponse:
    """One incident with everything that happened to it."""
    view = await incident_view(request)
    incident = view.incident
    return render(
        request,
        "incident.html",
        title=incident.title,
        incident=incident,
        events=view.events,
        asked=view.asked,
        run_words=WORDS,
        run_states=STATES,
        tones=TONES,
        words=EVENTS,
        lines=tuple(incident_lines(incident)),
        is_platform=incident.origin is Origin.PLATFORM,
        most_note=MOST_NOTE,
        most_name=MOST_NAME,
    )


async def take_acknowledgement(request: web.Request) -> web.StreamResponse:
    """Somebody knows of it; the page again, where it stands now. A second time changes nothing."""
    incident = await incident_of(request)
    given, viewer = await request.post(), viewer_of(request)
    by = str(given.get("by", "")).strip()[:MOST_NAME] or viewer.name
    note = str(given.get("note", "")).strip()[:MOST_NOTE]
    await acknowledge_as(site_of(request), incident.incident_id, by=by, how="page", note=note)
    raise web.HTTPSeeOther(f"/alerts/{incident.incident_id}")


async def acknowledge_as(site: Site, incident_id: int, *, by: str, how: str, note: str = "") -> Incident:
    """The incident after somebody said to know of it."""
    done = await acknowledge(
        site.store, incident_id, by=by, how=how, now=site.clock.now(), note=note, outbox=site.outbox
    )
    return done.incident


async def incident_of(request: web.Request) -> Incident:
    """The incident of the path; 404 where this fleet has none of that number."""
    text = request.match_info["number"]
    found = await find_incident(site_of(request).store, int(text)) if len(text) <= 15 else None
    if found is None or found.fleet != site_of(request).fleet:
        raise web.HTTPNotFound(text="There is no alert of that number.")
    return found


def days_of(request: web.Request) -> int:
    """For how many days back the history is asked; 400 for what is no number of days."""
    text = request.query.get("days", str(DAYS))
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:6]) <= MOST_DAYS or len(text) > 6:
        raise web.HTTPBadRequest(text=f"days is a number from 1 to {MOST_DAYS}.")
    return int(text)


PART = Part(
    routes=(
        Route("GET", "/alerts", show_alerts),
        Route("GET", r"/alerts/{number:[0-9]+}", show_incident),
        Route("POST", r"/alerts/{number:[0-9]+}/acknowledge", take_acknowledgement, Access.OPERATE),
    ),
    nav=(NavLink(30, "Alerts", "/alerts"),),
)
