"""Objective files that are wrong, each refused with its line, its key and a remedy; and what right ones say."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.burn_tiers import AlertPreset, Severity
from slo.document import Item, parse_text
from slo.document_own import NotMeasured
from slo.document_text import Problem
from slo.maintenance import MaintenanceWindow
from slo.objective import Good, Objective, Quorum, Silence, SliceRule, Tier
from slo.obligation import Duty, Obligation, ObservationSource
from slo.window import CalendarMonths, RollingDays
from tests.objective_texts import GAP, GAUGE, LATENCY, MAINTENANCE, MINUTES, PERIODIC, PRESET

SOURCE = "spec.indicator.spec.thresholdMetric.metricSource.spec"
TOTAL = "spec.indicator.spec.ratioMetric.total.metricSource.spec"
WINDOW = "spec.timeWindow[0]"
NOTES = "metadata.annotations"
GOAL = "spec.objectives[0]"
CALENDAR = f"{WINDOW}.calendar"
UNTIL_TARGET = "      target: 0.95\n"


def problems_of(text: str) -> tuple[Problem, ...]:
    """What is wrong with a file of that text."""
    return parse_text(text, "x.yaml")[1]


def item_of(text: str) -> Item:
    """The one document of a text in which nothing is wrong."""
    (entry,), problems = parse_text(text, "x.yaml")
    assert problems == ()
    return entry.item


def line_of(text: str, part: str) -> int:
    """The line on which a part of the text begins."""
    return text.count("\n", 0, text.index(part)) + 1


BAD = [
    # The traps: text, what stands there, what is written instead, key, reason, remedy.
    ("1m is a minute", LATENCY, "duration: 1M", "duration: 1m", f"{WINDOW}.duration", "a month is written '1M'", "'1M'"),
    ("45s is short", LATENCY, "duration: 1M", "duration: 45s", f"{WINDOW}.duration", "too short", "'30d'"),
    ("1h is short", LATENCY, "duration: 1M", "duration: 1h", f"{WINDOW}.duration", "too short", "'30d'"),
    ("rolling 30m", MINUTES, "duration: 30d", "duration: 30m", f"{WINDOW}.duration", "means minutes", "'30d'"),
    ("a slice of a month", MINUTES, "Window: 1m", "Window: 1M", f"{GOAL}.timeSliceWindow", "means months", "'1m'"),
    ("two thresholds", LATENCY, UNTIL_TARGET, f"{UNTIL_TARGET}    - {{op: lt, value: 9, target: 0.99}}\n", "spec.objectives",
     "exactly one", "p95 and p99 are two"),
    ("unquoted startTime", LATENCY, '"2026-01-01 00:00:00"', "2026-01-01 00:00:00", f"{CALENDAR}.startTime", "as a date",
     'quotes: "2026-01-01 00:00:00"'),
    ("100 percent", LATENCY, "target: 0.95", "target: 1.0", f"{GOAL}.target", "share below 1", "Obligation"),
    ("version without end", LATENCY, '"1"\n', '"1"\n    fleet/effectiveFrom: 2026-10-01\n', f"{NOTES}.fleet/effectiveFrom",
     "as a date", '"2026-10-01T00:00:00Z"'),
    # Headings.
    ("another version of OpenSLO", LATENCY, "openslo/v1", "openslo/v1alpha", "apiVersion", "not one of", "openslo/v1"),
    ("a kind that is not scored", LATENCY, "kind: SLO", "kind: Service", "kind", "no kind of openslo/v1", "Write one of SLO"),
    ("our kind as theirs", PERIODIC, "fleet/v1\n", "openslo/v1\n", "kind", "no kind of", "apiVersion: fleet/v1"),
    ("an unknown key", LATENCY, "  service: api", "  servise: api", "spec.servise", "did you mean 'service'", "'service'"),
    ("a key without a cousin", LATENCY, "  service: api", "  zzz: 1\n  service: api", "spec.zzz", "not a key", "known are"),
    ("a key twice", LATENCY, "      value: 500\n", "      value: 500\n      value: 900\n", f"{GOAL}.value",
     "stands twice", "last"),
    ("a name with a space", LATENCY, "name: api-p95", "name: API p95", "metadata.name", "not a name", "'api-p95'"),
    ("a name that is a bool", LATENCY, "name: api-p95", "name: no", "metadata.name", "must be a text, not False", "quotes"),
    ("a line that is a number", LATENCY, 'line: "3"', "line: 3", f"{NOTES}.fleet/line", "must be a text, not 3", "quotes"),
    ("version zero", LATENCY, 'version: "1"', 'version: "0"', f"{NOTES}.fleet/version", "at least 1", "1, 2, 3"),
    ("an unknown tier", LATENCY, '"1"\n', '"1"\n    fleet/tier: strech\n', f"{NOTES}.fleet/tier", "not one of", "'stretch'"),
    ("coverage in percent", LATENCY, '"1"\n', '"1"\n    fleet/minCoverage: "99"\n', f"{NOTES}.fleet/minCoverage",
     "between 0 and 1", "0.99"),
    ("since when, without a zone", LATENCY, '"1"\n', '"1"\n    fleet/effectiveFrom: "2026-10-01 00:00"\n',
     f"{NOTES}.fleet/effectiveFrom", "in which zone", '"2026-10-01T00:00:00Z"'),
    ("since the middle of a minute", LATENCY, '"1"\n', '"1"\n    fleet/effectiveFrom: "2026-10-01T00:00:30Z"\n',
     f"{NOTES}.fleet/effectiveFrom", "whole minute", "at 00"),
    # Goals and windows.
    ("percent for a share", LATENCY, "target: 0.95", "target: 95", f"{GOAL}.target", "share below 1", "Write 0.95"),
    ("a target with its sign", LATENCY, "target: 0.95", "target: 95%", f"{GOAL}.target", "number above 0", "plain number"),
    ("at most", LATENCY, "op: lt", "op: lte", f"{GOAL}.op", "must be 'lt'", "'lt'"),
    ("an unknown unit", LATENCY, "unit: ms", "unit: min", f"{SOURCE}.unit", "not one of ms, s", "ms or s"),
    ("a limit for minutes", MINUTES, "      target: 0.999", "      value: 3\n      target: 0.999", f"{GOAL}.value",
     "does not belong", "Remove"),
    ("a zone that nobody knows", LATENCY, "timeZone: UTC", "timeZone: Mars/Base", f"{CALENDAR}.timeZone", "IANA", "Berlin"),
    ("a continent", LATENCY, "timeZone: UTC", "timeZone: Europe", f"{CALENDAR}.timeZone", "IANA", "Berlin"),
    ("a month that begins on the 15th", LATENCY, "2026-01-01", "2026-01-15", f"{CALENDAR}.startTime", "first instant",
     '"2026-01-01 00:00:00"'),
    ("a calendar week", LATENCY, "duration: 1M", "duration: 1w", f"{WINDOW}.duration", "one month, '1M'", "isRolling"),
    ("a rolling month", MINUTES, "duration: 30d", "duration: 1M", f"{WINDOW}.duration", "number of days", "'30d'"),
    ("a rolling calendar", LATENCY, "isRolling: false", "isRolling: true", f"{CALENDAR}", "no calendar", "Remove"),
    ("rolling perhaps", LATENCY, "isRolling: false", "isRolling: maybe", f"{WINDOW}.isRolling", "true or false",
     "true or false"),
    # What is counted.
    ("another budgeting method", LATENCY, "d: Occurrences", "d: RatioTimeslices", "spec.budgetingMethod",
     "not one of", "Times"),
    ("slices with a limit", LATENCY, "d: Occurrences", "d: Timeslices", "spec.indicator.spec.thresholdMetric",
     "has a limit", "ratioMetric"),
    ("slices of requests", MINUTES, "event: run", "event: request", f"{TOTAL}.event", "must be 'run'", "'run'"),
    ("slices of five minutes", MINUTES, "Window: 1m", "Window: 5m", f"{GOAL}.timeSliceWindow", "not the slice", "'1m'"),
    ("slices that must be perfect", MINUTES, "Target: 0.5", "Target: 0.99", f"{GOAL}.timeSliceTarget", "must be 0.5", "0.5"),
    ("slice keys for events", LATENCY, UNTIL_TARGET, f"{UNTIL_TARGET}      timeSliceWindow: 1m\n", f"{GOAL}.timeSliceWindow",
     "Timeslices", "Remove"),
    ("a quorum of events", MINUTES, "d: Timeslices", "d: Occurrences", f"{TOTAL}.quorum", "decide minutes", "Remove"),
    ("an unknown quorum", MINUTES, "quorum: majority", "quorum: all", f"{TOTAL}.quorum", "majority, any", "majority"),
    ("a gap without a unit", MINUTES, "max_gap: 2m", "max_gap: 2", f"{TOTAL}.max_gap", "must be a text", "quotes"),
    ("a gap of seconds", MINUTES, "max_gap: 2m", "max_gap: 90s", f"{TOTAL}.max_gap", "whole minutes", "5m"),
    ("no region at all", MINUTES, "min_conclusive: 2", "min_conclusive: 0", f"{TOTAL}.min_conclusive", "at least 1", "1, 2"),
    ("a strict month", MINUTES, "quorum: majority", "strict: true", f"{TOTAL}.strict", "does not belong", "Remove"),
    ("good that does not fit", MINUTES, "good: passed", "good: answered", TOTAL.replace("total", "good") + ".good",
     "'passed' or 'measured'", "'passed'"),
    ("one step as a word", LATENCY, "steps: [price]", "steps: price", f"{SOURCE}.steps", "list of texts", "[a, b]"),
    ("somebody else's source", LATENCY, "type: fleet", "type: prometheus",
     "spec.indicator.spec.thresholdMetric.metricSource.type",
     "must be 'fleet'", "'fleet'"),
    # Obligations.
    ("a limit that no day has", PERIODIC, "deadline: 6h", "deadline: 6h\n  limit: 4h", "spec.limit",
     "'deadline' alone", "Remove"),
    ("a duty nobody knows", PERIODIC, "duty: periodic", "duty: sometimes", "spec.duty", "not one of", "periodic"),
    ("a deadline by the clock", PERIODIC, "deadline: 6h", "deadline: 06:00", "spec.deadline", "not a duration", "4h"),
    ("a deadline in months", PERIODIC, "deadline: 6h", "deadline: 6M", "spec.deadline", "'M' is a month", "15m"),
    ("days of nothing", PERIODIC, "    subject: backup.day\n", "", "spec.observations.subject",
     "what each fact is about", "backup.day"),
    ("alerts every day", PERIODIC, "source: runs", "source: alerts", "spec.observations.source", "do not go with", "duration"),
    ("runs of a severity", PERIODIC, "source: runs", "source: runs\n    severity: high", "spec.observations.severity",
     "no severity", "Remove"),
    ("parts of days kept", GAUGE.replace("limit: 24h", "keep: 30d").replace("gauge", "retention"), "keep: 30d",
     "keep: 36h", "spec.keep",
     "number of days", "30d"),
    # Maintenance, presets and gaps.
    ("a rule that recurs never", MAINTENANCE, "FREQ=WEEKLY", "FREQ=SUNDAYS", "spec.rrule", "must be one rule", "RFC 5545"),
    ("a rule without a pause", MAINTENANCE, "BYDAY=SU", "INTERVAL=0", "spec.rrule", "without a pause", "RFC 5545"),
    ("a rule of two", MAINTENANCE, "FREQ=WEEKLY", "DTSTART:20261004T020000Z FREQ=WEEKLY", "spec.rrule", "one rule", "RFC"),
    ("maintenance some time", MAINTENANCE, '"2026-10-04T02:00:00Z"', "sunday", "spec.startsAt", "not an instant", "offset"),
    ("announced to nobody", MAINTENANCE, '  announcedAt: "2026-09-01T00:00:00Z"\n', "", "spec.announcedAt",
     "is missing", "instant"),
    ("maintenance of a star", MAINTENANCE, 'scenarios: ["cad-*"]', 'scenarios: "cad-*"', "spec.scope.scenarios",
     "list", "[a, b]"),
    ("an alert that never ends", PRESET, "short: 5m", "short: 2h", "spec.tiers[0].short", "not shorter", "5m of 1h"),
    ("a severity twice", PRESET, "severity: high", "severity: critical", "spec.tiers", "stands twice", "one tier"),
    ("a budget in percent", PRESET, "budget: 0.02", "budget: 2", "spec.tiers[0].budget", "share below 1", "0.02"),
    ("no reason", GAP, "because: no probe", "why: no probe", "spec.why", "not a key", "because"),
    # YAML.
    ("a tab", LATENCY, "  service: api", "\tservice: api", "", "is not YAML", "Mend"),
    ("a colon in a text", LATENCY, "The slowest answer.", "The answer: slow", "", "is not YAML", "quotes"),
    ("an alias", LATENCY, 'scenarios: ["*"]', "scenarios: &a [x]\n            regions: *a", f"{SOURCE}.regions",
     "alias", "Write it out"),
    ("a merged mapping", LATENCY, "type: fleet", "<<: {type: fleet}", "spec.indicator.spec.thresholdMetric.metricSource.<<",
     "merges", "out"),
    ("a program's object", LATENCY, "service: api", "service: !!python/name:os.system x", "", "only programs", "plain values"),
    ("a 31st of June", LATENCY, '"2026-01-01 00:00:00"', "2026-06-31", "", "does not exist", "mend"),
    ("a bell", LATENCY, "slowest answer", "slowest \a answer", "", "character", "Remove"),
]  # fmt: skip

PLACES = {
    # Where the line told is not the one that was changed: the key is missing, or the list around it is to blame.
    "two thresholds": "  objectives:",
    "a rolling calendar": "calendar:",
    "slices with a limit": "thresholdMetric:",
    "a limit for minutes": "value: 3",
    "our kind as theirs": "kind:",
    "a quorum of events": "quorum:",
    "a severity twice": "  tiers:",
    "days of nothing": "  observations:",
    "announced to nobody": "spec:",
    "a key twice": "value: 900",
    "a key without a cousin": "zzz",
    "maintenance some time": "startsAt",
    "an alias": "[x]",
    "a 31st of June": "apiVersion:",
    "a limit that no day has": "limit: 4h",
    "runs of a severity": "severity: high",
}


@pytest.mark.parametrize(
    ("text", "old", "new", "key", "reason", "remedy", "name"),
    [(*case[1:], case[0]) for case in BAD],
    ids=[case[0] for case in BAD],
)
def test_a_wrong_file_is_refused_with_line_key_and_remedy(
    text: str, old: str, new: str, key: str, reason: str, remedy: str, name: str
) -> None:
    """Whoever wrote it opens the line, sees the key, and reads what to write instead."""
    assert text.count(old) >= 1
    broken = text.replace(old, new, 1)
    found = [problem for problem in problems_of(broken) if problem.key == key and reason in problem.reason]
    assert len(found) == 1, problems_of(broken)
    line = line_of(broken, PLACES.get(name) or new.strip().splitlines()[-1].strip())
    assert (found[0].where, remedy in found[0].remedy) == (f"x.yaml:{line}", True), found[0]


@pytest.mark.parametrize("text", [LATENCY, MINUTES, PERIODIC, GAUGE, MAINTENANCE, PRESET, GAP])
def test_the_texts_that_are_broken_here_are_right_as_they_stand(text: str) -> None:
    """Else a refusal would prove nothing."""
    assert problems_of(text) == ()


@pytest.mark.parametrize("text", [LATENCY, MINUTES, PERIODIC, GAUGE, MAINTENANCE, PRESET, GAP])
def test_a_file_that_lacks_any_line_or_ends_early_is_read_or_refused_and_never_crashes(text: str) -> None:
    """Whatever an editor leaves behind, each refusal has a line of the file, a reason and a remedy."""
    lines = text.splitlines(keepends=True)
    for place in range(len(lines)):
        for broken in ("".join(lines[:place] + lines[place + 1 :]), "".join(lines[:place])):
            for problem in problems_of(broken):
                assert 1 <= problem.line <= len(lines)
                assert problem.reason
                assert problem.remedy


ODD = (
    "", "[]", "{}", "[1]", "{a: b}", "{? [a] : b}", "1e400", ".nan", "-1", "0", "true", "1:30", "99999999999999999999",
    '""', '"Europe"', '"../etc"',
    "2026-10-01", "2026-10-01T00:00:00Z",
    '"2026-10-01T00:00:00+99:00"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:00-12:00"',
    '"FREQ=DAILY;BYMONTH=13"', '"FREQ=DAILY;UNTIL=20261004"', "!!binary aGk=", "!!set {a}", "P1D", "[", "*x", "\x00",
)  # fmt: skip


@settings(deadline=None)  # a busy machine is no failure of a rule
@given(
    st.sampled_from([LATENCY, MINUTES, PERIODIC, GAUGE, MAINTENANCE, PRESET, GAP]),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(ODD)), min_size=1, max_size=3),
)
def test_whatever_stands_in_place_of_a_value_is_read_or_refused_and_never_crashes(
    text: str, changes: list[tuple[int, str]]
) -> None:
    """A collector that reads a folder again must outlive what somebody typed."""
    lines = text.splitlines()
    for place, value in changes:
        lines[place % len(lines)] = f"{lines[place % len(lines)].partition(':')[0]}: {value}"
    for problem in problems_of("\n".join(lines)):
        assert 1 <= problem.line <= len(lines) + 1
        assert problem.reason
        assert problem.remedy


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_lines() -> None:
    """A person mends a file in one go."""
    broken = (
        LATENCY.replace("unit: ms", "unit: min").replace("target: 0.95", "target: 95").replace('line: "3"', "line: 3")
    )
    assert [(problem.line, problem.key) for problem in problems_of(broken)] == [
        (7, f"{NOTES}.fleet/line"),
        (22, f"{SOURCE}.unit"),
        (34, f"{GOAL}.target"),
    ]


def test_a_missing_mapping_is_one_problem_and_not_one_for_each_key_below() -> None:
    """What is missing with it is no news."""
    (problem,) = problems_of(LATENCY[: LATENCY.index("spec:")])
    assert (problem.line, problem.key, problem.reason) == (1, "spec", "is missing")


def test_an_empty_file_is_refused() -> None:
    """It promises nothing, which nobody means."""
    assert [problem.line for problem in problems_of("")] == [1]
    assert [problem.line for problem in problems_of("# only a comment\n")] == [1]


def test_a_file_may_hold_several_documents_and_a_bad_one_leaves_the_others() -> None:
    """Lines are counted from the top of the file; an empty document between dashes is none."""
    text = f"---\n{LATENCY}---\n---\n{MINUTES.replace('target: 0.999', 'target: 99.9')}---\n{PRESET}"
    entries, (problem,) = parse_text(text, "x.yaml")
    assert [type(entry.item) for entry in entries] == [Objective, AlertPreset]
    assert problem.line == line_of(text, "target: 99.9")
    assert "Write 0.999" in problem.remedy


def test_deep_nesting_is_refused_and_does_not_end_the_program() -> None:
    """A file from somewhere else must not take the collector with it."""
    (problem,) = problems_of("[" * 5000)
    assert "YAML" in problem.reason or "deep" in problem.reason


@pytest.mark.parametrize(
    ("every_s", "is_refused"), [(60, False), (30, False), (60.5, True), (300, True), (float("inf"), True)]
)
def test_slices_must_be_as_long_as_the_interval_of_the_check(every_s: float, is_refused: bool) -> None:
    """A check every 5 minutes leaves 80 % of its minutes empty; another scenario's interval says nothing."""
    problems = parse_text(MINUTES, "x.yaml", intervals_s={"api-health": every_s, "quote": 9000})[1]
    assert [problem.key for problem in problems] == ([f"{TOTAL}.scenarios"] if is_refused else [])


