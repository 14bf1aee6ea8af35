"""Releases: a page that lists them, and the API's two operations, by which a gate or a team tells of one.

A release is told with a token that may operate; the same again is no news, and one that contradicts what is known is refused with
409. Called by `collector.web.parts`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from aiohttp import web

from collector.store_releases import ReleaseConflictError, StoredRelease
from collector.web.access import viewer_of
from collector.web.api import Answer, Body
from collector.web.parameters import DAYS
from collector.web.registry import Access, NavLink, Operation, Parameter, Part, Route
from collector.web.release_view import shown_of
from collector.web.render import render
from collector.web.routes_alerts import MOST_DAYS, days_of
from collector.web.site import Site, site_of
from probes.release_marker import MOST_TARGET, ReleaseDocument, ReleaseOutcome

__all__ = ["PART"]

MOST_LISTED: Final = 200
AHEAD: Final = timedelta(minutes=5)
"""So far may the clock of whoever tells be ahead of ours."""
TARGET: Final = Parameter("target", {"type": "string", "maxLength": MOST_TARGET}, "Only releases of this target.")


class ReleaseBody(ReleaseDocument, Body):
    """A release: what went where and when, and how its gate ended. Without `ended_at` it took no time.

    `began_at` is when the gate began, or the release itself. Name, target, environment and `began_at` together are its
    identity: the same once more is no news, and anything else under them is refused.
    """


class ReleaseAnswer(Answer):
    """A release as it is known; `received_from` is the name of the token it came with, empty on the collector's own host."""

    identity: str
    name: str
    target: str
    environment: str
    outcome: ReleaseOutcome
    cause: str
    began_at: datetime
    ended_at: datetime
    by: str
    report_url: str
    note: str
    received_at: datetime
    received_from: str


class ToldAnswer(Answer):
    """What became of it: not new where it was known already."""

    is_new: bool
    release: ReleaseAnswer


class ReleasesAnswer(Answer):
    """The releases that began in the days that were asked for, the newest first; at most two hundred."""

    releases: list[ReleaseAnswer]


async def show_releases(request: web.Request) -> web.StreamResponse:
    """The page."""
    target, days = _target_of(request), days_of(request)
    all_of_them = await _found(request, "", days)
    # Also targets of which nothing was measured here: a gate runs wherever the candidate is.
    targets = sorted({one.marker.target for one in all_of_them} | ({target} if target else set()))
    found = await _found(request, target, days) if target else all_of_them
    return render(
        request,
        "releases.html",
        title="Releases",
        target=target,
        targets=targets,
        days=days,
        most_days=MOST_DAYS,
        releases=shown_of(found),
        is_cut=len(found) == MOST_LISTED,
    )


async def tell_releases(request: web.Request) -> ReleasesAnswer:
    """See the operation."""
    found = await _found(request, _target_of(request), days_of(request))
    return ReleasesAnswer(releases=[_answer(one) for one in found])


async def take_release(request: web.Request, body: ReleaseBody) -> ToldAnswer:
    """See the operation."""
    site, marker = site_of(request), body.marker()
    now = site.clock.now()
    if marker.ended_at > now + AHEAD:
        raise web.HTTPBadRequest(
            text=f"ended_at: {marker.ended_at.isoformat()} is in the future; here it is {now.isoformat()}."
        )
    try:
        added = await site.store.releases.add(site.fleet, marker, now=now, received_from=viewer_of(request).name)
    except ReleaseConflictError as error:
        raise web.HTTPConflict(text=str(error)) from error
    return ToldAnswer(is_new=added.is_new, release=_answer(added.release))


def _target_of(request: web.Request) -> str:
    """The target that is asked about; 400 for what can be none."""
    text = request.query.get("target", "")
    if len(text) > MOST_TARGET or not text.isprintable():
        raise web.HTTPBadRequest(text=f"target is a name of at most {MOST_TARGET} characters.")
    return text


async def _found(request: web.Request, target: str, days: int) -> list[StoredRelease]:
    site: Site = site_of(request)
    now = site.clock.now()
    return await site.store.releases.within(
        site.fleet, now - timedelta(days=days), now + AHEAD, target=target, limit=MOST_LISTED
    )


def _answer(one: StoredRelease) -> ReleaseAnswer:
    marker = one.marker
    return ReleaseAnswer(
        identity=one.identity,
        name=marker.name,
        target=marker.target,
        environment=marker.environment,
        outcome=marker.outcome,
        cause=marker.cause,
        began_at=marker.began_at,
        ended_at=marker.ended_at,
        by=marker.by,
        report_url=marker.report_url,
        note=marker.note,
        received_at=one.received_at,
        received_from=one.received_from,
    )


PART = Part(
    routes=(Route("GET", "/releases", show_releases),),
    nav=(NavLink(45, "Releases", "/releases"),),
    api=(
        Operation("GET", "/releases", tell_releases, "Releases of the last days", ReleasesAnswer, (TARGET, DAYS)),
        Operation(
            "POST",
            "/releases",
            take_release,
            "Tell of a release; the same again changes nothing",
            ToldAnswer,
            (),
            ReleaseBody,
            Access.OPERATE,
        ),
    ),
)
