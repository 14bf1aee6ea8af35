"""Random runs and random objectives, for tests that hold two ways of counting events together."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from probes.records import Exchange, Failure, FailureKind, Outcome, PageLoad, Run, Step
from slo.objective import EventKind, EventSelector, EventTime, Good, Objective
from slo.window import CalendarMonths
from tests.sample_runs import MS, make_exchange, make_run, make_step

__all__ = ["objectives", "runs"]

NAMES = ("sign-in", "upload", "analyse", "dfm", "price", "quote", "load", "api-health")
SCENARIOS = ("quote", "cad-small", "api-health", "widget-load", "payment")
GOOD_OF = {
    EventKind.STEP: Good.PASSED,
    EventKind.PART: Good.PASSED,
    EventKind.RUN: Good.PASSED,
    EventKind.REQUEST: Good.ANSWERED,
    EventKind.SESSION: Good.NO_UNCAUGHT_ERROR,
}


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """A request that was answered, refused, or failed for some reason."""
    kind = draw(st.sampled_from([None, None, None, *FailureKind]))
    failure = Failure(kind, "x") if kind else None
    return make_exchange(
        wait_ns=draw(st.integers(1, 1200)) * MS,
        queue_ns=draw(st.integers(0, 900)) * MS,
        status=draw(st.sampled_from([200, 404, 429, 500, 503])),
        failure=failure,
    )


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """A step of any kind; most of them passed."""
    kind = draw(st.sampled_from([None] * 12 + [FailureKind.STATUS, FailureKind.ABORTED]))
    errors = draw(st.sampled_from([(), ("boom",)]))
    pages = (
        PageLoad("http://x", ready_ns=draw(st.sampled_from([None, 900 * MS, 2_500 * MS])), uncaught_errors=errors),
    )
    return make_step(
        draw(st.sampled_from(NAMES)),
        draw(st.integers(0, 70_000)) * MS,
        started_ns=draw(st.integers(0, 9_000)) * MS,
        kind=kind,
        part=draw(st.sampled_from(["", "a", "b"])),
        part_bytes=draw(st.sampled_from([0, 49_999_999, 50_000_000])),
        exchanges=tuple(draw(st.lists(exchanges(), max_size=3))),
        pages=draw(st.sampled_from([(), pages])),
        cleanup=draw(st.sampled_from([False] * 12 + [True])),
    )


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A run that is conclusive."""
    run = make_run(*draw(st.lists(steps(), max_size=6)), scenario=draw(st.sampled_from(SCENARIOS)))
    return replace(run, outcome=draw(st.sampled_from([Outcome.PASS, Outcome.FAIL])))


@st.composite
def objectives(draw: st.DrawFn) -> Objective:
    """Any combination of kind, time and limit that a file may ask for."""
    event = draw(st.sampled_from(list(EventKind)))
    times = {EventKind.STEP: [EventTime.STEP, EventTime.RESPONSE, EventTime.READY], EventKind.RUN: [EventTime.SPAN]}
    time = draw(st.sampled_from([None, *times.get(event, [])]))
    after = draw(st.sampled_from(["", "upload", "analyse"])) if event is EventKind.RUN else ""
    wanted = tuple(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)))
    below = draw(st.sampled_from([None, 50_000_000]))
    return Objective(
        "made-up",
        "Made up",
        "0",
        1,
        CalendarMonths(),
        EventSelector(event, ("*",), wanted, after, below),
        GOOD_OF[event],
        Fraction(1, 20),
        time=time,
        limit_ns=draw(st.integers(1, 40_000)) * MS if time else None,
    )
