"""Giving a token once, and leaving: `/login` and `/logout`. Public, for whoever has no session yet.

Tries are few for each peer, and a wrong token is told no more than that. Called by `collector.web.parts`.
"""

from __future__ import annotations

import math
from typing import Final

import structlog
from aiohttp import web

from collector.web.access import DOOR, SESSION_COOKIE, SESSION_S, viewer_of
from collector.web.limits import LIMITS, PASSWORDS, peer_of
from collector.web.registry import Access, Part, Route
from collector.web.render import render

__all__ = ["PART"]

log = structlog.get_logger(__name__)

HOME: Final = "/"


async def show_login(request: web.Request) -> web.StreamResponse:
    """The form; whoever has a session already is sent on."""
    if viewer_of(request).has_session:
        raise web.HTTPSeeOther(safe_path(request.query.get("next", "")))
    return _form(request)


async def log_in(request: web.Request) -> web.StreamResponse:
    """Take a token, give a session."""
    wait_s = request.app[LIMITS].wait_s(peer_of(request), "login", PASSWORDS)
    if wait_s:
        seconds = str(math.ceil(wait_s))
        raise web.HTTPTooManyRequests(text=f"Try again in {seconds} s.", headers={"Retry-After": seconds})
    given = await request.post()
    door = request.app[DOOR]
    number = door.log_in(str(given.get("token", "")).strip())
    if not number:
        log.warning("pages.login_refused", peer=peer_of(request))
        return _form(request, "That is none of the tokens of this fleet.", status=403)
    answer = web.Response(status=303, headers={"Location": safe_path(str(given.get("next", "")))})
    answer.set_cookie(
        SESSION_COOKIE,
        number,
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=door.is_https(request),
    )
    return answer


async def log_out(request: web.Request) -> web.StreamResponse:
    """End the session."""
    request.app[DOOR].log_out(request.cookies.get(SESSION_COOKIE, ""))
    answer = web.Response(status=303, headers={"Location": "/login"})
    answer.del_cookie(SESSION_COOKIE, path="/")
    return answer


def safe_path(path: str) -> str:
    """A path of ours to go on to; anything else is home: a link to us must not lead people elsewhere."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if is_ours else HOME


def _form(request: web.Request, trouble: str = "", *, status: int = 200) -> web.Response:
    return render(
        request,
        "login.html",
        status=status,
        title="Token",
        trouble=trouble,
        has_tokens=request.app[DOOR].has_tokens,
        next=safe_path(request.query.get("next", "")),
    )


PART = Part(
    routes=(
        Route("GET", "/login", show_login, Access.PUBLIC),
        Route("POST", "/login", log_in, Access.PUBLIC),
        Route("POST", "/logout", log_out, Access.PUBLIC),
    )
)
