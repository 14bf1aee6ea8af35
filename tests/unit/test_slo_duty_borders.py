"""The borders of obligations: zones and deadlines, last words, episodes that run, and minutes that nobody looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from slo.duties import DutyScore, DutyState, judge_duty
from slo.evidence import Verdict
from slo.obligation import Duty, Obligation, Observation, ObservationSelector, ObservationSource
from slo.window import CalendarMonths, Span, month_span

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
OCTOBER = month_span("2026-10")
AFTER = datetime(2026, 11, 5, tzinfo=UTC)
DAYS = [date(2026, 10, number) for number in range(1, 32)]


def obligation(duty: Duty, *, zone: str = "UTC") -> Obligation:
    """A line of each kind: by 06:00, thirty days, four hours, a day."""
    limits = {Duty.DURATION: 4 * HOUR_NS, Duty.GAUGE: 24 * HOUR_NS}
    return Obligation(
        name=duty.value,
        title=duty.value,
        line="17",
        version=1,
        duty=duty,
        selector=ObservationSelector(ObservationSource.RUNS),
        window=CalendarMonths(zone),
        limit_ns=limits.get(duty),
        deadline_minutes=360 if duty is Duty.PERIODIC else None,
        keep_days=30 if duty is Duty.RETENTION else None,
    )


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """An instant of October; days beyond 31 are in November."""
    return datetime(2026, 10, 1, hour, minute, second, tzinfo=UTC) + timedelta(days=day - 1)


def seen(subject: object, seen_at: datetime, *, good: bool = True) -> Observation:
    """A fact about something."""
    return Observation(str(subject), seen_at, good, run_id=f"run of {seen_at:%d %H:%M}")


def took(subject: str, began_at: datetime, value_s: int, *, good: bool = True, running: bool = False) -> Observation:
    """An episode as it stood `value_s` after it began."""
    seen_at = began_at + timedelta(seconds=value_s)
    return Observation(subject, seen_at, good, value_s * SECOND_NS, run_id="run", is_running=running)


def states(score: DutyScore) -> dict[str, str]:
    """The state of each subject."""
    return {one.subject: one.state.value for one in score.subjects}


# A thing every day


def daily(*, without: Sequence[date] = ()) -> list[Observation]:
    """Each day's backup, seen at 03:00 of the next day."""
    next_morning = timedelta(days=1, hours=3)
    begins = {day: datetime(day.year, day.month, day.day, tzinfo=UTC) for day in DAYS}
    return [seen(day, begins[day] + next_morning) for day in DAYS if day not in without]


def test_silence_is_pending_until_the_deadline_and_violated_at_it() -> None:
    """06:00:00 of the next day is the first instant of the violation."""
    known = daily(without=[DAYS[9]])
    for now, state, verdict in (
        (at(11, 5, 59, 59), DutyState.PENDING, Verdict.MET),
        (at(11, 6), DutyState.VIOLATED, Verdict.BREACHED),
    ):
        score = judge_duty(obligation(Duty.PERIODIC), known, OCTOBER, now)
        assert (score.subjects[9].state, score.verdict) == (state, verdict)
        assert score.subjects[10].state is DutyState.PENDING
    assert score.subjects[9].reason == "never seen"


def test_a_backup_belongs_to_the_day_that_it_contains() -> None:
    """Two backups seen on one day are of two days, and neither stands for the day on which it was seen."""
    known = [seen("2026-10-01", at(2, 3)), seen("2026-10-02", at(2, 23, 50))]
    score = judge_duty(obligation(Duty.PERIODIC), known, OCTOBER, at(4))
    assert list(states(score).items())[:3] == [
        ("2026-10-01", "satisfied"),
        ("2026-10-02", "satisfied"),
        ("2026-10-03", "pending"),
    ]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ([seen("2026-10-01", at(2, 6, 0, 1))], "seen late, at 2026-10-02 06:00 UTC"),
        ([seen("2026-10-01", at(2, 3), good=False)], "seen, but never good"),
    ],
)
def test_late_and_broken_backups_are_violations(facts: list[Observation], reason: str) -> None:
    """A second after the deadline is late; broken is as good as none."""
    first = judge_duty(obligation(Duty.PERIODIC), facts, OCTOBER, at(3)).subjects[0]
    assert (first.state, first.reason) == (DutyState.VIOLATED, reason)


