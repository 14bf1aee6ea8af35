"""Who may see what: tokens, sessions of people who gave one, loopback, and proof that a change was meant.

Whoever asks from this very host under a name of this host needs no token, unless `public_url` says that a proxy passes other
people on. Everybody else sends `Authorization: Bearer`, or gives the token once and gets a session in a cookie that no
script reads and no other site sends. Tokens are compared in constant time. A name of another host is refused on loopback: a
site that has its name point here (DNS rebinding) must not read what only this host may.

Refuses to know pages. Called by `collector.web.server` and `collector.web.routes_session`.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from collector.web.registry import Access
from collector.web.site import Site
from probes.clock import Clock

__all__ = [
    "CSRF_FIELD",
    "CSRF_HEADER",
    "DOOR",
    "SESSION_COOKIE",
    "Door",
    "Viewer",
    "viewer_of",
]

SESSION_COOKIE: Final = "fleet_session"
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-Fleet-CSRF"
SESSION_S: Final = 12 * 3600
MOST_SESSIONS: Final = 1000
_S: Final = 1_000_000_000
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. `name` is that of the token's secret, `this host`, or empty for somebody unknown.

    `csrf` goes into every form; a program with a token in its header (`is_program`) needs none: no browser adds that by itself.
    """

    name: str
    can_read: bool
    can_operate: bool
    csrf: str
    is_program: bool = False
    has_session: bool = False

    def may(self, access: Access) -> bool:
        """True when this viewer may ask for such a route."""
        match access:
            case Access.PUBLIC:
                return True
            case Access.READ:
                return self.can_read
            case Access.OPERATE:
                return self.can_operate


@dataclass(frozen=True, slots=True)
class _Session:
    name: str
    can_operate: bool
    until_ns: int


VIEWER: Final = web.RequestKey("viewer", Viewer)


class Door:
    """Knows tokens and sessions. The newest thousand sessions are kept, for twelve hours and not beyond this process."""

    def __init__(self, site: Site) -> None:
        self._operate = {name: _digest(token) for name, token in site.operate_tokens.items()}
        self._read = {name: _digest(token) for name, token in site.read_tokens.items()}
        self._clock: Clock = site.clock
        self._key = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._public = origin_of(site.public_url)
        self._has_proxy = bool(site.public_url) and not is_loopback_name(urlsplit(site.public_url).hostname or "")

    @property
    def has_tokens(self) -> bool:
        """Whether there is any token that could be given."""
        return bool(self._operate or self._read)

    def who(self, request: web.Request) -> Viewer:
        """The viewer of a request; one that nobody knows may see what is public."""
        given = request.headers.get("Authorization", "")
        if given:
            scheme, _, token = given.partition(" ")
            found = self._match(token.strip()) if scheme.lower() == "bearer" else None
            if found is None:
                return Viewer("", can_read=False, can_operate=False, csrf="", is_program=True)
            name, can_operate = found
            return Viewer(name, can_read=True, can_operate=can_operate, csrf="", is_program=True)
        number = request.cookies.get(SESSION_COOKIE, "")
        session = self._session(number)
        if session is not None:
            csrf = self._csrf(f"session {number}")
            return Viewer(session.name, can_read=True, can_operate=session.can_operate, csrf=csrf, has_session=True)
        if not self._has_proxy and is_from_this_host(request):
            return Viewer("this host", can_read=True, can_operate=True, csrf=self._csrf("this host"))
        return Viewer("", can_read=False, can_operate=False, csrf=self._csrf("nobody"))

    def log_in(self, token: str) -> str:
        """The number of a new session, for the cookie; empty for a token that is none."""
        found = self._match(token)
        if found is None:
            return ""
        number = secrets.token_urlsafe(32)
        name, can_operate = found
        self._sessions[number] = _Session(name, can_operate, self._clock.monotonic_ns() + SESSION_S * _S)
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return number

    def log_out(self, number: str) -> None:
        """Forget a session."""
        self._sessions.pop(number, None)

    def is_meant(self, request: web.Request, viewer: Viewer, given: str) -> bool:
        """Whether a request that changes something came from a page of ours, or from a program that knows a token."""
        if viewer.is_program:
            return True
        origin = request.headers.get("Origin")
        if origin is not None and origin not in {f"{request.scheme}://{request.host}", self._public}:
            return False
        if origin is None and request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            return False
        return hmac.compare_digest(viewer.csrf.encode(), given.encode("utf-8", "replace"))

    def is_https(self, request: web.Request) -> bool:
        """Whether people reach the pages over TLS, here or at a proxy."""
        return request.scheme == "https" or self._public.startswith("https:")

    def _match(self, token: str) -> tuple[str, bool] | None:
        """The name behind a token, and whether it may operate. Every token is compared, whichever fits."""
        digest, found = _digest(token), None
        for known, can_operate in ((self._read, False), (self._operate, True)):
            for name, expected in known.items():
                if hmac.compare_digest(digest, expected):
                    found = (name, can_operate)
        return found if token else None

    def _session(self, number: str) -> _Session | None:
        session = self._sessions.get(number)
        if session is None:
            return None
        if session.until_ns <= self._clock.monotonic_ns():
            self.log_out(number)
            return None
        return session

    def _csrf(self, of: str) -> str:
        return hmac.new(self._key, of.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


DOOR: Final = web.AppKey("door", Door)


def viewer_of(request: web.Request) -> Viewer:
    """The viewer of a request that was let in; of any other one somebody unknown."""
    found = request.get(VIEWER)
    if found is None:
        found = request.app[DOOR].who(request)
        request[VIEWER] = found
    return found


def is_from_this_host(request: web.Request) -> bool:
    """Whether the peer is this host, asks for a name of this host, and passes nobody else on."""
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    if not isinstance(peer, tuple) or not _is_loopback_address(str(peer[0])):
        return False
    if any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback_name(urlsplit(f"//{request.host}").hostname or "")


def is_loopback_name(host: str) -> bool:
    """`localhost` and addresses of loopback; no other name, wherever it points."""
    return host.lower() == "localhost" or _is_loopback_address(host)


def _is_loopback_address(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def origin_of(url: str) -> str:
    """Scheme and place of a URL, as browsers name an origin."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme and parts.netloc else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
