"""The page behind a signed link of a message: says what is wrong, and has a button by which its holder says to know of it.

Looking changes nothing, for mail scanners open every link; only the button does. The link is the permission: it allows this
one thing for this one incident, and shows no more of it than the message did. Refuses links that are not ours or too old, in
words. Called by `collector.web.parts`.
"""

from __future__ import annotations

from aiohttp import web

from collector.alerting.ack_links import ACK_PATH, AckClaim, AckRefusedError, verify_ack_token
from collector.alerting.model import Incident
from collector.alerting.reading import find_incident
from collector.alerting.words import incident_lines
from collector.web.registry import Access, Part, Route
from collector.web.render import render
from collector.web.routes_alerts import MOST_NAME, MOST_NOTE, TONES, acknowledge_as
from collector.web.site import site_of

__all__ = ["PART"]


async def show_link(request: web.Request) -> web.StreamResponse:
    """What the link is about; nothing is acknowledged by this."""
    claim, incident = await _claimed(request)
    return _page(request, claim, incident)


async def take_link(request: web.Request) -> web.StreamResponse:
    """The holder knows of it. A second time changes nothing."""
    claim, incident = await _claimed(request)
    given = await request.post()
    by = str(given.get("by", "")).strip()[:MOST_NAME] or f"somebody who reads {claim.channel}"
    note = str(given.get("note", "")).strip()[:MOST_NOTE]
    known = await acknowledge_as(site_of(request), incident.incident_id, by=by, how="link", note=note)
    return _page(request, claim, known)


async def _claimed(request: web.Request) -> tuple[AckClaim, Incident]:
    """What the link allows, and its incident. Raises 404 where links are not made here, 403 for one that does not hold."""
    site = site_of(request)
    if not site.ack_key:
        raise web.HTTPNotFound(text="No links are made here.")
    try:
        claim = verify_ack_token(request.match_info["token"], site.ack_key, site.clock.now())
    except AckRefusedError as error:
        raise web.HTTPForbidden(text=str(error)) from None
    incident = await find_incident(site.store, claim.incident_id)
    if incident is None:
        raise web.HTTPNotFound(text="The alert of this link is not stored any more.")
    return claim, incident


def _page(request: web.Request, claim: AckClaim, incident: Incident) -> web.Response:
    return render(
        request,
        "ack.html",
        title=incident.title,
        claim=claim,
        incident=incident,
        lines=tuple(incident_lines(incident)),
        tones=TONES,
        token=request.match_info["token"],
        most_name=MOST_NAME,
        most_note=MOST_NOTE,
    )


PART = Part(
    routes=(
        Route("GET", f"{ACK_PATH}{{token}}", show_link, Access.PUBLIC),
        Route("POST", f"{ACK_PATH}{{token}}", take_link, Access.PUBLIC, is_signed=True),
    )
)
