"""Slots are fixed in advance: the same for everybody, never skipped, never doubled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import OperatorError
from probes.schedule import Punctuality, Schedule, punctuality, schedule_for

REGIONS = ("eu-west", "us-east", "ap-south")
NOON = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)

schedules = st.builds(
    Schedule,
    scenario=st.just("api-health"),
    interval_ms=st.integers(1_000, 86_400_000),
    phase_ms=st.integers(0, 999),
    tolerance_ms=st.integers(1, 30_000),
)
instants = st.integers(0, 130 * 365 * 86_400 * 10**6).map(
    lambda us: datetime(1971, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)


def test_regions_share_an_interval_evenly() -> None:
    """Each region is shifted by its share of the interval."""
    slots = [
        schedule_for("api-health", interval_s=60, region=region, regions=REGIONS).slot_at_or_after(NOON)
        for region in REGIONS
    ]
    assert [(slot - slots[0]).total_seconds() for slot in slots] == [0, 20, 40]
    assert 0 <= (slots[0] - NOON).total_seconds() < 20


def test_scenarios_of_one_interval_are_not_all_due_at_once() -> None:
    """Each has a place of its own in its region's share of the interval, the same whenever it is asked."""
    names = [f"scenario-{number}" for number in range(20)]
    phases = [schedule_for(n, interval_s=60, region="us-east", regions=REGIONS).phase_ms for n in names]
    assert phases == [schedule_for(n, interval_s=60, region="us-east", regions=REGIONS).phase_ms for n in names]
    assert all(20_000 <= phase < 40_000 for phase in phases)
    assert max(phases) - min(phases) > 10_000
    assert len(set(phases)) == len(names)


def test_an_instant_on_a_slot_is_that_slot() -> None:
    """The range is closed at its start."""
    schedule = Schedule("api-health", interval_ms=60_000, phase_ms=0, tolerance_ms=10_000)
    assert schedule.slot_at_or_after(NOON) == schedule.slot_at_or_before(NOON) == NOON
    assert schedule.slot_at_or_after(NOON + timedelta(microseconds=1)) == NOON + timedelta(minutes=1)


@given(schedules, instants)
def test_the_neighbours_of_an_instant_are_neighbouring_slots(schedule: Schedule, instant: datetime) -> None:
    """No slot lies between the one before an instant and the one after it."""
    before, after = schedule.slot_at_or_before(instant), schedule.slot_at_or_after(instant)
    assert before <= instant <= after
    assert after in (before, schedule.slot_after(before))
    assert schedule.is_slot(before)
    assert schedule.is_slot(after)


@given(schedules, instants, st.integers(0, 50), st.integers(0, 999_999))
def test_counting_agrees_with_walking(schedule: Schedule, start: datetime, intervals: int, extra_us: int) -> None:
    """`count_between` is the number of slots that `slots_between` yields."""
    end = start + timedelta(milliseconds=schedule.interval_ms * intervals, microseconds=extra_us)
    assert schedule.count_between(start, end) == len(list(schedule.slots_between(start, end)))


@given(schedules, instants, st.integers(1, 20))
def test_adjacent_ranges_neither_lose_nor_double_a_slot(schedule: Schedule, start: datetime, cuts: int) -> None:
    """Cutting a range anywhere keeps the slots: nothing is lost at a border and nothing counted twice."""
    end = start + timedelta(milliseconds=schedule.interval_ms * 7)
    borders = [start + (end - start) * n / cuts for n in range(cuts + 1)]
    pieces = [slot for a, b in pairwise(borders) for slot in schedule.slots_between(a, b)]
    assert pieces == list(schedule.slots_between(start, end))


def test_a_start_is_on_time_late_or_missed() -> None:
    """A second is on time, the tolerance is late, beyond it the slot is missed."""
    schedule = schedule_for("api-health", interval_s=60, region="eu-west", regions=REGIONS)
    assert schedule.tolerance_ms == 10_000
    starts = {-5: Punctuality.ON_TIME, 1: Punctuality.ON_TIME, 2: Punctuality.LATE, 10: Punctuality.LATE}
    for lag_s, expected in starts.items():
        assert punctuality(schedule, NOON, NOON + timedelta(seconds=lag_s)) is expected
    assert punctuality(schedule, NOON, NOON + timedelta(seconds=10, milliseconds=1)) is Punctuality.MISSED


@pytest.mark.parametrize(
    ("interval_s", "region", "message"),
    [(0.5, "eu-west", "too short"), (60, "mars", "not one of this fleet's regions")],
)
def test_a_schedule_that_makes_no_sense_is_refused(interval_s: float, region: str, message: str) -> None:
    """The message says which value is wrong."""
    with pytest.raises(OperatorError, match=message):
        schedule_for("api-health", interval_s=interval_s, region=region, regions=REGIONS)
