"""One line of the service-level document as data, read from an OpenSLO v1 mapping.

An objective says which events count (`EventSelector`), what makes one good, and how many may be bad. Our own keys live in
`metricSource.spec` (`type: fleet`). Refuses: files (the caller parses YAML), unknown keys of ours, units it does not know, and
what OpenSLO writes but this engine does not score. Called by `console.objectives`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from slo.fields import Fields, ObjectiveError

__all__ = ["EventKind", "EventSelector", "EventTime", "Good", "Objective", "ObjectiveError", "parse_objective"]

_API_VERSION = "openslo/v1"
_UNIT_NS = {"ms": 1_000_000, "s": 1_000_000_000}


class EventKind(StrEnum):
    """What one event is: a step, all steps of one part, all selected steps of a run, one request, one browser session."""

    STEP = "step"
    PART = "part"
    RUN = "run"
    REQUEST = "request"
    SESSION = "session"


class EventTime(StrEnum):
    """Which time of an event is compared with the limit.

    `step` is the time between the step's borders; `response` the slowest answer inside it, without the time that was ours;
    `ready` the page's own ready mark; `span` runs from the end of step `after` to the end of the last selected step.
    """

    STEP = "step"
    RESPONSE = "response"
    READY = "ready"
    SPAN = "span"


class Good(StrEnum):
    """What makes an event good: its steps passed; the server answered and not with a 5xx; no page threw an error."""

    PASSED = "passed"
    ANSWERED = "answered"
    NO_UNCAUGHT_ERROR = "no_uncaught_error"


_GOOD_OF_KIND = {
    EventKind.STEP: Good.PASSED,
    EventKind.PART: Good.PASSED,
    EventKind.RUN: Good.PASSED,
    EventKind.REQUEST: Good.ANSWERED,
    EventKind.SESSION: Good.NO_UNCAUGHT_ERROR,
}
_KIND_OF_TIME = {
    EventTime.STEP: EventKind.STEP,
    EventTime.RESPONSE: EventKind.STEP,
    EventTime.READY: EventKind.STEP,
    EventTime.SPAN: EventKind.RUN,
}


@dataclass(frozen=True, slots=True)
class EventSelector:
    """Which events of a run are valid for a line.

    `scenarios` are globs. `steps` are names; in an event of several steps the last name is the one that completes it.
    `after` names the step that must have passed first; `part_bytes_below` keeps only steps of smaller parts.
    """

    event: EventKind
    scenarios: tuple[str, ...]
    steps: tuple[str, ...]
    after: str = ""
    part_bytes_below: int | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """One line: at most `allowed_bad` of the selected events may be bad (fewer than that when `strict`).

    With a limit an event is also bad when its time is not strictly below `limit_ns`.
    """

    name: str
    title: str
    line: str
    version: int
    window: str
    selector: EventSelector
    good: Good
    allowed_bad: Fraction
    strict: bool = False
    time: EventTime | None = None
    limit_ns: int | None = None

    @property
    def target_share(self) -> Fraction:
        """The share of events that must be good."""
        return 1 - self.allowed_bad

    @property
    def percentile(self) -> str:
        """The line's percentile as people say it, `p95` for 19/20."""
        return f"p{float(self.target_share * 100):g}"


def parse_objective(document: Mapping[str, object]) -> Objective:
    """An OpenSLO v1 `SLO` mapping as an objective; ObjectiveError names the key that is wrong and what is allowed there."""
    top = Fields(document, "", allowed=("apiVersion", "kind", "metadata", "spec"))
    top.literal("apiVersion", _API_VERSION)
    top.literal("kind", "SLO")
    metadata = top.fields("metadata", allowed=("name", "displayName", "annotations", "labels"))
    notes = metadata.fields("annotations", allowed=("fleet/line", "fleet/version"))
    spec = top.fields(
        "spec", allowed=("description", "service", "indicator", "timeWindow", "budgetingMethod", "objectives")
    )
    spec.text("service")
    spec.literal("budgetingMethod", "Occurrences")
    goal = spec.only_item("objectives", allowed=("displayName", "op", "value", "target"))
    indicator = spec.fields("indicator", allowed=("metadata", "spec"))
    metric = indicator.fields("spec", allowed=("thresholdMetric", "ratioMetric"))
    target = goal.share("target")
    common = {
        "name": metadata.text("name"),
        "title": metadata.text("displayName"),
        "line": notes.text("fleet/line"),
        "version": notes.count("fleet/version"),
        "window": _parse_window(spec),
        "allowed_bad": 1 - target,
    }
    if metric.has("thresholdMetric"):
        return _parse_threshold(common, metric, goal)
    return _parse_ratio(common, metric, goal)


