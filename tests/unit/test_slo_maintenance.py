"""Maintenance that is left out, and maintenance that counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from slo.maintenance import Approval, MaintenanceWindow, exclusions_of, occurrences_of
from slo.objective import EventKind, EventSelector, Objective
from slo.window import CalendarMonths, Span, first_minute_from, minute_of, month_span
from tests.slo_kit import SEPTEMBER, UPTIME, line

REGIONS = ("eu", "us")
EARLY = datetime(2026, 1, 1, tzinfo=UTC)


def works(starts_at: datetime, duration_minutes: int = 30, **more: Any) -> MaintenanceWindow:  # noqa: ANN401 - fields
    """Works announced long ago, unless said otherwise."""
    return MaintenanceWindow(
        **{"name": "works", "announced_at": EARLY, **more}, starts_at=starts_at, duration_minutes=duration_minutes
    )


def approvals(*windows: MaintenanceWindow, objective: Objective = UPTIME, span: Span = SEPTEMBER) -> list[Approval]:
    """What became of each occurrence in the span's months."""
    return [occurrence.approval for occurrence in occurrences_of(windows, objective, span, REGIONS)]


def left_out(*windows: MaintenanceWindow, objective: Objective = UPTIME, span: Span = SEPTEMBER) -> int:
    """How many minutes of the span are left out in all regions."""
    bits = exclusions_of(windows, objective, span, REGIONS).by_region
    return (bits.get("eu", 0) & bits.get("us", 0)).bit_count()


@pytest.mark.parametrize(
    ("notice", "approval"),
    [
        (timedelta(hours=24), Approval.APPROVED),
        (timedelta(hours=24) - timedelta(seconds=1), Approval.LATE),
        (timedelta(0), Approval.LATE),
        (-timedelta(hours=1), Approval.LATE),
    ],
)
def test_works_are_left_out_when_they_were_announced_a_day_ahead(notice: timedelta, approval: Approval) -> None:
    """To the second; announced afterwards is no announcement."""
    starts_at = datetime(2026, 9, 10, 2, tzinfo=UTC)
    window = works(starts_at, announced_at=starts_at - notice)
    assert approvals(window) == [approval]
    assert left_out(window) == (30 if approval is Approval.APPROVED else 0)


def test_four_hours_a_month_can_be_left_out_and_what_goes_over_counts() -> None:
    """Exactly four hours fit; works that do not fit count as a whole, and shorter ones after them may still fit."""
    days = [datetime(2026, 9, day, 2, tzinfo=UTC) for day in (1, 2, 3, 4)]
    assert approvals(works(days[0], 240)) == [Approval.APPROVED]
    assert approvals(works(days[0], 241)) == [Approval.OVER_CAP]
    windows = [works(days[0], 180), works(days[1], 61), works(days[2], 60), works(days[3], 1)]
    assert approvals(*windows) == [Approval.APPROVED, Approval.OVER_CAP, Approval.APPROVED, Approval.OVER_CAP]
    assert left_out(*windows) == 240


def test_minutes_that_two_works_share_are_taken_from_the_cap_once() -> None:
    """They are one quiet time for the customer."""
    starts_at = datetime(2026, 9, 1, 2, tzinfo=UTC)
    windows = [works(starts_at, 200), works(starts_at + timedelta(minutes=100), 140, name="more")]
    assert left_out(*windows) == 240


def test_late_works_take_nothing_from_the_cap() -> None:
    """They count as downtime already."""
    starts_at = datetime(2026, 9, 1, 2, tzinfo=UTC)
    late = works(starts_at, 200, announced_at=starts_at)
    assert approvals(late, works(starts_at + timedelta(days=1), 240)) == [Approval.LATE, Approval.APPROVED]


def test_each_month_has_a_cap_of_its_own_and_works_belong_to_where_they_start() -> None:
    """Works over midnight of the first are one occurrence, whichever of the two months is looked at."""
    over = works(datetime(2026, 8, 31, 23, tzinfo=UTC), 120)
    full = works(datetime(2026, 9, 15, 2, tzinfo=UTC), 240)
    assert left_out(over, full) == 60 + 240
    assert left_out(over, full, span=month_span("2026-08")) == 60
    used = works(datetime(2026, 8, 2, tzinfo=UTC), 150)
    assert left_out(over, used) == 0


def test_a_part_of_a_month_leaves_out_what_the_whole_month_does() -> None:
    """A window cut in two by a new version has no second cap."""
    windows = [works(datetime(2026, 9, day, 2, tzinfo=UTC), 100) for day in (3, 10, 20)]
    middle = SEPTEMBER.from_minute + 12 * 1440
    first = Span("2026-09", SEPTEMBER.from_minute, middle)
    second = Span("2026-09", middle, SEPTEMBER.until_minute)
    assert (left_out(*windows, span=first), left_out(*windows, span=second)) == (200, 0)


def test_recurring_works_follow_the_wall_clock_of_their_zone() -> None:
    """Sundays at 04:30 in Berlin are 02:30 UTC in summer and 03:30 in winter; the change of October lies between."""
    berlin = ZoneInfo("Europe/Berlin")
    window = works(datetime(2026, 1, 4, 4, 30, tzinfo=berlin), rrule="FREQ=WEEKLY;BYDAY=SU")
    span = month_span("2026-10", "Europe/Berlin")
    found = occurrences_of([window], line(window=CalendarMonths("Europe/Berlin")), span, REGIONS)
    starts = [occurrence.from_minute for occurrence in found]
    expected = [(4, 2), (11, 2), (18, 2), (25, 3)]
    assert starts == [minute_of(datetime(2026, 10, day, hour, 30, tzinfo=UTC)) for day, hour in expected]
    assert left_out(window, objective=line(window=CalendarMonths("Europe/Berlin")), span=span) == 120