def test_a_backup_that_was_broken_first_and_good_at_the_deadline_counts() -> None:
    """Who makes it again in time has kept the promise; what is found later does not take it back."""
    facts = [
        seen("2026-10-01", at(2, 3), good=False),
        seen("2026-10-01", at(2, 6)),
        seen("2026-10-01", at(2, 7), good=False),
    ]
    assert judge_duty(obligation(Duty.PERIODIC), facts, OCTOBER, at(3)).subjects[0].state is DutyState.SATISFIED


def test_days_before_going_live_and_days_of_maintenance_do_not_count() -> None:
    """The first counted day is the first whole one."""
    known = daily(without=[*DAYS[:5], DAYS[9]])
    score = judge_duty(obligation(Duty.PERIODIC), known, OCTOBER, AFTER, live_at=at(5, 9), excluded={"2026-10-10"})
    assert score.verdict is Verdict.MET
    assert (score.counts[DutyState.EXCLUDED], score.counts[DutyState.SATISFIED]) == (6, 25)


def test_days_are_those_of_the_windows_zone() -> None:
    """In Berlin, 31 days that end an hour or two before UTC's; the one on which summer time ends has 25 hours."""
    span = month_span("2026-10", "Europe/Berlin")
    score = judge_duty(obligation(Duty.PERIODIC, zone="Europe/Berlin"), [], span, AFTER)
    assert len(score.subjects) == 31
    assert [score.subjects[place].due_at for place in (0, 24, 30)] == [at(2, 4), at(26, 5), at(32, 5)]


def test_a_month_that_has_only_begun_knows_nothing() -> None:
    """Before the first deadline the word is `not_enough_data`, with the instant at which it ends."""
    score = judge_duty(obligation(Duty.PERIODIC), [], OCTOBER, at(1, 12))
    assert score.verdict is Verdict.NOT_ENOUGH_DATA
    assert score.missing == "the first day is judged at 2026-10-02 06:00 UTC"


# Thirty days kept


def shelf(day: int, *, kept: int = 30, without: int = 0) -> list[Observation]:
    """What a look at noon of a day of October sees: the backups of the `kept` days before it, but not the one `without` ago."""
    return [seen((at(day) - timedelta(days=ago)).date(), at(day, 12)) for ago in range(1, kept + 1) if ago != without]


def test_the_last_word_of_a_day_decides() -> None:
    """At 00:05 yesterday's backup is not there yet, at noon it is; gone in the evening is gone."""
    early = seen("2026-10-09", at(10, 0, 5), good=False)
    gone = seen("2026-09-20", at(10, 20), good=False)
    for extra, state in (([early], DutyState.SATISFIED), ([early, gone], DutyState.VIOLATED)):
        score = judge_duty(obligation(Duty.RETENTION), [*shelf(10), *extra], OCTOBER, at(11))
        assert score.subjects[9].state is state


def test_a_day_is_judged_when_it_is_over_and_silence_is_a_violation() -> None:
    """What was seen on one day says nothing of the next."""
    running = judge_duty(obligation(Duty.RETENTION), shelf(10), OCTOBER, at(10, 23))
    assert running.subjects[9].state is DutyState.PENDING
    assert judge_duty(obligation(Duty.RETENTION), shelf(10), OCTOBER, at(12)).subjects[10].state is DutyState.VIOLATED


def test_the_first_thirty_days_after_going_live_are_not_enough_data() -> None:
    """Live since October 1st at midnight, the 31st is the first day on which thirty whole days can be there."""
    live_at = at(1)
    before = judge_duty(obligation(Duty.RETENTION), [], OCTOBER, at(31, 12), live_at=live_at)
    assert (before.verdict, before.counts[DutyState.EXCLUDED]) == (Verdict.NOT_ENOUGH_DATA, 30)
    assert judge_duty(obligation(Duty.RETENTION), [], OCTOBER, at(32), live_at=live_at).verdict is Verdict.BREACHED
    assert judge_duty(obligation(Duty.RETENTION), shelf(31), OCTOBER, at(32), live_at=live_at).verdict is Verdict.MET
    later = judge_duty(obligation(Duty.RETENTION), [], OCTOBER, at(32), live_at=live_at + timedelta(seconds=1))
    assert (later.verdict, later.missing) == (Verdict.NOT_ENOUGH_DATA, "first counted day is 2026-11-01")


# Episodes


