"""Templates: autoescaped, strict about names, with the filters that say figures as the reports say them.

Every instant is told with its zone and marked up as one. Whatever a probe or a platform wrote is escaped, and its control
characters are replaced (`printable`). Refuses templates from anywhere but this package. Called by every module of pages
through `render`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from collector.texts.figures import bytes_text, count_text, duration_text, printable
from collector.texts.scorecard_texts import minutes_text, percent_text
from collector.web.access import CSRF_FIELD, viewer_of
from collector.web.assets import ASSETS
from collector.web.draw import budget_bar, day_bars, uptime_bars
from collector.web.registry import NavLink
from collector.web.site import site_of
from collector.web.table_roles import TableRoles
from slo.window import instant_of_minute

__all__ = ["NAV", "TEMPLATES", "ago_text", "environment", "render", "segment", "time_tag", "url_for"]

FOLDER: Final = Path(__file__).resolve().parent / "templates"
TEMPLATES: Final = web.AppKey("templates", Environment)
NAV: Final = web.AppKey("nav", Sequence[NavLink])
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


def environment() -> Environment:
    """The templates of this package with their filters."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=[TableRoles],
    )
    made.filters.update(
        ago=ago_text,
        budget_bar=budget_bar,
        day_bars=day_bars,
        bytes=bytes_text,
        counted=count_text,
        duration=duration_text,
        minutes=minutes_text,
        printable=printable,
        segment=segment,
        share=percent_text,
        time=time_tag,
        uptime_bars=uptime_bars,
        day=day_tag,
        minute=lambda minute: time_tag(instant_of_minute(minute)),
    )
    made.globals.update(url=url_for)
    return made


def render(request: web.Request, template: str, *, status: int = 200, **values: object) -> web.Response:
    """A page. Every template gets besides its own values: `site`, `viewer`, `nav`, `path`, `now`, `asset`, `csrf_field`."""
    site = site_of(request)
    text = (
        request.app[TEMPLATES]
        .get_template(template)
        .render(
            site=site,
            viewer=viewer_of(request),
            nav=request.app[NAV],
            path=request.path,
            now=site.clock.now(),
            asset=request.app[ASSETS].url,
            csrf_field=CSRF_FIELD,
            **values,
        )
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def time_tag(instant: datetime, *, seconds: bool = False) -> Markup:
    """An instant for people and programs: `<time datetime="...">2026-11-25 19:47 UTC</time>`."""
    at = instant.astimezone(UTC)
    form = "%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC"
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), at.strftime(form))


def day_tag(day: int) -> Markup:
    """A day since the epoch, `2026-11-25` in UTC."""
    date = instant_of_minute(day * _DAY_S // _MINUTE_S).date().isoformat()
    return Markup('<time datetime="{}">{}</time>').format(date, date)


def ago_text(duration_s: float) -> str:
    """How long ago: `now`, `12 s ago`, `5 min ago`, `3 h ago`, `2 d ago`."""
    if duration_s < 1:
        return "now"
    for size_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if duration_s >= 2 * size_s:
            return f"{int(duration_s // size_s)} {unit} ago"
    return f"{int(duration_s)} s ago"


def segment(text: str) -> str:
    """A text as one segment of a path, whatever is in it."""
    return quote(text, safe="", errors="replace")


def url_for(path: str, **parameters: str | int | Fraction | None) -> str:
    """A path with those of the parameters that say anything."""
    kept = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path
