"""Maintenance: which announced works take minutes out of a service level, and which count like any other minutes.

An occurrence leaves numerator and denominator only if it was announced at least 24 hours before it starts, and if the approved
works of its month, this one included, stay within four hours; an occurrence belongs to the month in which it starts, of the
zone of the line's window. Whoever announces late or works longer has an outage. Works in some regions take only the votes of
these regions out.

Refuses: recurrence faster than daily, instants without a zone, and taking a line out because a part of its scenarios is being
worked on. Called by whoever scores a window, and by the commands that list maintenance. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from slo.bitmaps import between, ones
from slo.objective import Objective
from slo.window import CalendarMonths, Span, first_minute_from, instant_of_minute, month_span

__all__ = [
    "MONTHLY_CAP_MINUTES",
    "NOTICE",
    "NO_EXCLUSIONS",
    "Approval",
    "Exclusions",
    "MaintenanceWindow",
    "Occurrence",
    "exclusions_of",
    "occurrences_of",
]

# Source: the rules that the fleet's owners set for their service-level document.
NOTICE: Final = timedelta(hours=24)
MONTHLY_CAP_MINUTES: Final = 240
_ANY: Final = ("*",)
_RARE_ENOUGH: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_WILD: Final = frozenset("*?[")
_ENDLESS: Final = re.compile(r"INTERVAL=0+(;|$)")
"""Whoever lists the occurrences of a rule with the interval 0 does so for ever."""


class Approval(StrEnum):
    """Whether an occurrence is left out, or why it counts."""

    APPROVED = "approved"
    LATE = "announced less than 24 h ahead"
    OVER_CAP = "over the 4 h of its month"


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """Works that somebody announced. `rrule` is an RFC 5545 rule without DTSTART; empty: they happen once.

    The scope is by globs on the names of scenarios, objectives and regions. Times of a recurring window follow the wall clock
    of the zone of `starts_at`. Raises ValueError where a field cannot be meant.
    """

    name: str
    starts_at: datetime
    duration_minutes: int
    announced_at: datetime
    reason: str = ""
    rrule: str = ""
    scenarios: tuple[str, ...] = _ANY
    objectives: tuple[str, ...] = _ANY
    regions: tuple[str, ...] = _ANY

    def __post_init__(self) -> None:
        for name, instant in (("starts_at", self.starts_at), ("announced_at", self.announced_at)):
            if instant.utcoffset() is None:
                message = f"maintenance {self.name!r}: {name} needs a zone, such as 2026-10-03T02:00:00Z"
                raise ValueError(message)
        if self.duration_minutes < 1:
            message = f"maintenance {self.name!r}: a duration of {self.duration_minutes} minutes is none"
            raise ValueError(message)
        if self.rrule:
            _parse_rule(self)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time that a window happens: its whole minutes [from_minute, until_minute)."""

    window: MaintenanceWindow
    from_minute: int
    until_minute: int
    approval: Approval

    @property
    def text(self) -> str:
        """As a report says it."""
        minutes = self.until_minute - self.from_minute
        begin = instant_of_minute(self.from_minute).strftime("%Y-%m-%d %H:%M")
        verb = "left out" if self.approval is Approval.APPROVED else f"counts, {self.approval.value}"
        return f"maintenance {self.window.name} of {begin} UTC, {minutes} min: {verb}"


