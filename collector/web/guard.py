"""What happens around every answer: headers, limits, who may, proof that a change was meant, and errors as pages.

An error never shows where in our code it happened. Refuses to answer by itself. Called by `collector.web.server`.
"""

from __future__ import annotations

import math
from typing import Final

import structlog
from aiohttp import web

from collector.store import StoreError
from collector.store_session import StoreRefusedError
from collector.web.access import CSRF_FIELD, CSRF_HEADER, DOOR, viewer_of
from collector.web.kept import NotYetError
from collector.web.limits import LIMITS, PAGES, peer_of
from collector.web.registry import Handler, Route
from collector.web.render import render, url_for
from probes.errors import OperatorError

__all__ = ["API", "LONG", "errors_as_pages", "guarded", "put_headers", "within_limits"]

log = structlog.get_logger(__name__)

API: Final = "/api/"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
LONG: Final = web.AppKey("long", frozenset[str])
"""Paths whose answers go on."""
TITLES: Final = {
    400: "That request makes no sense here",
    401: "Who are you?",
    403: "You may not do that",
    404: "There is no such page",
    405: "That cannot be done here",
    409: "That contradicts what is known",
    413: "Too much was sent",
    429: "Too many requests",
    500: "Something went wrong here",
    503: "Not now",
}
_OWN_FAULT: Final = "It is a mistake of the fleet's own program, and its log says more."


async def put_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries; a page may have said something stricter before."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.pop("Server", None)
    del request


@web.middleware
async def errors_as_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong, in words; on the API as JSON."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
        return _told(request, error.status, "" if error.text == f"{error.status}: {error.reason}" else error.text, kept)
    except NotYetError:
        return _not_yet(request)
    except (OperatorError, StoreError, StoreRefusedError) as error:
        return _told_of(request, error)
    except ConnectionError:
        raise
    except Exception:
        log.exception("pages.failed", path=request.path)
        return _told(request, 500, _OWN_FAULT)


def _not_yet(request: web.Request) -> web.Response:
    if request.path.startswith(API):
        return _told(request, 503, "It is being worked out; ask again in a moment.", {"Retry-After": "1"})
    return render(request, "not_yet.html", title="One moment")


def _told_of(request: web.Request, error: OperatorError | StoreError | StoreRefusedError) -> web.Response:
    if isinstance(error, OperatorError):
        return _told(request, 400, str(error))
    log.warning("pages.store", path=request.path, error=str(error))
    return _told(request, 503, "The database does not answer; try again in a moment.", {"Retry-After": "5"})


@web.middleware
async def within_limits(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what is too much before anything is done for it."""
    limits = request.app[LIMITS]
    wait_s = limits.wait_s(peer_of(request), "pages", PAGES)
    if wait_s:
        raise _too_many(wait_s)
    if request.path in request.app[LONG]:
        return await handler(request)
    with limits.place() as has_place:
        if not has_place:
            raise web.HTTPServiceUnavailable(
                text="Too many requests are being answered; try again in a moment.", headers={"Retry-After": "1"}
            )
        return await handler(request)


def guarded(route: Route) -> Handler:
    """The handler of a route, for those who may ask, and for changes that were meant."""

    async def handler(request: web.Request) -> web.StreamResponse:
        viewer = viewer_of(request)
        if not viewer.may(route.access):
            raise _refusal(request, knows_token=viewer.can_read)
        if route.method != "GET" and not route.is_signed:
            given = request.headers.get(CSRF_HEADER, "")
            if not given and not viewer.is_program:
                given = str((await request.post()).get(CSRF_FIELD, ""))
            if not request.app[DOOR].is_meant(request, viewer, given):
                raise web.HTTPForbidden(text="This form is too old or is not ours; load the page again and repeat.")
        return await route.handler(request)

    return handler


def _refusal(request: web.Request, *, knows_token: bool) -> web.HTTPException:
    if knows_token:
        return web.HTTPForbidden(text="Your token may read and not operate; use one of `pages.operate_tokens`.")
    if request.path.startswith(API) or request.headers.get("Authorization"):
        return web.HTTPUnauthorized(text="Send Authorization: Bearer with one of the tokens of the settings [pages].")
    return web.HTTPSeeOther(url_for("/login", next=request.path_qs if request.method == "GET" else ""))


def _too_many(wait_s: float) -> web.HTTPException:
    seconds = str(math.ceil(wait_s))
    return web.HTTPTooManyRequests(text=f"Try again in {seconds} s.", headers={"Retry-After": seconds})


def _told(request: web.Request, status: int, text: str | None, headers: dict[str, str] | None = None) -> web.Response:
    """The error in the form that whoever asked can use."""
    title = TITLES.get(status, "That did not work")
    if status == 401:
        headers = {**(headers or {}), "WWW-Authenticate": 'Bearer realm="fleet"'}
    if request.path.startswith(API):
        body = {"error": title, "detail": text or "", "status": status}
        return web.json_response(body, status=status, headers=headers)
    if status == 429:  # the cheapest answer there is
        return web.Response(text=f"{title}. {text}", status=status, headers=headers)
    answer = render(request, "error.html", status=status, title=title, text=text or "")
    answer.headers.update(headers or {})
    return answer