@pytest.mark.parametrize(
    ("now", "state", "verdict"),
    [
        (at(5, 2, 59, 59), DutyState.RUNNING, Verdict.NOT_ENOUGH_DATA),
        (at(5, 3), DutyState.RUNNING, Verdict.AT_RISK),
        (at(5, 3, 59, 59), DutyState.RUNNING, Verdict.AT_RISK),
        (at(5, 4), DutyState.VIOLATED, Verdict.BREACHED),
    ],
)
def test_a_running_episode_is_violated_at_its_limit_and_not_at_its_end(
    now: datetime, state: DutyState, verdict: Verdict
) -> None:
    """Last heard of after an hour; it grows without further word, and the last quarter of the limit is a risk."""
    score = judge_duty(obligation(Duty.DURATION), [took("drill", at(5), 3600, running=True)], OCTOBER, now)
    assert (score.subjects[0].state, score.verdict, score.subjects[0].due_at) == (state, verdict, at(5, 4))


def test_an_episode_that_ended_is_no_longer_running_in_whatever_order_it_is_told() -> None:
    """The end outlives late word of the running episode."""
    facts = [
        took("drill", at(5), 7200),
        took("drill", at(5), 3600, running=True),
        took("drill", at(5), 7300, running=True),
    ]
    for order in (facts, facts[::-1]):
        score = judge_duty(obligation(Duty.DURATION), order, OCTOBER, AFTER)
        assert [(one.state, one.value_ns) for one in score.subjects] == [(DutyState.MET, 2 * HOUR_NS)]


def test_every_episode_counts_in_the_window_in_which_it_began() -> None:
    """One violation of three breaks the line; one that began in September is September's."""
    facts = [
        took("first", at(5), 60),
        took("second", at(6), 5 * 3600),
        took("third", at(31, 23), 7200),
        took("old", at(0, 23), 9 * 3600),
    ]
    score = judge_duty(obligation(Duty.DURATION), facts, OCTOBER, AFTER)
    assert states(score) == {"first": "met", "second": "violated", "third": "met"}
    assert score.verdict is Verdict.BREACHED
    spared = judge_duty(obligation(Duty.DURATION), facts, OCTOBER, AFTER, excluded={"second"})
    assert (spared.verdict, states(spared)["second"]) == (Verdict.MET, "excluded")


def test_a_drill_that_failed_is_violated_however_fast() -> None:
    """Nothing was restored."""
    score = judge_duty(obligation(Duty.DURATION), [took("drill", at(5), 60, good=False)], OCTOBER, AFTER)
    assert (score.verdict, score.subjects[0].reason) == (Verdict.BREACHED, "it failed")


def test_no_drill_is_not_enough_data() -> None:
    """Nothing measured is never a pass; neither is an episode whose time nobody took."""
    none = judge_duty(obligation(Duty.DURATION), [], OCTOBER, AFTER)
    assert (none.verdict, none.missing) == (Verdict.NOT_ENOUGH_DATA, "one in this window")
    untimed = judge_duty(obligation(Duty.DURATION), [seen("drill", at(5))], OCTOBER, AFTER)
    assert (untimed.verdict, untimed.missing) == (Verdict.NOT_ENOUGH_DATA, "one that has ended")
    assert untimed.counts[DutyState.EXCLUDED] == 1


# The age of the newest


DAY = Span("day", OCTOBER.from_minute + 1440, OCTOBER.from_minute + 2880)


def minutes_of(bits: int) -> list[int]:
    """The minutes of a bitmap, counted from the beginning of the day."""
    return [place for place in range(DAY.minutes) if bits >> place & 1]


def test_backups_that_follow_each_other_within_a_day_leave_no_bad_minute() -> None:
    """At the very limit too: the one is 24 h old at the instant at which the next is written."""
    facts = [
        seen(at(day, 2, 0, 30).isoformat(), at(day, hour)) for day, hour in ((1, 3), (1, 20), (2, 3), (2, 20), (3, 1))
    ]
    score = judge_duty(obligation(Duty.GAUGE), facts, DAY, at(3, 1))
    assert score.minutes is not None
    assert (score.verdict, score.minutes.good.bit_count(), score.minutes.bad) == (Verdict.MET, 1440, 0)