def _parse_threshold(common: Mapping[str, object], metric: Fields, goal: Fields) -> Objective:
    """A line with a limit: good means below it."""
    goal.literal("op", "lt")
    source = _metric_source(metric.fields("thresholdMetric", allowed=("metricSource",)), extra=("time", "unit"))
    time = source.choice("time", EventTime)
    unit = source.text("unit")
    if unit not in _UNIT_NS:
        raise ObjectiveError(source.path("unit"), f"unit {unit!r} is not one of {', '.join(_UNIT_NS)}")
    selector = _parse_selector(source)
    if selector.event is not _KIND_OF_TIME[time]:
        message = f"time {time.value!r} belongs to event {_KIND_OF_TIME[time].value!r}, not to {selector.event.value!r}"
        raise ObjectiveError(source.path("time"), message)
    if time is EventTime.SPAN and not selector.after:
        raise ObjectiveError(source.path("after"), "a span needs the step that it starts after")
    limit_ns = goal.positive("value") * _UNIT_NS[unit]
    if limit_ns.denominator != 1:
        raise ObjectiveError(goal.path("value"), "a limit must be a whole number of nanoseconds")
    return _objective(common, selector=selector, good=Good.PASSED, time=time, limit_ns=int(limit_ns))


def _parse_ratio(common: Mapping[str, object], metric: Fields, goal: Fields) -> Objective:
    """A line without a limit: good is said by `good.metricSource.spec.good`, the events by `total`."""
    goal.absent("op", "value")
    ratio = metric.fields("ratioMetric", allowed=("counter", "good", "total"))
    good_source = _metric_source(ratio.fields("good", allowed=("metricSource",)), only=("good",))
    total = _metric_source(ratio.fields("total", allowed=("metricSource",)), extra=("strict",))
    good = good_source.choice("good", Good)
    selector = _parse_selector(total)
    if good is not _GOOD_OF_KIND[selector.event]:
        message = f"for event {selector.event.value!r} good must be {_GOOD_OF_KIND[selector.event].value!r}"
        raise ObjectiveError(good_source.path("good"), message)
    return _objective(common, selector=selector, good=good, strict=total.flag("strict"))


def _objective(common: Mapping[str, object], **own: object) -> Objective:
    return Objective(**{**common, **own})  # type: ignore[arg-type]  # every value comes out of a typed reader above


def _metric_source(metric: Fields, *, extra: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> Fields:
    source = metric.fields("metricSource", allowed=("type", "spec"))
    source.literal("type", "fleet")
    return source.fields("spec", allowed=only or ("event", "scenarios", "steps", "after", "valid", *extra))


def _parse_selector(source: Fields) -> EventSelector:
    event = source.choice("event", EventKind)
    part_bytes_below = None
    if source.has("valid"):
        part_bytes_below = source.fields("valid", allowed=("part_bytes_below",)).count("part_bytes_below")
    return EventSelector(
        event=event,
        scenarios=source.texts("scenarios"),
        steps=source.texts("steps"),
        after=source.text("after") if source.has("after") else "",
        part_bytes_below=part_bytes_below,
    )


def _parse_window(spec: Fields) -> str:
    """The window in words; OpenSLO's `1m` is one minute and `1M` one month, so a minute is refused as the slip it is."""
    window = spec.only_item("timeWindow", allowed=("duration", "calendar", "isRolling"))
    duration = window.text("duration")
    if duration.endswith("m"):
        message = f"{duration!r} means minutes, which is no window to score; a month is written '1M'"
        raise ObjectiveError(window.path("duration"), message)
    if window.flag("isRolling"):
        window.absent("calendar")
        return f"rolling {duration}"
    calendar = window.fields("calendar", allowed=("startTime", "timeZone"))
    calendar.text("startTime")
    return f"calendar {duration} {calendar.text('timeZone')}"
