"""Where people reach the pages, by the settings. Refuses to serve them. Called by whoever puts links into messages."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from probes.settings_pages import PagesSettings

__all__ = ["PAGES_EXTRA", "has_pages", "pages_url"]

PAGES_EXTRA: Final = ("aiohttp", "jinja2", "markupsafe", "plotly", "multidict", "yarl")


def has_pages() -> bool:
    """Whether what the pages need is installed."""
    return all(find_spec(name) is not None for name in PAGES_EXTRA)


def pages_url(pages: PagesSettings) -> str:
    """The address without a slash at its end; empty where this collector serves no pages and names nobody who does."""
    if pages.public_url:
        return pages.public_url
    return f"http://{pages.listen}" if pages.listen and has_pages() else ""