def test_minutes_without_a_young_backup_are_bad() -> None:
    """Written at 02:00 and next at 02:10 of the following day: ten minutes, from the age of exactly 24 h on."""
    facts = [seen(written_at.isoformat(), written_at + timedelta(hours=1)) for written_at in (at(1, 2), at(2, 2, 10))]
    looks = [seen(at(1, 2).isoformat(), at(1, 15)), seen(at(2, 2, 10).isoformat(), at(3))]
    score = judge_duty(obligation(Duty.GAUGE), [*facts, *looks], DAY, at(3))
    assert score.minutes is not None
    assert (score.verdict, minutes_of(score.minutes.bad)) == (Verdict.BREACHED, list(range(120, 130)))


def test_a_broken_backup_is_no_backup() -> None:
    """The next good one ends the bad minutes."""
    facts = [seen(at(1, 2).isoformat(), at(1, 3)), seen(at(2, 1).isoformat(), at(2, 2, 30), good=False)]
    score = judge_duty(obligation(Duty.GAUGE), [*facts, seen(at(2, 3).isoformat(), at(2, 4))], DAY, at(2, 5))
    assert score.minutes is not None
    assert minutes_of(score.minutes.bad)[::59] == [120, 179]
    assert score.minutes.future == ((1 << 1440) - 1) & ~((1 << 300) - 1)


def test_minutes_that_nobody_looked_at_are_unknown() -> None:
    """Where looks are further apart than the limit, or there is none afterwards, nothing is charged and nothing is met."""
    apart = [seen(at(0, 2).isoformat(), at(0, 3)), seen(at(2, 20).isoformat(), at(2, 21))]
    score = judge_duty(obligation(Duty.GAUGE), apart, DAY, at(2, 22))
    assert score.minutes is not None
    assert (score.verdict, score.minutes.bad) == (Verdict.NOT_ENOUGH_DATA, 0)
    assert minutes_of(score.minutes.unknown) == list(range(20 * 60))
    assert score.missing == "word about 1200 minutes"
    silent = judge_duty(obligation(Duty.GAUGE), [], DAY, at(3))
    assert (silent.verdict, silent.missing) == (Verdict.NOT_ENOUGH_DATA, "word about 1440 minutes")


def test_excluded_minutes_are_in_no_other_state_and_every_minute_is_in_one() -> None:
    """Five states, disjoint and complete."""
    facts = [seen("2026-10-01", at(2, 1)), seen("not an instant", at(2, 5)), seen("2026-10-02T01:00", at(2, 6))]
    score = judge_duty(obligation(Duty.GAUGE), facts, DAY, at(2, 12), excluded_minutes=0b1111 << 100)
    minutes = score.minutes
    assert minutes is not None
    parts = (minutes.good, minutes.bad, minutes.unknown, minutes.excluded, minutes.future)
    assert sum(part.bit_count() for part in parts) == 1440
    assert minutes.good | minutes.bad | minutes.unknown | minutes.excluded | minutes.future == (1 << 1440) - 1
    assert minutes_of(minutes.excluded) == [100, 101, 102, 103]
    assert minutes.unread == 2


# All of them


@pytest.mark.parametrize("duty", list(Duty))
def test_no_order_and_no_repetition_changes_a_score(duty: Duty) -> None:
    """Observations come late and twice."""
    dice = Random(3)
    facts = [
        seen(dice.choice(DAYS), at(dice.randrange(1, 32), dice.randrange(24)), good=dice.random() < 0.8)
        for _ in range(200)
    ]
    facts += [took(f"drill {number}", at(number, 3), 3600 * number, running=number % 2 == 0) for number in range(1, 6)]
    shuffled = [*facts, *facts[:50]]
    dice.shuffle(shuffled)
    now = at(20, 7)
    one, other = (judge_duty(obligation(duty), known, OCTOBER, now) for known in (facts, shuffled))
    assert one.verdict is other.verdict
    assert one.minutes == other.minutes
    assert sorted(map(repr, one.subjects)) == sorted(map(repr, other.subjects))


def test_what_is_seen_later_than_now_is_not_known() -> None:
    """A report about the past can be made again."""
    score = judge_duty(obligation(Duty.PERIODIC), daily(), OCTOBER, at(11, 2))
    assert (score.counts[DutyState.SATISFIED], score.counts[DutyState.PENDING]) == (9, 22)


@pytest.mark.parametrize("duty", list(Duty))
def test_an_obligation_without_its_bound_is_refused(duty: Duty) -> None:
    """Nobody judges by a limit that is not there."""
    bare = dataclasses.replace(obligation(duty), limit_ns=None, deadline_minutes=None, keep_days=None)
    with pytest.raises(ValueError, match="needs"):
        judge_duty(bare, [], OCTOBER, AFTER)
