"""One rendering for all viewers: a part of a page that is the same for everybody is made once, at most every two seconds.

Fifty people who look at the same page cost one reading of the store and one run of the template. What is made while others
wait for it is made once, too. Only what does not depend on who looks may come here: no names of sessions, no forms. Refuses
to keep more than a few parts; what was asked for least lately is forgotten. Called by the modules of pages.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from aiohttp import web
from markupsafe import Markup

from collector.web.render import TEMPLATES
from collector.web.site import site_of
from probes.clock import Clock

__all__ = ["GOOD_FOR_S", "SHARED", "Shared", "render_part"]

Answer = TypeVar("Answer")

GOOD_FOR_S: Final = 2.0
MOST_PARTS: Final = 32
_S: Final = 1_000_000_000


@dataclass(slots=True)
class _Part:
    making: asyncio.Lock = field(default_factory=asyncio.Lock)
    found: Any = None
    made_ns: int | None = None


class Shared:
    """The parts of an application, by key; `made` counts how often one was made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._parts: OrderedDict[Hashable, _Part] = OrderedDict()
        self.made = 0

    async def get(
        self, key: Hashable, make: Callable[[], Awaitable[Answer]], *, good_for_s: float = GOOD_FOR_S
    ) -> Answer:
        """The part, at most so many seconds old. Raises what making it raises, to everybody who then asks again."""
        part = self._parts.setdefault(key, _Part())
        self._parts.move_to_end(key)
        while len(self._parts) > MOST_PARTS:
            self._parts.popitem(last=False)
        async with part.making:
            now_ns = self._clock.monotonic_ns()
            if part.made_ns is None or now_ns - part.made_ns >= good_for_s * _S:
                part.found, part.made_ns = await make(), now_ns
                self.made += 1
            found: Answer = part.found
            return found


SHARED: Final = web.AppKey("shared", Shared)


def render_part(request: web.Request, template: str, **values: object) -> Markup:
    """A part by its template, which gets `now` besides its own values, and nothing about who looks."""
    text = request.app[TEMPLATES].get_template(template).render(now=site_of(request).clock.now(), **values)
    return Markup(text)  # noqa: S704 - made by an autoescaped template
