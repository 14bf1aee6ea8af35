"""Evidence of runs, where it lies on the collector's host: pictures to look at, everything else to keep.

What a platform answered is in these files, so none of them may run as a page of ours: their types are fixed, and they come in a
sandbox. A file that is not what its run's record says is refused, and why. Called by `collector.web.parts`.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiohttp import web

from collector.web.api import FILE
from collector.web.evidence_files import difference_from, open_file
from collector.web.registry import Operation, Parameter, Part, Route
from collector.web.runs_view import recorded_evidence
from collector.web.site import site_of

__all__ = ["PART"]

log = structlog.get_logger(__name__)

_MISSING: Final = (
    "This evidence is not on the collector's host: it lies with the probe, or its time is over. "
    "See docs/how-to/evidence.md."
)
_PIECE_BYTES: Final = 256 * 1024
_READ_AT_ONCE: Final = 2
"""So many files are compared at a time: who reads many large ones must not take the threads that others need."""
READING: Final = web.AppKey("evidence_reading", asyncio.Semaphore)
PLACE: Final = (
    Parameter("day", {"type": "string"}, "The day it was kept, as 2026-10-03.", is_in_path=True),
    Parameter("run", {"type": "string"}, "The id of its run.", is_in_path=True),
    Parameter("file", {"type": "string"}, "Its name.", is_in_path=True),
)


async def show_evidence(request: web.Request) -> web.StreamResponse:
    """The file, shown where it is a picture."""
    return await send_evidence(request)


async def tell_evidence(request: web.Request) -> web.StreamResponse:
    """See the operation."""
    return await send_evidence(request, content_type=FILE)


async def send_evidence(request: web.Request, *, content_type: str = "") -> web.StreamResponse:
    """The file of the path once it is known to be what its run's record says; `content_type`: always as this.

    Raises 404 where no record names it or it is not here, 409 where it is another.
    """
    folder, info = site_of(request).evidence_dir, request.match_info
    path = f"{info['day']}/{info['run']}/{info['file']}"
    found = await asyncio.to_thread(open_file, folder, path) if folder is not None else None
    if found is None:
        raise web.HTTPNotFound(text=_MISSING)
    with found.file as file:
        recorded = await recorded_evidence(request, info["run"], path)
        async with request.app[READING]:
            difference = await asyncio.to_thread(difference_from, recorded, found)
        if difference:
            log.warning("evidence.differs", path=path, difference=difference)
            raise web.HTTPConflict(
                text=f"This file is not what the probe kept: {difference}. It was changed or damaged since, so it is no "
                "evidence and is not shown. The file lies on the collector's host at this path: compare it with the probe's own."
            )
        is_picture = found.is_picture and not content_type
        answer = web.StreamResponse(
            headers={
                "Content-Disposition": f'{"inline" if is_picture else "attachment"}; filename="{found.name}"',
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "private, max-age=3600",
                "Content-Type": content_type or found.content_type,
            }
        )
        answer.content_length = found.size_bytes
        await answer.prepare(request)
        left = found.size_bytes
        while left and (piece := await asyncio.to_thread(file.read, min(left, _PIECE_BYTES))):
            await answer.write(piece)
            left -= len(piece)
        await answer.write_eof()
        return answer


def begin(application: web.Application) -> None:
    """Bound how many are compared at once."""
    application[READING] = asyncio.Semaphore(_READ_AT_ONCE)


PART = Part(
    routes=(Route("GET", "/evidence/{day}/{run}/{file}", show_evidence),),
    api=(Operation("GET", "/evidence/{day}/{run}/{file}", tell_evidence, "A file of evidence, checked", None, PLACE),),
    begin=begin,
)