def test_the_zone_of_the_lines_window_says_which_month_works_belong_to() -> None:
    """In Berlin half past midnight of 1 October has come when it is 22:30 in UTC."""
    window = works(datetime(2026, 9, 30, 22, 30, tzinfo=UTC), 240)
    berlin = line(window=CalendarMonths("Europe/Berlin"))
    assert left_out(window, span=SEPTEMBER) == 90
    assert left_out(window, objective=berlin, span=month_span("2026-09", "Europe/Berlin")) == 0


def test_only_whole_minutes_that_start_within_the_works_are_left_out() -> None:
    """Half a minute at both ends: the first counts, the last is the one that started in time."""
    starts_at = datetime(2026, 9, 10, 2, 0, 30, tzinfo=UTC)
    (found,) = occurrences_of([works(starts_at, 2)], UPTIME, SEPTEMBER, REGIONS)
    assert (found.from_minute, found.until_minute) == (minute_of(starts_at) + 1, minute_of(starts_at) + 3)
    assert first_minute_from(datetime(2026, 9, 10, 2, tzinfo=UTC)) == minute_of(starts_at)


@pytest.mark.parametrize(
    ("scenarios", "objectives", "asked", "bears"),
    [
        (("*",), ("*",), ("api-health",), True),
        (("api-*",), ("*",), ("api-health",), True),
        (("widget-*",), ("*",), ("api-health",), False),
        (("*",), ("widget-*",), ("api-health",), False),
        (("*",), ("api-uptime",), ("api-health",), True),
        (("api-health",), ("*",), ("api-health", "quote"), False),
        (("api-health", "quote"), ("*",), ("api-health", "quote"), True),
        (("api-health",), ("*",), ("*",), False),
        (("*",), ("*",), ("*",), True),
        (("cad-?",), ("*",), ("cad-*",), False),
        (("cad-*",), ("*",), ("cad-*",), True),
        (("cad*",), ("*",), ("cad-*",), True),
        (("cad-s*",), ("*",), ("cad-*",), False),
    ],
)
def test_works_bear_on_a_line_when_they_concern_all_that_it_measures(
    scenarios: tuple[str, ...], objectives: tuple[str, ...], asked: tuple[str, ...], bears: bool
) -> None:
    """A line over many scenarios goes on while one of them is worked on."""
    window = works(datetime(2026, 9, 10, 2, tzinfo=UTC), scenarios=scenarios, objectives=objectives)
    objective = line(selector=EventSelector(EventKind.STEP, asked, ("api-health",)))
    assert bool(approvals(window, objective=objective)) is bears


def test_works_in_one_region_leave_out_that_region_only() -> None:
    """The others still vote, and works in regions that the line does not ask are none of it."""
    window = works(datetime(2026, 9, 10, 2, tzinfo=UTC), regions=("e*",))
    found = exclusions_of([window], UPTIME, SEPTEMBER, REGIONS)
    assert {region: bits.bit_count() for region, bits in found.by_region.items()} == {"eu": 30}
    assert exclusions_of([window], UPTIME, SEPTEMBER, ("us",)).is_empty
    assert approvals(works(datetime(2026, 9, 10, 2, tzinfo=UTC), regions=("ap",))) == []


def test_an_occurrence_says_what_became_of_it() -> None:
    """For the report: when, how long, and why it counts if it does."""
    starts_at = datetime(2026, 9, 10, 2, tzinfo=UTC)
    windows = [works(starts_at, announced_at=starts_at), works(starts_at + timedelta(days=1), name="other")]
    texts = [occurrence.text for occurrence in exclusions_of(windows, UPTIME, SEPTEMBER, REGIONS).occurrences]
    assert texts == [
        "maintenance works of 2026-09-10 02:00 UTC, 30 min: counts, announced less than 24 h ahead",
        "maintenance other of 2026-09-11 02:00 UTC, 30 min: left out",
    ]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"starts_at": datetime(2026, 9, 10, 2)}, "starts_at needs a zone"),  # noqa: DTZ001 - what is refused
        ({"announced_at": datetime(2026, 9, 1)}, "announced_at needs a zone"),  # noqa: DTZ001 - what is refused
        ({"duration_minutes": 0}, "is none"),
        ({"rrule": "FREQ=MINUTELY"}, "must be one rule"),
        ({"rrule": "every sunday"}, "must be one rule"),
        ({"rrule": "FREQ=WEEKLY;BYDAY=XX"}, "not a recurrence rule"),
        ({"rrule": "FREQ=WEEKLY;UNTIL=20261001T000000"}, "not a recurrence rule"),
        ({"rrule": "FREQ=DAILY;DTSTART=20260101"}, "must be one rule"),
        ({"rrule": "RRULE:FREQ=DAILY\nEXDATE:20260910T020000Z"}, "must be one rule"),
    ],
)
def test_a_window_that_cannot_be_meant_is_refused_with_its_name(changes: dict[str, object], word: str) -> None:
    """Where it is made, and not where a month is scored."""
    fields = {"starts_at": datetime(2026, 9, 10, 2, tzinfo=UTC), "duration_minutes": 30, **changes}
    with pytest.raises(ValueError, match=word) as refused:
        works(**fields)  # type: ignore[arg-type] # the fields are the parameters of this test
    assert "'works'" in str(refused.value)
