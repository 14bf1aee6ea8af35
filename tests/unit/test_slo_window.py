"""Windows as spans of minutes: months of zones, rolling days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.window import CalendarMonths, RollingDays, instant_of_minute, minute_of, month_span, rolling_span, span_at


@pytest.mark.parametrize(
    ("month", "zone", "minutes"),
    [
        ("2026-02", "UTC", 28 * 1440),
        ("2028-02", "UTC", 29 * 1440),
        ("2026-09", "UTC", 43_200),
        ("2026-10", "UTC", 44_640),
        ("2026-03", "America/New_York", 44_580),
        ("2026-11", "America/New_York", 43_260),
        ("2026-03", "Europe/Berlin", 44_580),
        ("2026-10", "Europe/Berlin", 44_700),
    ],
)
def test_a_month_has_the_minutes_that_its_zone_gives_it(month: str, zone: str, minutes: int) -> None:
    """28 to 31 days, and an hour less or more where clocks change."""
    assert month_span(month, zone).minutes == minutes


@given(st.integers(1971, 2199), st.integers(1, 12), st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"]))
def test_a_month_ends_where_the_next_one_begins(year: int, number: int, zone: str) -> None:
    """No minute is in two months, and none in no month."""
    following = f"{year + number // 12}-{number % 12 + 1:02d}"
    assert month_span(f"{year}-{number:02d}", zone).until_minute == month_span(following, zone).from_minute


def test_an_instant_is_in_the_month_of_its_zone() -> None:
    """New Year's Eve in New York is already January in UTC."""
    instant = datetime(2027, 1, 1, 3, tzinfo=UTC)
    assert span_at(CalendarMonths("America/New_York"), instant).name == "2026-12"
    assert span_at(CalendarMonths("UTC"), instant).name == "2027-01"


def test_rolling_days_are_whole_minutes_before_now_and_know_no_daylight_saving() -> None:
    """The running minute is not in it."""
    now = datetime(2026, 3, 29, 12, 0, 59, tzinfo=UTC)
    span = span_at(RollingDays(30), now)
    assert (span.minutes, span.until_at) == (43_200, datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert span == rolling_span(30, now + timedelta(seconds=0.9))


@given(st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - the zone is the argument beside them
def test_a_minute_holds_the_instants_that_lead_to_it(instant: datetime) -> None:
    """There and back is the beginning of the minute."""
    begin = instant_of_minute(minute_of(instant))
    assert begin == instant.replace(second=0, microsecond=0)


@pytest.mark.parametrize(
    ("month", "zone", "word"),
    [
        ("2026-13", "UTC", "month"),
        ("October", "UTC", "month"),
        ("2026-10", "Mars/Olympus", "zone"),
        ("2026-10", "Europe", "zone"),
        ("0000-01", "UTC", "year"),
    ],
)
def test_what_is_no_month_is_refused_with_what_to_write(month: str, zone: str, word: str) -> None:
    """The message names the word that is wrong."""
    with pytest.raises(ValueError, match=word):
        month_span(month, zone)
