"""The objectives that come with the project are the service-level document, line by line."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from console.objectives import BUILT_IN_OBJECTIVES, load_set
from console.scenario_steps import steps_of
from probes.registry import load_registry
from slo.document import parse_text
from slo.doubts import alert_doubts, gap_doubts, name_doubts
from slo.objective import EVERY_SCENARIO, EventKind, EventTime, Good, Quorum, Silence, SliceRule, Tier
from slo.objective_set import DOCUMENT_LINES
from slo.obligation import Duty, ObservationSource
from slo.window import CalendarMonths, RollingDays

FILES = sorted(BUILT_IN_OBJECTIVES.glob("*.yaml"))
KNOWN = load_set()
MONTH = CalendarMonths("UTC")
SECOND = 10**9
# Line, allowed bad share, strict, limit in seconds: the table of the document, typed again.
EVENTS = {
    "api-p95": ("3", Fraction(1, 20), False, 0.5),
    "api-p99": ("4", Fraction(1, 100), False, 1),
    "widget-p90": ("5", Fraction(1, 10), False, 2),
    "widget-p95": ("6", Fraction(1, 20), False, 3),
    "cad-p90": ("7", Fraction(1, 10), False, 30),
    "cad-p95": ("8", Fraction(1, 20), False, 60),
    "cad-success": ("9", Fraction(1, 20), False, None),
    "quote-p90": ("10", Fraction(1, 10), False, 5),
    "quote-p95": ("11", Fraction(1, 20), False, 10),
    "quote-errors": ("12", Fraction(1, 100), True, None),
    "api-errors": ("13", Fraction(1, 1000), True, None),
    "widget-errors": ("14", Fraction(1, 200), True, None),
    "dfm-failures": ("15", Fraction(1, 20), True, None),
    "payment-errors": ("16", Fraction(1, 1000), True, None),
    "errors-visible": ("22", Fraction(1, 20), False, 60),
    "events-visible": ("22", Fraction(1, 20), False, 60),
    "api-p95-stretch": ("25", Fraction(1, 20), False, 0.3),
    "widget-p90-stretch": ("26", Fraction(1, 10), False, 1.5),
    "cad-p90-stretch": ("27", Fraction(1, 10), False, 24),
    "cad-p95-stretch": ("27", Fraction(1, 20), False, 48),
}
MINUTES = {
    "api-uptime": ("1", Fraction(1, 1000)),
    "widget-availability": ("2", Fraction(1, 2000)),
    "metrics-every-minute": ("21", Fraction(1, 1000)),
    "api-uptime-stretch": ("29", Fraction(1, 10_000)),
}
OWED = {
    # Line, duty, bound (limit in seconds, or minutes after the day, or days).
    "backup-daily": ("17", Duty.PERIODIC, 360),
    "backup-retention": ("18", Duty.RETENTION, 30),
    "recovery-time": ("19", Duty.DURATION, 4 * 3600),
    "recovery-point": ("20", Duty.GAUGE, 24 * 3600),
    "recovery-point-drill": ("20", Duty.DURATION, 24 * 3600),
    "critical-answered": ("23", Duty.DURATION, 15 * 60),
    "high-answered": ("24", Duty.DURATION, 3600),
    "medium-answered": ("24", Duty.DURATION, 4 * 3600),
    "failover": ("28", Duty.DURATION, 4 * 60),
}


def test_every_line_of_the_document_is_covered_and_no_other() -> None:
    """29 lines, each by a measurement; none is left out silently."""
    assert KNOWN.lines == set(DOCUMENT_LINES)
    assert list(gap_doubts(KNOWN)) == []
    assert KNOWN.not_measured == ()


def test_the_event_lines_are_those_of_the_document() -> None:
    """Share, strictness and limit, exactly."""
    found = {
        name: (line.line, line.allowed_bad, line.strict, line.limit_ns and line.limit_ns / SECOND)
        for name, (line,) in KNOWN.objectives.items()
        if line.slices is None
    }
    assert found == EVENTS


def test_the_minute_lines_are_those_of_the_document() -> None:
    """A majority of two regions at least; and for line 21 any sample of any region, and silence is bad."""
    lines = {name: line for name, (line,) in KNOWN.objectives.items() if line.slices is not None}
    assert {name: (line.line, line.allowed_bad) for name, line in lines.items()} == MINUTES
    assert lines["metrics-every-minute"].slices == SliceRule(Quorum.ANY, Silence.BAD, 1, 2)
    assert lines["metrics-every-minute"].good is Good.MEASURED
    assert {lines[name].slices for name in MINUTES if name != "metrics-every-minute"} == {SliceRule()}


def test_the_obligations_are_those_of_the_document() -> None:
    """Duty and bound of each."""
    found = {
        name: (one.line, one.duty, one.deadline_minutes or one.keep_days or (one.limit_ns or 0) // SECOND)
        for name, (one,) in KNOWN.obligations.items()
    }
    assert found == OWED
    alerts = {
        one.selector.severity
        for (one,) in KNOWN.obligations.values()
        if one.selector.source is ObservationSource.ALERTS
    }
    assert alerts == {"critical", "high", "medium"}


def test_improvement_targets_are_stretch_lines_and_wake_nobody() -> None:
    """Lines 25 to 29, and only they; every contract line that can burn a budget has alerts."""
    stretch = {line.line for (line,) in KNOWN.objectives.values() if line.tier is Tier.STRETCH}
    stretch |= {one.line for (one,) in KNOWN.obligations.values() if one.tier is Tier.STRETCH}
    assert stretch == {"25", "26", "27", "28", "29"}
    for (line,) in KNOWN.objectives.values():
        assert bool(line.alerts) == (line.tier is Tier.CONTRACT)


def test_stretch_lines_measure_what_the_lines_they_tighten_measure() -> None:
    """The same events; line 29 even shares the cells of line 1."""
    of = {name: line for name, (line,) in KNOWN.objectives.items()}
    for loose, tight in (
        ("api-p95", "api-p95-stretch"),
        ("widget-p90", "widget-p90-stretch"),
        ("cad-p90", "cad-p90-stretch"),
    ):
        assert of[loose].selector == of[tight].selector
        assert (of[loose].time, of[loose].allowed_bad) == (of[tight].time, of[tight].allowed_bad)
    assert of["api-uptime"].check == of["api-uptime-stretch"].check
    assert of["api-uptime"].check != of["metrics-every-minute"].check


def test_windows_are_calendar_months_in_utc_and_drills_are_looked_at_for_a_quarter() -> None:
    """As the document says "monthly"; a drill is not held every month."""
    assert {line.window for (line,) in KNOWN.objectives.values()} == {MONTH}
    quarterly = {name for name, (one,) in KNOWN.obligations.items() if one.window == RollingDays(90)}
    assert quarterly == {"recovery-time", "recovery-point-drill", "failover"}


def test_times_are_measured_where_the_customer_waits() -> None:
    """Answers for the API, the ready mark for the widget, the span after the analysis for the quote."""
    times = {name: line.time for name, (line,) in KNOWN.objectives.items()}
    assert (times["api-p95"], times["widget-p90"], times["quote-p90"]) == (
        EventTime.RESPONSE,
        EventTime.READY,
        EventTime.SPAN,
    )


def test_no_alert_of_a_built_in_line_is_out_of_reach() -> None:
    """Each line has a preset whose tiers can fire."""
    assert list(alert_doubts(KNOWN)) == []


def test_scenarios_run_often_enough_for_minutes_and_every_name_is_that_of_a_scenario_and_a_step() -> None:
    """A scenario that is not part of this install is told of by name; what is there has the steps that the files name."""
    registry = load_registry("scenarios")
    load_set(BUILT_IN_OBJECTIVES, intervals_s={spec.name: spec.every_s for spec in registry})
    doubts = list(name_doubts(KNOWN, {spec.name: steps_of(spec) for spec in registry}, ["eu-west"]))
    awaited = {"backups", "restore-drill", "failover", "telemetry-canary"} - set(registry.names())
    assert [doubt for doubt in doubts if not any(f"no scenario is called '{name}'" in doubt for name in awaited)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_is_read_and_comes_back_the_same_after_being_written_anew(path: Path) -> None:
    """What a YAML library makes of it, written out and read again, promises the same: nothing hangs on how it was typed."""
    text = path.read_text(encoding="utf-8")
    entries, problems = parse_text(text, path.name)
    again, more_problems = parse_text(yaml.safe_dump_all(yaml.safe_load_all(text), sort_keys=True), path.name)
    assert problems == more_problems == ()
    assert [entry.item for entry in entries] == [entry.item for entry in again]


def test_all_of_it_is_in_force_today_and_always_was() -> None:
    """First versions have no beginning, so that the months before a fleet was updated can be scored."""
    assert len(KNOWN.objectives_at(datetime(2020, 1, 1, tzinfo=UTC))) == len(EVENTS) + len(MINUTES)
    assert len(KNOWN.obligations_at(datetime(2020, 1, 1, tzinfo=UTC))) == len(OWED)


def test_a_line_about_every_scenario_names_those_that_have_its_events() -> None:
    """Only their runs that say nothing are counted as such: without the names each such line was covered by 100 %."""
    steps = {spec.name: found for spec in load_registry("scenarios") if (found := steps_of(spec)) is not None}
    for (line,) in KNOWN.objectives.values():
        if not line.selector.is_of_all:
            continue
        telling = {
            EventKind.STEP: line.selector.steps,
            EventKind.REQUEST: line.selector.steps,
            EventKind.PART: line.selector.steps[-1:],
            EventKind.RUN: line.selector.steps[-1:],
            EventKind.SESSION: ("load",),
        }[line.selector.event]
        having = {name for name, there in steps.items() if there.intersection(telling)}
        assert set(line.selector.scenarios) == having | {EVERY_SCENARIO}, line.name
