"""One run in full, and the list of runs that one chooses from.

A run is looked up, and its nearest passing one with it, in the process for heavy questions. Called by `collector.web.parts`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from aiohttp import web

from collector.store_tables import instant_of_ms, microseconds_of
from collector.web.apart import APART
from collector.web.kept import Kept, keep
from collector.web.outcome_words import STATES, WORDS
from collector.web.registry import NavLink, Operation, Parameter, Part, Route
from collector.web.release_view import MOST_DRAWN, releases_among, shown_of
from collector.web.render import render, segment
from collector.web.run_answers import RunAnswer, RunsAnswer, run_answer, runs_answer
from collector.web.run_draw import draw_bar
from collector.web.run_view import PHASES
from collector.web.runs_view import FOUND, HOURS, MOST_ID, MOST_LISTED, run_id_of_slot, run_view, runs_view
from collector.web.site import SITE, site_of
from probes.records import Outcome

__all__ = ["PART"]

RUN_ID: Final = Parameter("run_id", {"type": "string", "maxLength": MOST_ID}, "The id of a run.", is_in_path=True)
SCENARIO: Final = Parameter("scenario", {"type": "string"}, "Of this scenario alone.")
REGION: Final = Parameter("region", {"type": "string"}, "From this region alone.")
OUTCOME: Final = Parameter("outcome", {"type": "string", "enum": [one.value for one in Outcome]}, "That ended so.")
HOURS_BACK: Final = Parameter(
    "hours", {"type": "integer", "enum": [int(one) for one in HOURS], "default": 24}, "So many hours before `until`."
)
UNTIL: Final = Parameter("until", {"type": "string", "format": "date-time"}, "The end of the hours; without it now.")
AFTER: Final = Parameter(
    "after", {"type": "string"}, "`next_after` of the page before, for the next; keep `until` then."
)
SLOT: Final = (
    Parameter("at", {"type": "string", "format": "date-time"}, "The instant of the slot."),
    Parameter("scenario", {"type": "string"}, "The scenario."),
    Parameter("region", {"type": "string"}, "The region."),
    Parameter("probe", {"type": "string"}, "The probe."),
    Parameter("attempt", {"type": "integer", "minimum": 0, "default": 0}, "0, or which run besides the scheduled one."),
)


async def show_run(request: web.Request) -> web.StreamResponse:
    """The page of a run."""
    view = await run_view(request, request.match_info["run_id"], is_soon=True)
    run = view.run
    return render(
        request,
        "run.html",
        title=f"{run.identity.scenario} from {run.identity.region}",
        view=view,
        run=run,
        phases=PHASES,
        draw_bar=draw_bar,
        states=STATES,
        words=WORDS,
    )


async def tell_run(request: web.Request) -> RunAnswer:
    """See the operation."""
    return run_answer(await run_view(request, request.match_info["run_id"]))


def _end_of_page_before(request: web.Request, until_at: datetime) -> datetime:
    """The slot that the page before ended with: releases since then stand there."""
    slot_ms = int(request.query["after"].partition(".")[0])
    return instant_of_ms(min(slot_ms, microseconds_of(until_at) // 1000))


async def list_runs(request: web.Request) -> web.StreamResponse:
    """The newest runs of a stretch of time, by scenario, region and outcome."""
    site, view = site_of(request), await runs_view(request)
    slots = [run.identity.slot_at for run in view.runs]
    releases = await site.store.releases.within(
        site.fleet,
        slots[-1] if slots else view.until_at,
        view.until_at if view.is_first else _end_of_page_before(request, view.until_at),
        limit=MOST_DRAWN,
    )
    return render(
        request,
        "runs.html",
        title="Runs",
        view=view,
        releases=releases_among(slots, shown_of(releases)),
        spans=HOURS,
        outcomes=list(Outcome),
        scenarios=await site.store.views.scenarios(site.fleet),
        regions=site.regions,
        states=STATES,
        words=WORDS,
    )


async def tell_runs(request: web.Request) -> RunsAnswer:
    """See the operation."""
    return runs_answer(await runs_view(request))


async def show_slot(request: web.Request) -> web.StreamResponse:
    """Lead to the run of a slot."""
    raise web.HTTPSeeOther(f"/runs/{segment(await run_id_of_slot(request))}")


async def tell_slot(request: web.Request) -> RunAnswer:
    """See the operation."""
    return run_answer(await run_view(request, await run_id_of_slot(request)))


def begin(application: web.Application) -> None:
    """Keep what was found."""
    application[FOUND] = keep(application, Kept(application[APART], application[SITE].clock, most=64))


PART = Part(
    routes=(
        Route("GET", "/runs", list_runs),
        Route("GET", "/runs/{run_id}", show_run),
        Route("GET", "/slots", show_slot),
    ),
    nav=(NavLink(40, "Runs", "/runs"),),
    api=(
        Operation(
            "GET",
            "/runs",
            tell_runs,
            f"Runs, the newest first, {MOST_LISTED} at a time",
            RunsAnswer,
            (SCENARIO, REGION, OUTCOME, HOURS_BACK, UNTIL, AFTER),
        ),
        Operation(
            "GET", "/runs/{run_id}", tell_run, "One run beside the nearest one that passed", RunAnswer, (RUN_ID,)
        ),
        Operation("GET", "/slots", tell_slot, "The run of a slot that a list names", RunAnswer, SLOT),
    ),
    begin=begin,
)
