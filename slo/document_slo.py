"""An OpenSLO v1 `SLO` document as an objective. Our own keys live in `metricSource.spec` (`type: fleet`) and in annotations.

Refuses: units it does not know, and what OpenSLO can write but this engine does not score, above all slices that are not one
minute: a minute is good or bad by the majority of its events. Pure; called by `slo.document`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Final

from slo.document_parts import DEFAULT_COVERAGE, TOP_KEYS, Heading, read_heading, read_window
from slo.fields import Fields, Problems
from slo.objective import (
    GOODS_OF_KIND,
    KIND_OF_TIME,
    EventKind,
    EventSelector,
    EventTime,
    Good,
    Objective,
    Quorum,
    Silence,
    SliceRule,
)

__all__ = ["OPENSLO", "parse_objective", "read_objective"]

OPENSLO: Final = "openslo/v1"
_UNIT_NS: Final = {"ms": 1_000_000, "s": 1_000_000_000}
_SLICE_S: Final = 60
_SLICE_TARGET: Final = Fraction(1, 2)
_SPEC_KEYS: Final = ("description", "service", "indicator", "timeWindow", "budgetingMethod", "objectives")
_GOAL_KEYS: Final = ("displayName", "op", "value", "target", "timeSliceTarget", "timeSliceWindow")
_SELECTOR_KEYS: Final = ("event", "scenarios", "steps", "after", "valid", "regions")
_SLICE_KEYS: Final = ("quorum", "silence", "min_conclusive", "max_gap")
_ANNOTATIONS: Final = ("fleet/minCoverage", "fleet/correlated", "fleet/alerts")


class _Budgeting(StrEnum):
    OCCURRENCES = "Occurrences"
    TIMESLICES = "Timeslices"


@dataclass(frozen=True, slots=True)
class _Indicator:
    """What the indicator says: events, what makes one good, and how minutes are decided if they are."""

    selector: EventSelector
    good: Good
    regions: tuple[str, ...]
    strict: bool = False
    time: EventTime | None = None
    unit: str = "s"
    slices: SliceRule | None = None


def parse_objective(document: Mapping[str, object]) -> Objective:
    """The mapping as an objective; ObjectiveError names the first key that is wrong and what is allowed there."""
    problems = Problems()
    objective = read_objective(Fields(document, "", allowed=TOP_KEYS, problems=problems), {})
    problems.raise_first()
    return objective


def read_objective(top: Fields, intervals_s: Mapping[str, float]) -> Objective:
    """The document as an objective, which is only worth something when `top.problems` stays empty.

    `intervals_s`: seconds between two runs of the scenarios whose interval is known; slices shorter than that are refused.
    """
    top.literal("apiVersion", OPENSLO)
    top.literal("kind", "SLO")
    heading = read_heading(top, extra=_ANNOTATIONS)
    spec = top.fields("spec", allowed=_SPEC_KEYS)
    is_sliced = spec.choice("budgetingMethod", _Budgeting) is _Budgeting.TIMESLICES
    remedy = "p95 and p99 are two: put each into a document with a name of its own"
    goal = spec.only_item("objectives", allowed=_GOAL_KEYS, remedy=remedy)
    indicator = _read_indicator(spec, goal, intervals_s, is_sliced=is_sliced)
    limit_ns = None if indicator.time is None else _read_limit_ns(goal, indicator.unit)
    _check_slices(goal, is_sliced=is_sliced)
    return _objective(heading, spec, goal, indicator, limit_ns)


def _objective(heading: Heading, spec: Fields, goal: Fields, indicator: _Indicator, limit_ns: int | None) -> Objective:
    notes = heading.notes
    return Objective(
        name=heading.name,
        title=heading.title,
        line=heading.line,
        version=heading.version,
        window=read_window(spec),
        selector=indicator.selector,
        good=indicator.good,
        allowed_bad=1 - goal.share("target"),
        strict=indicator.strict,
        time=indicator.time,
        limit_ns=limit_ns,
        slices=indicator.slices,
        tier=heading.tier,
        effective_from=heading.effective_from,
        regions=indicator.regions,
        min_coverage=notes.share_text("fleet/minCoverage") if notes.has("fleet/minCoverage") else DEFAULT_COVERAGE,
        is_correlated=notes.flag("fleet/correlated"),
        service=spec.text("service"),
        alerts=notes.name("fleet/alerts") if notes.has("fleet/alerts") else "",
    )


def _read_indicator(spec: Fields, goal: Fields, intervals_s: Mapping[str, float], *, is_sliced: bool) -> _Indicator:
    metric = spec.fields("indicator", allowed=("metadata", "spec")).fields(
        "spec", allowed=("thresholdMetric", "ratioMetric")
    )
    if metric.has("thresholdMetric") and metric.has("ratioMetric"):
        metric.refuse("ratioMetric", "stands beside a thresholdMetric; an objective has one of them", "Remove one")
    if not metric.has("thresholdMetric"):
        return _read_ratio(metric, goal, intervals_s, is_sliced=is_sliced)
    if is_sliced:
        reason = "has a limit, and a time slice is decided by what passed"
        metric.refuse("thresholdMetric", reason, "Write a ratioMetric, or budgetingMethod Occurrences")
    return _read_threshold(metric)


def _read_threshold(metric: Fields) -> _Indicator:
    """A line with a limit: good means below it."""
    source = _metric_source(
        metric.fields("thresholdMetric", allowed=("metricSource",)), allowed=(*_SELECTOR_KEYS, "time", "unit")
    )
    time = source.choice("time", EventTime)
    unit = source.text("unit")
    if unit and unit not in _UNIT_NS:
        source.refuse("unit", f"unit {unit!r} is not one of {', '.join(_UNIT_NS)}", "Write ms or s")
    selector, regions = _read_selector(source)
    if selector.event is not KIND_OF_TIME[time]:
        reason = f"time {time.value!r} belongs to event {KIND_OF_TIME[time].value!r}, not to {selector.event.value!r}"
        fitting = ", ".join(word.value for word, kind in KIND_OF_TIME.items() if kind is selector.event)
        remedy = f"Write event: {KIND_OF_TIME[time].value}" + (f", or one of the times {fitting}" if fitting else "")
        source.refuse("time", reason, remedy)
    if time is EventTime.SPAN and not selector.after:
        source.refuse("after", "a span needs the step that it starts after", "Name that step")
    return _Indicator(selector, Good.PASSED, regions, time=time, unit=unit)


def _read_limit_ns(goal: Fields, unit: str) -> int:
    """The limit in nanoseconds; below it is good."""
    if goal.raw("op") == "lte":
        goal.refuse("op", "must be 'lt', not 'lte': a time equal to the limit is bad", "Write 'lt'")
    else:
        goal.literal("op", "lt")
    limit_ns = goal.positive("value") * _UNIT_NS.get(unit, 1_000_000_000)
    if limit_ns.denominator != 1:
        goal.refuse("value", "a limit must be a whole number of nanoseconds", "Write fewer digits")
    return max(1, int(limit_ns))


def _read_ratio(metric: Fields, goal: Fields, intervals_s: Mapping[str, float], *, is_sliced: bool) -> _Indicator:
    """A line without a limit: good is said by `good.metricSource.spec.good`, the events by `total`."""
    goal.absent("op", "value", why="a ratioMetric compares nothing")
    ratio = metric.fields("ratioMetric", allowed=("counter", "good", "total"))
    good_source = _metric_source(ratio.fields("good", allowed=("metricSource",)), allowed=("good",))
    total = _metric_source(
        ratio.fields("total", allowed=("metricSource",)), allowed=(*_SELECTOR_KEYS, "strict", *_SLICE_KEYS)
    )
    good = good_source.choice("good", Good)
    selector, regions = _read_selector(total)
    if good not in (fitting := GOODS_OF_KIND[selector.event]):
        words = " or ".join(repr(word.value) for word in fitting)
        good_source.refuse("good", f"for event {selector.event.value!r} good must be {words}", f"Write {words}")
    return _Indicator(
        selector,
        good,
        regions,
        strict=total.flag("strict"),
        slices=_read_slices(total, selector, intervals_s, is_sliced=is_sliced),
    )


def _read_slices(
    total: Fields, selector: EventSelector, intervals_s: Mapping[str, float], *, is_sliced: bool
) -> SliceRule | None:
    if not is_sliced:
        total.absent(*_SLICE_KEYS, why="these decide minutes, under budgetingMethod Timeslices")
        return None
    total.absent("strict", why="a budget of minutes may be spent to the last one")
    if selector.event is not EventKind.RUN:
        reason = f"must be 'run' for time slices, not {selector.event.value!r}"
        total.refuse("event", reason, "Write 'run': a minute is what its runs say")
    _check_interval(total, selector, intervals_s)
    default = SliceRule()
    gap_minutes = total.duration_minutes("max_gap") if total.has("max_gap") else None
    return SliceRule(
        quorum=total.choice("quorum", Quorum) if total.has("quorum") else default.quorum,
        silence=total.choice("silence", Silence) if total.has("silence") else default.silence,
        min_conclusive=total.count("min_conclusive") if total.has("min_conclusive") else default.min_conclusive,
        max_gap_minutes=gap_minutes,
    )


def _check_interval(total: Fields, selector: EventSelector, intervals_s: Mapping[str, float]) -> None:
    """A check every 5 minutes leaves 80 % of one-minute slices empty, and what is empty is not up."""
    known = {name: every_s for name, every_s in intervals_s.items() if _matches(name, selector.scenarios)}
    if not known or min(known.values()) <= _SLICE_S:
        return
    name, every_s = min(known.items(), key=lambda pair: pair[1])
    often = "never runs by itself" if every_s == float("inf") else f"runs every {every_s:g} s"
    reason = f"{name!r} {often}, and a slice is {_SLICE_S} s: most slices would be empty"
    total.refuse("scenarios", reason, "Let the scenario run every minute, or count events with Occurrences")


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in globs)


def _check_slices(goal: Fields, *, is_sliced: bool) -> None:
    """A slice is one minute, good unless most of its events are bad; nothing else is counted."""
    if not is_sliced:
        goal.absent("timeSliceTarget", "timeSliceWindow", why="it goes with budgetingMethod Timeslices")
        return
    if goal.positive("timeSliceTarget") != _SLICE_TARGET:
        reason = "must be 0.5: a minute is bad when most of its events are"
        goal.refuse("timeSliceTarget", reason, "Write 0.5")
    window = goal.text("timeSliceWindow")
    if window == "1m" or not window:
        return
    if window.endswith("M"):
        goal.refuse("timeSliceWindow", f"{window!r} means months; a minute is written '1m'", "Write '1m'")
    else:
        is_duration = re.fullmatch(r"[0-9]+[smhdw]", window) is not None
        reason = f"{window!r} is not {'the slice that is counted' if is_duration else 'a duration'}"
        goal.refuse("timeSliceWindow", reason, "Write '1m': slices are minutes")


def _metric_source(metric: Fields, *, allowed: tuple[str, ...]) -> Fields:
    source = metric.fields("metricSource", allowed=("type", "spec"))
    source.literal("type", "fleet")
    return source.fields("spec", allowed=allowed)


def _read_selector(source: Fields) -> tuple[EventSelector, tuple[str, ...]]:
    """Which events, and in which regions."""
    part_bytes_below = None
    if source.has("valid"):
        part_bytes_below = source.fields("valid", allowed=("part_bytes_below",)).count("part_bytes_below")
    selector = EventSelector(
        event=source.choice("event", EventKind),
        scenarios=source.texts("scenarios"),
        steps=source.texts("steps"),
        after=source.text("after") if source.has("after") else "",
        part_bytes_below=part_bytes_below,
    )
    return selector, source.texts("regions") if source.has("regions") else ()