@dataclass(frozen=True, slots=True)
class Exclusions:
    """By region the minutes of a span that are left out (bit i is its i-th), and all occurrences that lie in it."""

    by_region: Mapping[str, int] = field(default_factory=dict)
    occurrences: tuple[Occurrence, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when no minute is left out anywhere."""
        return not any(self.by_region.values())


NO_EXCLUSIONS: Final = Exclusions()


def exclusions_of(
    windows: Sequence[MaintenanceWindow], objective: Objective, span: Span, regions: Sequence[str]
) -> Exclusions:
    """What maintenance takes out of `span` for one line, decided afresh from whole months so that no cut of it matters."""
    inside = occurrences_of(windows, objective, span, regions)
    by_region: dict[str, int] = {}
    for occurrence in inside:
        if occurrence.approval is not Approval.APPROVED:
            continue
        bits = between(max(occurrence.from_minute - span.from_minute, 0), occurrence.until_minute - span.from_minute)
        for region in _of_scope(regions, occurrence.window.regions):
            by_region[region] = by_region.get(region, 0) | bits & ones(span.minutes)
    return Exclusions(by_region, inside)


def occurrences_of(
    windows: Sequence[MaintenanceWindow], objective: Objective, span: Span, regions: Sequence[str]
) -> tuple[Occurrence, ...]:
    """Every occurrence that bears on the line and has minutes in `span`, in order of time.

    Within a month the earlier ones are approved first; minutes that two of them share are taken from the cap once.
    """
    bearing = [window for window in windows if _bears_on(window, objective) and _of_scope(regions, window.regions)]
    zone = objective.window.zone if isinstance(objective.window, CalendarMonths) else "UTC"
    longest = max((window.duration_minutes for window in bearing), default=0)
    months = _months(span.from_minute - longest, span.until_minute, zone)
    return tuple(
        occurrence
        for month in months
        for occurrence in _decide_month(bearing, month)
        if occurrence.from_minute < span.until_minute and span.from_minute < occurrence.until_minute
    )


def _decide_month(windows: Sequence[MaintenanceWindow], month: Span) -> Iterator[Occurrence]:
    starts = sorted(
        ((start, window) for window in windows for start in _starts(window, month)),
        key=lambda pair: (pair[0], pair[1].announced_at, pair[1].name),
    )
    approved = 0
    for start, window in starts:
        from_minute = first_minute_from(start)
        until_minute = first_minute_from(start + timedelta(minutes=window.duration_minutes))
        bits = between(from_minute - month.from_minute, until_minute - month.from_minute)
        approval = Approval.APPROVED
        if start - window.announced_at < NOTICE:
            approval = Approval.LATE
        elif (approved | bits).bit_count() > MONTHLY_CAP_MINUTES:
            approval = Approval.OVER_CAP
        else:
            approved |= bits
        yield Occurrence(window, from_minute, until_minute, approval)


def _starts(window: MaintenanceWindow, month: Span) -> Iterator[datetime]:
    """When the window starts within the month, in UTC."""
    utc = month.from_at.tzinfo
    rule = _parse_rule(window) if window.rrule else None
    for start in rule.between(month.from_at, month.until_at, inc=True) if rule else [window.starts_at]:
        instant = start.astimezone(utc)
        if month.from_at <= instant < month.until_at:
            yield instant


def _parse_rule(window: MaintenanceWindow) -> rrule:
    """The rule as dateutil knows it; ValueError says which window and what is wrong."""
    text = window.rrule.upper()
    if _ENDLESS.search(text):
        message = f"maintenance {window.name!r}: {window.rrule!r} recurs without a pause"
        raise ValueError(message)
    rare = any(f"FREQ={word}" in text for word in _RARE_ENOUGH) and "DTSTART" not in text
    try:
        rule = rrulestr(window.rrule, dtstart=window.starts_at) if rare else None
    except (ValueError, TypeError) as error:
        message = f"maintenance {window.name!r}: {window.rrule!r} is not a recurrence rule: {error}"
        raise ValueError(message) from error
    if not isinstance(rule, rrule):
        message = (
            f"maintenance {window.name!r}: {window.rrule!r} must be one rule without DTSTART, and with FREQ="
            f"{', '.join(_RARE_ENOUGH[:-1])} or {_RARE_ENOUGH[-1]}"
        )
        raise ValueError(message)  # noqa: TRY004 - a text that is wrong, no wrong type in a call
    return rule


def _months(from_minute: int, until_minute: int, zone: str) -> Iterator[Span]:
    """The calendar months of a zone that the minutes touch."""
    local = ZoneInfo(zone)
    minute = from_minute
    while minute < until_minute:
        month = month_span(instant_of_minute(minute).astimezone(local).strftime("%Y-%m"), zone)
        yield month
        minute = month.until_minute


def _of_scope(names: Sequence[str], globs: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, glob) for glob in globs)]


def _bears_on(window: MaintenanceWindow, objective: Objective) -> bool:
    """True when the works concern the line and everything that it measures."""
    named = bool(_of_scope([objective.name], window.objectives))
    return named and all(_is_covered(scenario, window.scenarios) for scenario in objective.selector.scenarios)


def _is_covered(pattern: str, globs: Sequence[str]) -> bool:
    """True when all scenarios that `pattern` can match are in the scope."""
    if not _WILD & set(pattern):
        return any(fnmatchcase(pattern, glob) for glob in globs)
    return any(
        glob == pattern or (glob.endswith("*") and not _WILD & set(glob[:-1]) and pattern.startswith(glob[:-1]))
        for glob in globs
    )
