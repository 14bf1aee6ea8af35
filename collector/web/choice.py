"""What a request asks about: the target and the window, from its query, else as the settings have it.

Refuses words that are no window, and targets of which nothing is stored. Called by the modules of pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from collector.web.site import site_of

__all__ = ["Choice", "choice_of"]

_WINDOW: Final = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])|[1-9][0-9]{0,2}d")


@dataclass(frozen=True, slots=True)
class Choice:
    """`target` is empty where nothing was measured yet; `window` is empty for each line's own. `targets` are all there are."""

    target: str
    window: str
    targets: tuple[str, ...]

    def query(self) -> dict[str, str]:
        """The same as parameters of a link, without what goes without saying."""
        said = {"target": self.target if len(self.targets) > 1 else "", "window": self.window}
        return {name: text for name, text in said.items() if text}


async def choice_of(request: web.Request) -> Choice:
    """What is asked about. Raises 404 for a target that is none, 400 for a window that is none."""
    site = site_of(request)
    targets = tuple(await site.store.views.targets())
    asked, window = request.query.get("target", ""), request.query.get("window", "")
    if asked and asked not in targets:
        raise web.HTTPNotFound(text="Nothing was measured of such a target.")
    if window and not _WINDOW.fullmatch(window):
        raise web.HTTPBadRequest(text="A window is a month as 2026-10, or days as 30d.")
    configured = site.target if site.target in targets else ""
    return Choice(asked or configured or (targets[0] if targets else ""), window, targets)