def test_an_interval_that_nobody_knows_is_no_reason_to_refuse() -> None:
    """A file may be checked where its scenarios are not."""
    assert parse_text(MINUTES, "x.yaml", intervals_s={"quote": 9000})[1] == ()


def test_a_line_of_minutes_is_read_with_its_rule() -> None:
    """Quorum, silence, the smallest number of regions and the longest gap."""
    objective = item_of(MINUTES.replace("quorum: majority", "quorum: any").replace("silence: unknown", "silence: bad"))
    assert isinstance(objective, Objective)
    assert objective.slices == SliceRule(Quorum.ANY, Silence.BAD, 2, 2)
    assert (objective.allowed_bad, objective.window) == (Fraction(1, 1000), RollingDays(30))


def test_what_a_line_of_minutes_leaves_out_has_the_default() -> None:
    """A majority of at least two regions, silence unknown, no rule about gaps."""
    short = "".join(
        line for line in MINUTES.splitlines(keepends=True) if line.strip().split(":")[0] not in _SLICE_WORDS
    )
    objective = item_of(short)
    assert isinstance(objective, Objective)
    assert objective.slices == SliceRule()
    assert objective.good is Good.PASSED


_SLICE_WORDS = ("quorum", "silence", "min_conclusive", "max_gap")


