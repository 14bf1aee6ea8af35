"""Lists of runs, and one run looked up, as pages and the API have them.

Refuses filters that are none, and to draw. Called by `collector.web.routes_runs`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from collector.store_runs import RunFilter, RunPlace, RunSummary
from collector.web.evidence_files import presence_of
from collector.web.kept import Kept
from collector.web.run_found import FoundRun, find_with_nearest
from collector.web.run_view import RunView, run_view_of
from collector.web.site import site_of
from probes.records import Evidence, Outcome, Run
from probes.wire import WireError, parse_run

__all__ = [
    "FOUND",
    "HOURS",
    "MOST_ID",
    "MOST_LISTED",
    "RunsView",
    "recorded_evidence",
    "run_id_of_slot",
    "run_view",
    "runs_view",
]

FOUND: Final = web.AppKey("found_runs", Kept[FoundRun | None])
MOST_ID: Final = 64
MOST_LISTED: Final = 100
HOURS: Final = {"1": "the last hour", "6": "the last 6 hours", "24": "the last day", "168": "the last 7 days"}
YEARS: Final = range(1971, 3000)
"""Of instants that can be asked about, so that a week before or after is one too."""
_PLACE: Final = re.compile(r"([0-9]{1,15})\.([0-9]{1,9})\.([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class RunsView:
    """Runs of [from_at, until_at), newest first. `next_after` leads to the next ones; empty: these are the last.

    `is_first` is false for a page that another one led to.
    """

    runs: Sequence[RunSummary]
    from_at: datetime
    until_at: datetime
    hours: str
    scenario: str
    region: str
    outcome: str
    next_after: str
    is_first: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether there are no more."""
        return not self.next_after


async def runs_view(request: web.Request) -> RunsView:
    """The runs that a request asks for. Raises 400 for a filter that is none, StoreError."""
    site, query = site_of(request), request.query
    hours, outcome = query.get("hours", "24"), query.get("outcome", "")
    if hours not in HOURS:
        raise web.HTTPBadRequest(text=f"`hours` is one of {', '.join(HOURS)}.")
    if outcome and outcome not in {one.value for one in Outcome}:
        raise web.HTTPBadRequest(text=f"`outcome` is one of {', '.join(Outcome)}.")
    until_at = _until_of(query.get("until", ""), site.clock.now())
    from_at = until_at - timedelta(hours=int(hours))
    scenario, region = _name_of(request, "scenario"), _name_of(request, "region")
    after = _place_of(query.get("after", ""))
    wanted = RunFilter(site.fleet, scenario, region, [Outcome(outcome)] if outcome else ())
    found = await site.store.views.runs(from_at, until_at, wanted, after=after, limit=MOST_LISTED + 1)
    listed = found[:MOST_LISTED]
    next_after = ".".join(map(str, listed[-1].place)) if len(found) > MOST_LISTED else ""
    return RunsView(listed, from_at, until_at, hours, scenario, region, outcome, next_after, is_first=after is None)


async def run_view(request: web.Request, run_id: str, *, is_soon: bool = False) -> RunView:
    """A run beside the nearest good one. Raises 404 where none is stored or its record cannot be read, StoreError."""
    found = await _found(request, run_id, is_soon=is_soon)
    run, nearest = _parsed(found.record), _parsed(found.nearest) if found.nearest else None
    presences = await asyncio.to_thread(presence_of, site_of(request).evidence_dir, run.evidence)
    return run_view_of(run, nearest, is_unfit=found.is_unfit, presences=presences)


async def recorded_evidence(request: web.Request, run_id: str, path: str) -> Evidence:
    """What the record of a run says of the file at a path. Raises 404 where it names none, StoreError."""
    run = _parsed((await _found(request, run_id)).record)
    found = next((one for one in run.evidence if one.path == path), None)
    if found is None:
        raise web.HTTPNotFound(text="The record of this run names no such file, so nobody can say what it is.")
    return found


async def _found(request: web.Request, run_id: str, *, is_soon: bool = False) -> FoundRun:
    if len(run_id) > MOST_ID:
        raise web.HTTPNotFound(text="No run has such an id.")
    kept = request.app[FOUND]
    get = kept.get_soon if is_soon else kept.get
    found = await get(run_id, find_with_nearest, run_id)
    if found is None:
        raise web.HTTPNotFound(text="No run of this id is stored. Retention may have taken it.")
    return found


def _parsed(record: bytes) -> Run:
    try:
        return parse_run(record)
    except WireError as error:
        raise web.HTTPNotFound(text=f"The record of this run cannot be read: {error}") from error


async def run_id_of_slot(request: web.Request) -> str:
    """The id of the run of a slot: lists know slots, runs go by their ids. Raises 400, 404, StoreError."""
    site, query = site_of(request), request.query
    slot_at = _until_of(query.get("at", ""), site.clock.now())
    scenario, region = _name_of(request, "scenario"), _name_of(request, "region")
    wanted = RunFilter(site.fleet, scenario, region)
    listed = await site.store.views.runs(slot_at, slot_at + timedelta(microseconds=1), wanted)
    for one in listed:
        if one.identity.probe == query.get("probe", "") and str(one.identity.attempt) == query.get("attempt", "0"):
            return _parsed(await site.store.record(one.identity)).run_id
    raise web.HTTPNotFound(text="No run of this slot is stored.")


def _until_of(text: str, now: datetime) -> datetime:
    """An instant as asked for in ISO 8601, in UTC where it says no zone; else now. Raises 400."""
    if not text:
        return now
    try:
        asked = datetime.fromisoformat(text)
    except ValueError:
        asked = None
    if asked is None or asked.year not in YEARS:
        raise web.HTTPBadRequest(text="An instant is written as 2026-10-03T12:00, or with its zone.")
    return asked if asked.tzinfo is not None else asked.replace(tzinfo=UTC)


def _place_of(text: str) -> RunPlace | None:
    """The place that an earlier page ended at. Raises 400."""
    if not text:
        return None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise web.HTTPBadRequest(text="`after` is what the page before said.")
    slot_ms, series_id, turn = map(int, found.groups())
    return slot_ms, series_id, turn


def _name_of(request: web.Request, name: str) -> str:
    """A name to filter by. Raises 400 for what no database can look for."""
    text = request.query.get(name, "")
    if "\0" in text:
        raise web.HTTPBadRequest(text=f"`{name}` holds a character that no name has.")
    return text
