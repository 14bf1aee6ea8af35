"""Obligations in words: what is owed, on how many days or occasions it was kept, and which ones were not.

Days that share a state and a reason are told together. Refuses to judge (`slo.duties` does).
Called by `collector.texts.scorecard_rows`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

from collector.texts.figures import count_text
from collector.texts.scorecard_texts import instant_text, limit_text, minutes_text, percent_text
from slo.duties import DutyScore, DutyState, SubjectState
from slo.duty_gauge import GaugeMinutes
from slo.obligation import Duty, Obligation

__all__ = ["duty_cells", "duty_facts", "owed_text"]

_MOST_TOLD: Final = 8
_KEPT: Final = (DutyState.SATISFIED, DutyState.MET)
_BROKEN: Final = (DutyState.VIOLATED,)
_OPEN: Final = (DutyState.PENDING, DutyState.RUNNING)
_DAY: Final = timedelta(days=1)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def duty_cells(found: DutyScore) -> tuple[str, str]:
    """Short: the share that was kept, and how many were not."""
    noun = "day" if found.obligation.duty in (Duty.PERIODIC, Duty.RETENTION) else "time"
    if found.minutes is not None:
        good, bad = found.minutes.good.bit_count(), found.minutes.bad.bit_count()
        return _share(good, bad), f"{bad:,} min bad" if good or bad else ""
    kept, broken = _count(found, _KEPT), _count(found, _BROKEN)
    told = f"{count_text(broken, noun)} not kept".replace("no ", "0 ") if kept or broken else ""
    return _share(kept, broken), told


def _share(kept: int, broken: int) -> str:
    return percent_text(Fraction(kept, kept + broken)) if kept or broken else ""


def _count(found: DutyScore, states: Sequence[DutyState]) -> int:
    return sum(one.state in states for one in found.subjects)


def duty_facts(found: DutyScore) -> Iterator[tuple[str, str]]:
    """Everything about an obligation, under labels."""
    yield "owed", owed_text(found.obligation)
    if found.minutes is not None:
        yield "minutes", _gauge_text(found.minutes)
    else:
        yield "counted", _counts_text(found)
        for label, states in (("not kept", _BROKEN), ("open", _OPEN)):
            told = list(_stretches([one for one in found.subjects if one.state in states]))
            if told:
                more = f"; and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
                yield label, "; ".join(told[:_MOST_TOLD]) + more
    if found.missing:
        yield "missing", found.missing


def owed_text(duty: Obligation) -> str:
    """What is promised."""
    match duty.duty:
        case Duty.PERIODIC:
            return f"one for every day, seen good within {minutes_text(duty.deadline_minutes or 0)} of its end"
        case Duty.RETENTION:
            return f"on every day those of the {duty.keep_days} days before it"
        case Duty.DURATION:
            return f"each in less than {limit_text(duty.limit_ns or 0)}"
        case Duty.GAUGE:
            return f"in every minute one that is younger than {limit_text(duty.limit_ns or 0)}"


def _counts_text(found: DutyScore) -> str:
    counted = [f"{count} {state.value}" for state, count in found.counts.items() if count]
    return ", ".join(counted) if counted else "there was none"


def _gauge_text(minutes: GaugeMinutes) -> str:
    named = (
        ("good", minutes.good),
        ("bad", minutes.bad),
        ("unknown", minutes.unknown),
        ("left out", minutes.excluded),
        ("to come", minutes.future),
    )
    return ", ".join(
        f"{bits.bit_count():,} {name}" for name, bits in named if bits or name in ("good", "bad", "unknown")
    )


def _stretches(states: Sequence[SubjectState]) -> Iterator[str]:
    """Days in a row that share a reason as one; anything else by itself."""
    first = last = 0
    while first < len(states):
        while last + 1 < len(states) and _follows(states[last], states[last + 1]):
            last += 1
        begin, end = states[first], states[last]
        if first == last:
            due = "" if begin.due_at is None else f" (due {instant_text(begin.due_at)})"
            yield f"{begin.subject}: {begin.reason}{_value_text(begin)}{due}"
        else:
            is_one = all(one.reason == begin.reason for one in states[first : last + 1])
            reason = begin.reason if is_one else f"first {begin.reason}"
            yield f"{begin.subject} to {end.subject} ({last - first + 1} days): {reason}"
        first = last = last + 1


def _value_text(one: SubjectState) -> str:
    if one.value_ns is None or one.due_at is None or len(one.subject) == len("2026-10-31"):
        return ""
    return f", {limit_text(one.value_ns)}"


def _follows(before: SubjectState, after: SubjectState) -> bool:
    try:
        is_next = date.fromisoformat(after.subject) - date.fromisoformat(before.subject) == _DAY
    except ValueError:
        return False
    return is_next and _DATE.sub("", before.reason) == _DATE.sub("", after.reason)
