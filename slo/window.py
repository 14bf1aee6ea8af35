"""Windows that a service level is promised for: calendar months of a zone, and rolling days, as half-open spans of minutes.

Minutes are counted in UTC since the Unix epoch, so that a month of a zone with daylight saving has as many minutes as it really
has (Source: the IANA time zone database, through `zoneinfo`). Refuses windows shorter than an hour, where `1m` was meant to be a
month. Pure; called by `slo.objective` and whoever scores a window.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = [
    "MINUTES_PER_DAY",
    "CalendarMonths",
    "RollingDays",
    "Span",
    "Window",
    "first_minute_from",
    "instant_of_minute",
    "minute_of",
    "month_span",
    "rolling_span",
    "span_at",
]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
MINUTES_PER_DAY: Final = 1440
_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Span:
    """The minutes [from_minute, until_minute) since the epoch in UTC, under a name such as `2026-10` or `30d`."""

    name: str
    from_minute: int
    until_minute: int

    @property
    def minutes(self) -> int:
        """How many minutes it has: 43200 for 30 days, but 44580 for March 2026 in New York."""
        return self.until_minute - self.from_minute

    @property
    def from_at(self) -> datetime:
        """Its first instant."""
        return instant_of_minute(self.from_minute)

    @property
    def until_at(self) -> datetime:
        """The first instant after it."""
        return instant_of_minute(self.until_minute)


@dataclass(frozen=True, slots=True)
class CalendarMonths:
    """Each calendar month of an IANA zone is a window of its own."""

    zone: str = "UTC"

    @property
    def text(self) -> str:
        """As reports name it."""
        return f"calendar 1M {self.zone}"


@dataclass(frozen=True, slots=True)
class RollingDays:
    """The last so many times 1440 whole minutes; no zone and no daylight saving."""

    days: int

    @property
    def text(self) -> str:
        """As reports name it."""
        return f"rolling {self.days}d"


Window = CalendarMonths | RollingDays


def minute_of(instant: datetime) -> int:
    """The minute that an aware instant lies in, counted from the epoch in UTC."""
    return (instant - EPOCH) // MINUTE


def first_minute_from(instant: datetime) -> int:
    """The first minute that starts at an aware instant or after it."""
    return -((EPOCH - instant) // MINUTE)


def instant_of_minute(minute: int) -> datetime:
    """The first instant of a minute."""
    return EPOCH + minute * MINUTE


def month_span(month: str, zone: str = "UTC") -> Span:
    """The month `YYYY-MM` of a zone, from local midnight of its first day to local midnight of the next month's.

    Raises ValueError for another form of month and for a zone that nobody knows.
    """
    found = _MONTH.fullmatch(month)
    if found is None:
        message = f"{month!r} is not a month; write it as 2026-10"
        raise ValueError(message)
    try:
        local = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: "Europe" is a folder of the database
        message = f"{zone!r} is not a zone of the IANA database, such as UTC or Europe/Berlin"
        raise ValueError(message) from error
    year, number = int(found[1]), int(found[2])
    if year < 1:
        message = f"there is no year {year}"
        raise ValueError(message)
    first = datetime(year, number, 1, tzinfo=local)
    after = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=local)
    return Span(month, minute_of(first), minute_of(after))


def rolling_span(days: int, now: datetime) -> Span:
    """The last `days` times 1440 whole minutes before `now`; the minute that is running is not in it."""
    until_minute = minute_of(now)
    return Span(f"{days}d", until_minute - days * MINUTES_PER_DAY, until_minute)


def span_at(window: Window, now: datetime) -> Span:
    """The span of the window that is open at `now`: the running month of its zone, or the days up to now."""
    match window:
        case CalendarMonths(zone):
            return month_span(now.astimezone(ZoneInfo(zone)).strftime("%Y-%m"), zone)
        case RollingDays(days):
            return rolling_span(days, now)
