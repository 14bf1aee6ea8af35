"""Badges: how a service level stands as a small picture, for a readme or a wall; needs a token as everything else.

Called by `collector.web.parts`.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from markupsafe import Markup

from collector.texts.figures import printable
from collector.texts.scorecard_rows import Tone
from collector.web.choice import choice_of
from collector.web.registry import Part, Route
from collector.web.standing import standing_for

__all__ = ["PART", "draw_badge"]

COLOURS: Final = {Tone.GOOD: "#116329", Tone.BAD: "#a40e26", Tone.WARN: "#7a4d00", Tone.NONE: "#4a535c"}
CHARACTER: Final = 6.6
PADDING: Final = 12
MOST_CHARACTERS: Final = 60


async def show_badge(request: web.Request) -> web.StreamResponse:
    """The badge of a line; 404 where there is none of that name."""
    name = request.match_info["name"]
    choice = await choice_of(request)
    known = await standing_for(request, choice.target, choice.window) if choice.target else None
    level = known.level(name) if known else None
    if level is None:
        raise web.HTTPNotFound(text="There is no service level of that name, or nothing was measured yet.")
    word = level.row.verdict if level.sli is None else f"{level.row.sli} {level.row.verdict}"
    badge = draw_badge(level.row.title, word, level.row.tone)
    return web.Response(text=badge, content_type="image/svg+xml", headers={"Cache-Control": "no-cache, max-age=60"})


def draw_badge(title: str, word: str, tone: Tone) -> str:
    """The picture; its words are escaped, and what is too long is cut."""
    texts = [printable(text)[:MOST_CHARACTERS] for text in (title, word)]
    left, right = (round(len(text) * CHARACTER) + PADDING for text in texts)
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="20" role="img" aria-label="{title}: {word}">'
            "<title>{title}: {word}</title>"
            '<rect width="{w}" height="20" rx="3" fill="#24292f"/>'
            '<path d="M{left} 0h{inner}a3 3 0 0 1 3 3v14a3 3 0 0 1 -3 3h-{inner}z" fill="{colour}"/>'
            '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
            '<text x="{x1}" y="14">{title}</text><text x="{x2}" y="14">{word}</text></g></svg>'
        ).format(
            w=left + right,
            left=left,
            inner=right - 3,
            colour=COLOURS[tone],
            x1=PADDING / 2,
            x2=left + PADDING / 2,
            title=texts[0],
            word=texts[1],
        )
    )


PART = Part(routes=(Route("GET", "/badges/{name}.svg", show_badge),))