def test_annotations_say_tier_coverage_correlation_alerts_and_since_when() -> None:
    """All of them are texts, as OpenSLO wants; an offset is understood."""
    notes = (
        '"1"\n    fleet/tier: stretch\n    fleet/minCoverage: "0.9"\n    fleet/correlated: "true"\n    fleet/alerts: standard\n'
        '    fleet/effectiveFrom: "2026-10-01T02:00:00+02:00"\n'
    )
    objective = item_of(LATENCY.replace('"1"\n', notes))
    assert isinstance(objective, Objective)
    assert (objective.tier, objective.min_coverage, objective.is_correlated) == (Tier.STRETCH, Fraction(9, 10), True)
    assert (objective.alerts, objective.service) == ("standard", "api")
    assert objective.effective_from == datetime(2026, 10, 1, tzinfo=UTC)
    assert objective.window == CalendarMonths("UTC")


def test_an_obligation_is_read_with_its_bound_in_the_unit_of_its_duty() -> None:
    """Deadlines in minutes after the day, limits in nanoseconds."""
    daily, age = item_of(PERIODIC), item_of(GAUGE)
    assert isinstance(daily, Obligation)
    assert isinstance(age, Obligation)
    assert (daily.duty, daily.deadline_minutes, daily.limit_ns, daily.keep_days) == (Duty.PERIODIC, 360, None, None)
    assert (age.duty, age.deadline_minutes, age.limit_ns) == (Duty.GAUGE, None, 86_400 * 10**9)
    assert (daily.selector.source, daily.selector.subject) == (ObservationSource.RUNS, "backup.day")


def test_maintenance_is_read_with_the_scope_that_it_leaves_out_meaning_all() -> None:
    """Regions and objectives were not named."""
    window = item_of(MAINTENANCE)
    assert isinstance(window, MaintenanceWindow)
    assert (window.duration_minutes, window.scenarios, window.regions) == (60, ("cad-*",), ("*",))
    assert window.starts_at == datetime(2026, 10, 4, 2, tzinfo=UTC)


def test_a_preset_and_a_gap_are_read() -> None:
    """Windows in minutes, the share of the budget exact."""
    preset, gap = item_of(PRESET), item_of(GAP)
    assert isinstance(preset, AlertPreset)
    assert isinstance(gap, NotMeasured)
    tier = preset.tiers[0]
    assert (tier.severity, tier.long_minutes, tier.short_minutes, tier.budget) == (
        Severity.CRITICAL,
        60,
        5,
        Fraction(1, 50),
    )
    assert (gap.line, gap.because) == ("30", "no probe can ring a telephone")
