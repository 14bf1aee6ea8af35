"""Which events of a run count for which line of the built-in service levels, and how they are judged."""

from __future__ import annotations

import random

import pytest

from console.objectives import load_objectives, load_set
from probes.records import FailureKind, PageLoad, Run
from slo.events import Event, events_of
from slo.evidence import Verdict
from slo.judgement import judge_line, judge_lines
from slo.objective import Objective
from tests.sample_runs import MS, S, make_exchange, make_run, make_step

LINES: dict[str, Objective] = {objective.line: objective for objective in load_objectives()}


def events(line: str, run: Run) -> tuple[Event, ...]:
    """The events of one run for one built-in line."""
    return events_of(run, LINES[line])


def quote_run(*, quote_ns: int = S, kind: FailureKind | None = None, number: int = 1) -> Run:
    """A journey whose analysis ends at 3 s and whose quote takes `quote_ns` after it."""
    return make_run(
        make_step("upload", S, part="bracket", part_bytes=1000),
        make_step("analyse", 2 * S, started_ns=S, part="bracket", part_bytes=1000),
        make_step("price", quote_ns // 2, started_ns=3 * S, exchanges=(make_exchange(),)),
        make_step("quote", quote_ns - quote_ns // 2, started_ns=3 * S + quote_ns // 2, kind=kind),
        number=number,
    )


def test_runs_on_demand_are_judged_by_the_contract_lines_that_count_events() -> None:
    """Lines 3 to 16 of the service-level document, and 22; a few runs by hand say nothing about a month of minutes."""
    assert list(LINES) == [*(str(number) for number in range(3, 17)), "22"]


@pytest.mark.parametrize(("quote_ns", "good"), [(5 * S - 1, True), (5 * S, False), (5 * S + 1, False)])
def test_the_quote_clock_runs_from_the_end_of_the_analysis_and_the_limit_is_strict(quote_ns: int, good: bool) -> None:
    """Exactly five seconds are not less than five seconds, to the nanosecond."""
    (event,) = events("10", quote_run(quote_ns=quote_ns))
    assert (event.good, event.time_ns) == (good, quote_ns)


def test_a_failed_quote_is_bad_and_slower_than_any_limit() -> None:
    """It has no time, and its errors count on the error line too."""
    run = quote_run(kind=FailureKind.ASSERTION)
    assert events("10", run) == (Event("run00001", 3, good=False),)
    assert [event.good for event in events("12", run)] == [False]


def test_a_journey_whose_analysis_failed_is_no_event_of_the_quote_lines() -> None:
    """The quote never had a chance: that is charged to CAD alone."""
    run = make_run(
        make_step("upload", part="bracket", part_bytes=1000),
        make_step("analyse", part="bracket", part_bytes=1000, kind=FailureKind.TIMEOUT),
    )
    assert events("10", run) == events("12", run) == ()
    assert [event.good for event in events("9", run)] == [False]


def test_a_journey_that_broke_between_analysis_and_quote_is_a_quote_error() -> None:
    """No quote came out, whichever step is to blame."""
    run = make_run(make_step("upload"), make_step("analyse"), make_step("price", started_ns=S, kind=FailureKind.STATUS))
    assert [event.good for event in events("12", run)] == [False]


@pytest.mark.parametrize(("part_bytes", "counts"), [(49_999_999, 1), (50_000_000, 0), (52_428_799, 0), (0, 0)])
def test_only_parts_below_fifty_million_bytes_count_for_the_analysis_times(part_bytes: int, counts: int) -> None:
    """The document says files < 50 MB; a step that does not say its part's size counts for neither side."""
    run = make_run(make_step("analyse", S, part="p", part_bytes=part_bytes), scenario="cad-large")
    assert len(events("7", run)) == counts


def test_every_part_is_one_event_of_the_success_line() -> None:
    """Three parts: one analysed, one refused at the upload, one whose analysis failed."""
    run = make_run(
        make_step("upload", part="a"),
        make_step("analyse", part="a"),
        make_step("upload", part="b", kind=FailureKind.STATUS),
        make_step("upload", part="c"),
        make_step("analyse", part="c", kind=FailureKind.ASSERTION),
        scenario="cad-small",
    )
    assert [event.good for event in events("9", run)] == [True, False, False]


def test_a_scenario_that_only_uploads_says_nothing_about_analyses() -> None:
    """The part that just fits is sent to see that it is taken; nobody asks for its analysis."""
    run = make_run(make_step("upload", part="padded-52428800"), scenario="cad-over-limit")
    assert events("9", run) == ()


def test_the_response_time_leaves_out_what_was_ours() -> None:
    """Time in our own queue is never charged to the platform; the slowest of several answers decides."""
    exchanges = (make_exchange(wait_ns=5 * MS), make_exchange(wait_ns=497 * MS, queue_ns=30 * S))
    run = make_run(make_step("price", 40 * S, exchanges=exchanges))
    (event,) = events("3", run)
    assert event.good
    assert event.time_ns == 497 * MS + MS + MS // 2


def test_a_step_without_requests_is_no_event_of_the_api_line() -> None:
    """The widget's own `price` step happens in a browser; its failures belong to the widget."""
    assert events("3", make_run(make_step("price", kind=FailureKind.BROWSER), scenario="widget-quote")) == ()


def test_a_load_that_passed_without_a_ready_mark_was_not_measured() -> None:
    """What the browser did not report is neither good nor bad; a failed load is bad."""
    assert events("5", make_run(make_step("load", pages=(PageLoad("http://x/"),)))) == ()
    assert [e.good for e in events("5", make_run(make_step("load", kind=FailureKind.BROWSER)))] == [False]
    ready = make_step("load", pages=(PageLoad("http://x/", ready_ns=2 * S),))
    assert [(e.good, e.time_ns) for e in events("5", make_run(ready))] == [(False, 2 * S)]


def test_requests_are_bad_when_unanswered_or_answered_with_a_server_error() -> None:
    """429 and 404 are answers; a failure of ours is no event at all."""
    run = make_run(make_step("price", exchanges=tuple(make_exchange(status=status) for status in (200, 404, 429, 503))))
    assert [event.good for event in events("13", run)] == [True, True, True, False]


def test_a_browser_session_is_bad_when_any_of_its_pages_threw() -> None:
    """One event per run, however many pages it opened."""
    clean = make_step("load", pages=(PageLoad("http://x/", ready_ns=S),))
    thrown = make_step("price", pages=(PageLoad("http://x/", uncaught_errors=("TypeError: x",)),))
    assert [event.good for event in events("14", make_run(clean))] == [True]
    assert [event.good for event in events("14", make_run(clean, thrown))] == [False]


def test_an_inconclusive_run_is_no_event_of_any_line() -> None:
    """Our own fault spends nothing of the platform's budget, not even with the steps that had passed."""
    run = make_run(
        make_step("upload", part="p", part_bytes=10),
        make_step("analyse", part="p", part_bytes=10),
        make_step("price", exchanges=(make_exchange(),)),
        make_step("quote", started_ns=9 * S, kind=FailureKind.ABORTED),
    )
    assert judge_lines(tuple(LINES.values()), [run]) == ()


@pytest.mark.parametrize("kind", [None, FailureKind.STATUS, FailureKind.TIMEOUT])
def test_a_measured_run_is_a_good_sample_whatever_it_found(kind: FailureKind | None) -> None:
    """Line 21 promises that the API is measured, not that it is well; that is line 1."""
    run = make_run(make_step("api-health", S, kind=kind), scenario="api-health")
    of = {name: versions[-1] for name, versions in load_set().objectives.items()}
    assert [event.good for event in events_of(run, of["metrics-every-minute"])] == [True]
    assert [event.good for event in events_of(run, of["api-uptime"])] == [kind is None]
    ours = make_run(make_step("api-health", S, kind=FailureKind.INTERNAL), scenario="api-health")
    assert events_of(ours, of["metrics-every-minute"]) == ()


def test_clean_up_is_no_event() -> None:
    """Steps that remove what a run made never spend a budget."""
    run = make_run(make_step("quote", kind=FailureKind.STATUS, exchanges=(make_exchange(status=500),), cleanup=True))
    assert events("3", run) == events("13", run) == ()


def test_order_and_repetition_of_runs_change_nothing() -> None:
    """A verdict depends on the set of runs alone."""
    runs = [quote_run(quote_ns=S * number, number=number) for number in range(1, 12)]
    expected = judge_line(LINES["10"], runs)
    shuffled = [*runs, *runs]
    random.shuffle(shuffled)
    assert judge_line(LINES["10"], shuffled) == expected


def test_a_line_says_how_sure_it_is() -> None:
    """28 good events of a p90 line are too few, 29 are enough, and a few bad ones make it breached."""
    runs = [quote_run(number=number) for number in range(29)]
    assert judge_line(LINES["10"], runs[:28]).verdict is Verdict.NOT_ENOUGH_DATA
    assert judge_line(LINES["10"], runs).verdict is Verdict.MET
    bad = [quote_run(quote_ns=6 * S, number=number) for number in range(5)]
    assert judge_line(LINES["10"], bad).verdict is Verdict.BREACHED
    assert judge_line(LINES["10"], bad).percentile_ns == 6 * S
