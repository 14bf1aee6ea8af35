"""Judge obligations: a thing every day, thirty days kept, an episode within its time, an age that stays below a bound.

Silence is not success: at the deadline it is a violation. An episode that is still running violates its limit when it reaches it
and not at its end, and a value equal to the limit is a violation. Where there was nothing to judge (no drill, the first
days after going live) the word is `not_enough_data`. Refuses observations from after `now`. Called by the reports. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from slo.duty_gauge import GaugeMinutes, judge_gauge
from slo.evidence import Verdict
from slo.obligation import Duty, Obligation, Observation
from slo.window import CalendarMonths, Span

__all__ = ["DutyScore", "DutyState", "SubjectState", "judge_duty"]

_DAY: Final = timedelta(days=1)
_NANOSECONDS: Final = 1000
_NEARLY: Final = Fraction(3, 4)


class DutyState(StrEnum):
    """How it stands with one day or one episode."""

    SATISFIED = "satisfied"
    VIOLATED = "violated"
    PENDING = "pending"
    EXCLUDED = "excluded"
    RUNNING = "running"
    MET = "met"


_JUDGED: Final = (DutyState.SATISFIED, DutyState.MET, DutyState.VIOLATED)


@dataclass(frozen=True, slots=True)
class SubjectState:
    """One day or episode: `due_at` is its deadline, `reason` says in a few words why it is so, `run_id` who saw it."""

    subject: str
    state: DutyState
    due_at: datetime | None
    reason: str
    value_ns: int | None = None
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class DutyScore:
    """An obligation in one span. `missing` says what a verdict still needs; empty: nothing.

    A gauge has `minutes` and no subjects.
    """

    obligation: Obligation
    span: Span
    verdict: Verdict
    subjects: tuple[SubjectState, ...] = ()
    minutes: GaugeMinutes | None = None
    missing: str = ""

    @property
    def counts(self) -> Mapping[DutyState, int]:
        """How many subjects are in each state."""
        return {state: sum(one.state is state for one in self.subjects) for state in DutyState}


def judge_duty(
    obligation: Obligation,
    observations: Iterable[Observation],
    span: Span,
    now: datetime,
    *,
    live_at: datetime | None = None,
    excluded: Collection[str] = (),
    excluded_minutes: int = 0,
) -> DutyScore:
    """How `obligation` stands in `span` at `now`, by the observations that were selected for it, in any order.

    `live_at` is when the platform went live; None: long ago. `excluded` names subjects that do not count: days as `2026-10-31`,
    episodes as the observations name them; `excluded_minutes` are those of a gauge, bit i being `span.from_minute + i`.
    Raises ValueError when the obligation lacks the bound that its duty needs.
    """
    known = sorted({one for one in observations if one.seen_at <= now}, key=lambda one: (one.seen_at, repr(one)))
    match obligation.duty:
        case Duty.PERIODIC:
            return _judge_days(obligation, span, now, _periodic_rule(obligation, known), (live_at, 0), excluded)
        case Duty.RETENTION:
            keep_days = _needed(obligation.keep_days, obligation, "keep_days")
            rule = _retention_rule(obligation, known, keep_days)
            return _judge_days(obligation, span, now, rule, (live_at, keep_days), excluded)
        case Duty.DURATION:
            return _judge_episodes(obligation, known, span, now, excluded)
        case Duty.GAUGE:
            limit_ns = _needed(obligation.limit_ns, obligation, "limit_ns")
            minutes = judge_gauge(known, limit_ns, span, now, excluded=excluded_minutes)
            return DutyScore(obligation, span, minutes.verdict, minutes=minutes, missing=minutes.missing)


def _needed(bound: int | None, obligation: Obligation, name: str) -> int:
    if bound is None:
        message = f"obligation {obligation.name!r} is {obligation.duty.value} and needs {name}"
        raise ValueError(message)
    return bound


# Days


DayRule = Callable[[date, datetime, datetime], SubjectState]
"""(day, the instant after its end, now) -> how it stands."""


def _zone_of(obligation: Obligation) -> ZoneInfo:
    window = obligation.window
    return ZoneInfo(window.zone if isinstance(window, CalendarMonths) else "UTC")


def _days_of(span: Span, zone: ZoneInfo) -> Iterator[tuple[date, datetime]]:
    """The calendar days that begin in the span, each with the instant at which it is over."""
    day = span.from_at.astimezone(zone).date()
    while (begins_at := _midnight(day, zone)) < span.until_at:
        if begins_at >= span.from_at:
            yield day, _midnight(day + _DAY, zone)
        day += _DAY


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _first_whole_day(live_at: datetime, zone: ZoneInfo) -> date:
    day = live_at.astimezone(zone).date()
    return day if _midnight(day, zone) == live_at else day + _DAY


def _judge_days(
    obligation: Obligation,
    span: Span,
    now: datetime,
    rule: DayRule,
    start: tuple[datetime | None, int],
    excluded: Collection[str],
) -> DutyScore:
    """Every day of the span by `rule`; days before the first whole one, and as many more as `start` says, count for nothing."""
    live_at, days_of_grace = start
    zone = _zone_of(obligation)
    first_day = None if live_at is None else _first_whole_day(live_at, zone) + days_of_grace * _DAY
    states = []
    for day, ends_at in _days_of(span, zone):
        state = rule(day, ends_at, now)
        if day.isoformat() in excluded:
            state = replace(state, state=DutyState.EXCLUDED, reason="maintenance")
        elif first_day is not None and day < first_day:
            state = replace(state, state=DutyState.EXCLUDED, reason=f"first counted day is {first_day}")
        states.append(state)
    return _scored(obligation, span, states, _missing_days(states))


def _missing_days(states: Sequence[SubjectState]) -> str:
    if any(one.state in _JUDGED for one in states):
        return ""
    due_at = min((one.due_at for one in states if one.state is DutyState.PENDING and one.due_at), default=None)
    if due_at is not None:
        return f"the first day is judged at {due_at:%Y-%m-%d %H:%M} UTC"
    return states[-1].reason if states else "no day begins in this window"


def _periodic_rule(obligation: Obligation, known: Sequence[Observation]) -> DayRule:
    """A day is satisfied by the first good observation of it, which must come by the deadline."""
    grace = timedelta(minutes=_needed(obligation.deadline_minutes, obligation, "deadline_minutes"))
    first_good: dict[str, Observation] = {}
    seen_bad: dict[str, Observation] = {}
    for one in known:
        (first_good if one.good else seen_bad).setdefault(_day_text(one.subject), one)

    def rule(day: date, ends_at: datetime, now: datetime) -> SubjectState:
        due_at, subject = ends_at + grace, day.isoformat()
        found = first_good.get(subject)
        if found is not None and found.seen_at <= due_at:
            return SubjectState(subject, DutyState.SATISFIED, due_at, "seen in time", found.value_ns, found.run_id)
        if now < due_at:
            return SubjectState(subject, DutyState.PENDING, due_at, "not seen yet")
        if found is not None:
            late = f"seen late, at {found.seen_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            return SubjectState(subject, DutyState.VIOLATED, due_at, late, found.value_ns, found.run_id)
        bad = seen_bad.get(subject)
        reason = "never seen" if bad is None else "seen, but never good"
        return SubjectState(subject, DutyState.VIOLATED, due_at, reason, run_id=bad.run_id if bad else "")

    return rule


def _retention_rule(obligation: Obligation, known: Sequence[Observation], keep_days: int) -> DayRule:
    """On each day the last word about each of the `keep_days` days before it must be good; the others may be gone.

    The last word and not every one: the newest backup is not there yet in the small hours.
    """
    zone = _zone_of(obligation)
    grace = timedelta(minutes=obligation.deadline_minutes or 0)
    last_word: dict[tuple[date, str], Observation] = {}
    for one in known:
        last_word[one.seen_at.astimezone(zone).date(), _day_text(one.subject)] = one

    def rule(day: date, ends_at: datetime, now: datetime) -> SubjectState:
        due_at, subject = ends_at + grace, day.isoformat()
        if now < due_at:
            return SubjectState(subject, DutyState.PENDING, due_at, "the day is not over")
        wanted = [(day - number * _DAY).isoformat() for number in range(1, keep_days + 1)]
        words = {old: last_word.get((day, old)) for old in wanted}
        absent = [old for old, word in words.items() if word is None or not word.good]
        if not absent:
            return SubjectState(subject, DutyState.SATISFIED, due_at, f"all {keep_days} days there")
        first = words[absent[0]]
        reason = f"{keep_days - len(absent)} of {keep_days} days there; {absent[0]} is not"
        return SubjectState(subject, DutyState.VIOLATED, due_at, reason, run_id=first.run_id if first else "")

    return rule


def _day_text(subject: str) -> str:
    """The day that a subject is about: it may be a day or an instant of it."""
    return subject[:10]


# Episodes


def _judge_episodes(
    obligation: Obligation, known: Sequence[Observation], span: Span, now: datetime, excluded: Collection[str]
) -> DutyScore:
    """Every drill, incident or alert that began in the span."""
    limit_ns = _needed(obligation.limit_ns, obligation, "limit_ns")
    newest: dict[str, Observation] = {}
    for one in known:
        name = one.subject or one.run_id
        before = newest.get(name)
        if before is None or before.is_running or not one.is_running:
            newest[name] = one
    states = [
        replace(state, state=DutyState.EXCLUDED, reason="excluded") if name in excluded else state
        for name, one in newest.items()
        if span.from_at <= _began_at(one) < span.until_at
        for state in [_episode_state(name, one, limit_ns, now)]
    ]
    judged = any(one.state in _JUDGED for one in states)
    score = _scored(
        obligation, span, states, "" if judged else "one that has ended" if states else "one in this window"
    )
    nearly = [one for one in states if one.state is DutyState.RUNNING and (one.value_ns or 0) >= limit_ns * _NEARLY]
    return replace(score, verdict=Verdict.AT_RISK) if nearly and score.verdict is not Verdict.BREACHED else score


def _began_at(one: Observation) -> datetime:
    return one.seen_at - timedelta(microseconds=(one.value_ns or 0) // _NANOSECONDS)


def _episode_state(name: str, one: Observation, limit_ns: int, now: datetime) -> SubjectState:
    due_at = _began_at(one) + timedelta(microseconds=limit_ns // _NANOSECONDS)
    value_ns = one.value_ns
    if one.is_running:
        value_ns = (one.value_ns or 0) + (now - one.seen_at) // timedelta(microseconds=1) * _NANOSECONDS
        state = DutyState.VIOLATED if value_ns >= limit_ns else DutyState.RUNNING
        reason = "still running, past the limit" if state is DutyState.VIOLATED else "still running"
    elif not one.good:
        state, reason = DutyState.VIOLATED, "it failed"
    elif value_ns is None:
        return SubjectState(name, DutyState.EXCLUDED, None, "its time was not measured", run_id=one.run_id)
    else:
        state = DutyState.MET if value_ns < limit_ns else DutyState.VIOLATED
        reason = "within the limit" if state is DutyState.MET else "not within the limit"
    return SubjectState(name, state, due_at, reason, value_ns, one.run_id)


def _scored(obligation: Obligation, span: Span, states: Sequence[SubjectState], missing: str) -> DutyScore:
    """One violation breaks the promise for good; without anything judged nothing is known."""
    found = {one.state for one in states}
    verdict = Verdict.MET if found.intersection(_JUDGED) else Verdict.NOT_ENOUGH_DATA
    if DutyState.VIOLATED in found:
        verdict = Verdict.BREACHED
    return DutyScore(obligation, span, verdict, tuple(states), missing=missing)
