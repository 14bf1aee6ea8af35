"""The server of pages: an application of all parts, opened at HOST:PORT for the length of a block.

Everything heavy is cached or bounded by the parts themselves, for pages share the loop with the ingest. Refuses to choose a
port and to read settings (the wiring does). Called by `console.pages_wiring` and by tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import web

from collector.web.access import DOOR, Door
from collector.web.apart import APART, Apart
from collector.web.api import OPENAPI, render_openapi, route_of
from collector.web.assets import ASSETS, Assets, serve_asset
from collector.web.guard import LONG, errors_as_pages, guarded, put_headers, within_limits
from collector.web.limits import LIMITS, Limits
from collector.web.parts import PARTS
from collector.web.registry import Access, Part, Route
from collector.web.render import NAV, TEMPLATES, environment
from collector.web.site import SITE, Site
from probes.errors import DependencyError, OperatorError

__all__ = ["make_application", "open_pages"]

log = structlog.get_logger(__name__)

MOST_BODY_BYTES: Final = 65_536
MOST_HEAD_BYTES: Final = 8_190
KEEP_ALIVE_S: Final = 15.0
STOP_S: Final = 2.0


@asynccontextmanager
async def open_pages(site: Site, listen: str) -> AsyncIterator[str]:
    """Serve at `HOST:PORT` for the length of the block; the address, with the port that was given for port 0.

    Raises DependencyError when the port is taken, OperatorError for words that are no place.
    """
    host, _, port_text = listen.rpartition(":")
    if not host or not port_text.isdecimal():
        raise OperatorError(f"{listen!r} is not HOST:PORT", where="pages.listen")
    runner = web.AppRunner(
        make_application(site),
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEP_ALIVE_S,
        shutdown_timeout=STOP_S,
        max_line_size=MOST_HEAD_BYTES,
        max_field_size=MOST_HEAD_BYTES,
    )
    await runner.setup()
    try:
        place = web.TCPSite(runner, host, int(port_text))
        try:
            await place.start()
        except (OSError, OverflowError) as error:
            remedy = "Choose another place in the settings (pages.listen); empty: no pages"
            raise DependencyError(f"the pages cannot be served: {error}", where=listen, remedy=remedy) from error
        address = runner.addresses[0]
        url = f"http://{host}:{address[1]}"
        log.info("pages.served", url=url)
        yield url
    finally:
        await runner.cleanup()


def make_application(site: Site, parts: Sequence[Part] = PARTS) -> web.Application:
    """All parts in one application. A route's pattern is in one part only; aiohttp refuses a second."""
    application = web.Application(middlewares=[errors_as_pages, within_limits], client_max_size=MOST_BODY_BYTES)
    application[SITE] = site
    application[DOOR] = Door(site)
    application[LIMITS] = Limits(site.clock)
    application[ASSETS] = Assets()
    application[LONG] = frozenset(route.path for part in parts for route in part.routes if route.is_long)
    application[APART] = Apart(site.store, site.database, in_place=not site.database)
    application.on_cleanup.append(_end_apart)
    application[TEMPLATES] = environment()
    application[NAV] = tuple(
        sorted((link for part in parts for link in part.nav), key=lambda link: (link.order, link.label))
    )
    application.on_response_prepare.append(put_headers)
    _add(application, Route("GET", "/static/{digest}/{name}", serve_asset, Access.PUBLIC))
    for part in parts:
        if part.begin is not None:
            part.begin(application)
        for route in (*part.routes, *(route_of(operation) for operation in part.api)):
            _add(application, route)
    application[OPENAPI] = render_openapi([operation for part in parts for operation in part.api])
    return application


async def _end_apart(application: web.Application) -> None:
    application[APART].stop()


def _add(application: web.Application, route: Route) -> None:
    if route.method == "GET":
        application.router.add_get(route.path, guarded(route))
    else:
        application.router.add_route(route.method, route.path, guarded(route))
