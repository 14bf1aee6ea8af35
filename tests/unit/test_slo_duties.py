"""Obligations: a thing every day, thirty days kept, an episode within a limit, an age that stays young."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.duties import DutyScore, DutyState, judge_duty
from slo.evidence import Verdict
from slo.obligation import Duty, Obligation, Observation, ObservationSelector, ObservationSource
from slo.window import CalendarMonths, month_span

SECOND = 1_000_000_000
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OCTOBER = month_span("2026-10")
FIRST = datetime(2026, 10, 1, tzinfo=UTC)
OVER = datetime(2026, 12, 1, tzinfo=UTC)
FACTS = ObservationSelector(ObservationSource.RUNS, ("backups",), ("verify",), "backup.day")


def obligation(duty: Duty, *, limit_ns: int | None = None, zone: str = "UTC") -> Obligation:
    """A line with the bounds of the document."""
    return Obligation(
        "line",
        "Line",
        "17",
        1,
        duty,
        FACTS,
        CalendarMonths(zone),
        limit_ns=limit_ns,
        deadline_minutes=360 if duty is Duty.PERIODIC else None,
        keep_days=30 if duty is Duty.RETENTION else None,
    )


DAILY = obligation(Duty.PERIODIC)
KEPT = obligation(Duty.RETENTION)
FOUR_HOURS = obligation(Duty.DURATION, limit_ns=4 * 3600 * SECOND)


def seen(day: datetime, at: datetime, *, good: bool = True) -> Observation:
    """Somebody looked at the backup of a day."""
    return Observation(f"{day:%Y-%m-%d}", at, good, run_id="run")


def every_day(*, without: frozenset[int] = frozenset(), hour: int = 2) -> list[Observation]:
    """Each day of October was seen good on the day after, at that hour."""
    days = (FIRST + DAY * number for number in range(31) if number + 1 not in without)
    return [seen(day, day + DAY + HOUR * hour) for day in days]


def states(score: DutyScore) -> dict[str, DutyState]:
    """The state of each subject."""
    return {one.subject: one.state for one in score.subjects}


def test_a_month_of_backups_in_time_is_met_and_one_silent_day_breaks_it() -> None:
    """Silence at the deadline is a violation: nobody has to see it fail."""
    assert judge_duty(DAILY, every_day(), OCTOBER, OVER).verdict is Verdict.MET
    broken = judge_duty(DAILY, every_day(without=frozenset({7})), OCTOBER, OVER)
    assert broken.verdict is Verdict.BREACHED
    assert [day for day, state in states(broken).items() if state is DutyState.VIOLATED] == ["2026-10-07"]


@pytest.mark.parametrize(
    ("hour", "state"), [(5, DutyState.SATISFIED), (6, DutyState.SATISFIED), (7, DutyState.VIOLATED)]
)
def test_the_deadline_is_six_in_the_morning_of_the_day_after(hour: int, state: DutyState) -> None:
    """To the minute; what is seen later was not there in time."""
    found = judge_duty(DAILY, every_day(hour=hour), OCTOBER, OVER)
    assert set(states(found).values()) == {state}


def test_a_day_is_pending_until_its_deadline_and_attributed_to_the_date_it_contains() -> None:
    """A backup seen today counts for the day that is in it, not for today."""
    now = FIRST + DAY * 3 + HOUR * 5
    found = judge_duty(DAILY, [seen(FIRST + DAY, FIRST + DAY * 2 + HOUR)], OCTOBER, now)
    told = states(found)
    assert told["2026-10-01"] is DutyState.VIOLATED
    assert told["2026-10-02"] is DutyState.SATISFIED
    assert told["2026-10-03"] is DutyState.PENDING
    assert found.verdict is Verdict.BREACHED


def test_a_backup_that_was_only_seen_bad_is_a_violation_that_names_its_run() -> None:
    """An empty dump is no backup."""
    found = judge_duty(DAILY, [seen(FIRST, FIRST + DAY, good=False)], OCTOBER, FIRST + DAY * 2)
    (first, *_) = found.subjects
    assert (first.state, first.reason, first.run_id) == (DutyState.VIOLATED, "seen, but never good", "run")


def kept(day: datetime, numbers: range | list[int], *, good: bool = True) -> list[Observation]:
    """On a day, the backups of so many days before it were seen."""
    return [seen(day - DAY * number, day + HOUR * 12, good=good) for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "state"),
    [
        (list(range(1, 31)), DutyState.SATISFIED),
        (list(range(1, 30)), DutyState.VIOLATED),
        (list(range(2, 32)), DutyState.VIOLATED),
        (list(range(1, 32)), DutyState.SATISFIED),
    ],
    ids=["thirty", "29 of 30", "the newest is gone", "one more than asked"],
)
def test_thirty_days_must_be_there_and_the_thirty_first_may_be_gone(numbers: list[int], state: DutyState) -> None:
    """29 of 30 is a violation, the 31st absent is fine."""
    day = FIRST + DAY * 14
    found = judge_duty(KEPT, kept(day, numbers), OCTOBER, day + DAY * 2)
    assert states(found)["2026-10-15"] is state


def test_the_first_thirty_days_after_going_live_are_not_enough_data() -> None:
    """There cannot be thirty backups yet; nothing is violated and nothing met."""
    found = judge_duty(KEPT, kept(FIRST + DAY * 9, range(1, 9)), OCTOBER, OVER, live_at=FIRST)
    assert found.verdict is not Verdict.MET
    early = judge_duty(KEPT, [], OCTOBER, FIRST + DAY * 29, live_at=FIRST)
    assert (early.verdict, set(states(early).values()) - {DutyState.PENDING}) == (
        Verdict.NOT_ENOUGH_DATA,
        {DutyState.EXCLUDED},
    )


def episode(
    value_s: float | None, *, good: bool = True, running: bool = False, at: datetime = FIRST + DAY
) -> Observation:
    """A drill that took so long, or has taken so long by now."""
    value_ns = None if value_s is None else round(value_s * SECOND)
    return Observation("drill", at, good, value_ns, is_running=running)


@pytest.mark.parametrize(
    ("one", "state", "verdict"),
    [
        (episode(4 * 3600 - 0.001), DutyState.MET, Verdict.MET),
        (episode(4 * 3600), DutyState.VIOLATED, Verdict.BREACHED),
        (episode(60, good=False), DutyState.VIOLATED, Verdict.BREACHED),
        (episode(None, good=False), DutyState.VIOLATED, Verdict.BREACHED),
        (episode(None), DutyState.EXCLUDED, Verdict.NOT_ENOUGH_DATA),
    ],
    ids=["just below", "exactly four hours", "failed quickly", "failed before it could be timed", "not timed"],
)
def test_an_episode_is_met_strictly_below_its_limit(one: Observation, state: DutyState, verdict: Verdict) -> None:
    """Exactly 4 h 00 m 00 s is a violation, and so is one that failed."""
    found = judge_duty(FOUR_HOURS, [one], OCTOBER, OVER)
    assert (states(found)["drill"], found.verdict) == (state, verdict)


def test_a_running_episode_turns_violated_at_its_limit_and_not_at_its_end() -> None:
    """Nobody waits for the end to know that it is too late."""
    one = episode(0, running=True)
    before = judge_duty(FOUR_HOURS, [one], OCTOBER, one.seen_at + 4 * HOUR - timedelta(seconds=1))
    at_limit = judge_duty(FOUR_HOURS, [one], OCTOBER, one.seen_at + 4 * HOUR)
    assert (states(before)["drill"], states(at_limit)["drill"]) == (DutyState.RUNNING, DutyState.VIOLATED)
    assert at_limit.verdict is Verdict.BREACHED


def test_no_drill_is_not_enough_data() -> None:
    """A promise that nobody tried is not kept."""
    found = judge_duty(FOUR_HOURS, [], OCTOBER, OVER)
    assert (found.verdict, found.subjects) == (Verdict.NOT_ENOUGH_DATA, ())
    assert found.missing


def test_the_age_of_the_newest_backup_is_judged_minute_by_minute() -> None:
    """A backup vouches for the day after it; when the next one is an hour late, that hour is bad."""
    gauge = obligation(Duty.GAUGE, limit_ns=24 * 3600 * SECOND)
    births = [FIRST - HOUR, FIRST + DAY - HOUR, FIRST + DAY * 2]
    looks = [
        Observation(max(born for born in births if born <= at).isoformat(), at, good=True)
        for at in (FIRST + HOUR * number + timedelta(minutes=30) for number in range(49))
    ]
    found = judge_duty(gauge, looks, OCTOBER, FIRST + DAY * 2 + timedelta(minutes=40)).minutes
    assert found is not None
    late = [minute for minute in range(44_640) if found.bad >> minute & 1]
    assert late == list(range(2 * 1440 - 60, 2 * 1440))
    assert found.good & found.bad == found.good & found.unknown == found.bad & found.unknown == 0


@given(st.lists(st.tuples(st.integers(0, 31), st.integers(0, 40), st.booleans()), max_size=40), st.randoms())
def test_the_order_and_repetition_of_facts_do_not_matter(facts: list[tuple[int, int, bool]], dice: object) -> None:
    """And a good fact never makes a day worse."""
    known = [seen(FIRST + DAY * day, FIRST + DAY * day + HOUR * hour, good=good) for day, hour, good in facts]
    mixed = known + known[: len(known) // 2]
    dice.shuffle(mixed)  # type: ignore[attr-defined] # hypothesis hands over a Random
    assert judge_duty(DAILY, mixed, OCTOBER, OVER) == judge_duty(DAILY, known, OCTOBER, OVER)
    more = judge_duty(DAILY, [*known, *every_day()], OCTOBER, OVER)
    assert more.verdict is Verdict.MET
