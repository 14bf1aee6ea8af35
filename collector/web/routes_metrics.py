"""`/metrics` under the rules of the pages: off loopback a scraper shows a token that may read.

The same text as at `collector.health`, which asks for none. Refuses to make it (whoever wires the site hands it over).
Called by `collector.web.parts`.
"""

from __future__ import annotations

from aiohttp import web

from collector.web.registry import Part, Route
from collector.web.site import site_of

__all__ = ["PART"]


async def show_metrics(request: web.Request) -> web.StreamResponse:
    """The text, in the form that the scraper asks for."""
    make = site_of(request).metrics
    if make is None:
        raise web.HTTPNotFound
    page = await make({name.lower(): value for name, value in request.headers.items()})
    headers = {**page.headers, "Content-Type": page.content_type}
    return web.Response(status=page.status, body=page.body, headers=headers)


PART = Part(routes=(Route("GET", "/metrics", show_metrics),))
