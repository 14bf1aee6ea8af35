"""The public page: how the platform is and was, for anybody and without a token.

One text for all who ask, made again at most every half minute by the process for heavy questions, so that a crowd costs no more
than one visitor. Refuses every parameter: nobody outside chooses what is worked out. Called by `collector.web.parts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from collector.web.apart import APART
from collector.web.kept import Kept, NotYetError, keep
from collector.web.public_view import DAYS, PublicStatus, status_of
from collector.web.registry import Access, NavLink, Operation, Part, Route
from collector.web.render import render
from collector.web.site import SITE, site_of
from collector.web.standing import asked_of
from collector.web.status_answers import StatusAnswer, status_answer

__all__ = ["PART"]

LEAST_AGE_S: Final = 30
MOST_LISTED_DAYS: Final = 30


@dataclass(slots=True)
class Written:
    """The text as it was last made, and of what."""

    status: PublicStatus | None = None
    text: str = ""


STATUS: Final = web.AppKey("public_status", Kept[PublicStatus])
WRITTEN: Final = web.AppKey("public_status_written", Written)


async def show_status(request: web.Request) -> web.StreamResponse:
    """The page."""
    try:
        status = await _status(request)
    except NotYetError:
        return render(request, "status.html", title="Status", found=None, is_coming=True, span_days=DAYS)
    written = request.app[WRITTEN]
    if status is None:
        return render(request, "status.html", title="Status", found=None, is_coming=False, span_days=DAYS)
    if written.status is not status:
        answer = render(
            request,
            "status.html",
            title="Status",
            found=status,
            is_coming=False,
            span_days=DAYS,
            most_days=MOST_LISTED_DAYS,
        )
        written.status, written.text = status, answer.text or ""
    return web.Response(
        text=written.text,
        content_type="text/html",
        charset="utf-8",
        headers={"Cache-Control": f"public, max-age={LEAST_AGE_S}"},
    )


async def tell_status(request: web.Request) -> StatusAnswer:
    """See the operation. It does not wait for the first figures: a crowd must not take the places of all others."""
    return status_answer(await _status(request))


async def _status(request: web.Request) -> PublicStatus | None:
    """None where nothing was measured yet. The target is the one of the settings, else the first there is."""
    site = site_of(request)
    target = site.target
    if not target:
        targets = await site.store.views.targets()
        if not targets:
            return None
        target = targets[0]
    return await request.app[STATUS].get_soon("public", status_of, site.objectives.current, asked_of(site, target))


def begin(application: web.Application) -> None:
    """Keep what was worked out, and the text."""
    kept: Kept[PublicStatus] = Kept(application[APART], application[SITE].clock, most=1, least_age_s=LEAST_AGE_S)
    application[STATUS] = keep(application, kept)
    application[WRITTEN] = Written()


PART = Part(
    routes=(Route("GET", "/status", show_status, Access.PUBLIC),),
    nav=(NavLink(60, "Status", "/status"),),
    api=(
        Operation(
            *("GET", "/status", tell_status, "How the platform is and was, for anybody", StatusAnswer),
            access=Access.PUBLIC,
            max_age_s=LEAST_AGE_S,
        ),
    ),
    begin=begin,
)
