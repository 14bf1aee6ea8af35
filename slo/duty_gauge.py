"""The age of the newest good thing, minute by minute: a recovery point that must stay young.

A good subject vouches for the minutes from its birth until its age reaches the limit, whenever it was looked at: a probe that
looks late charges the platform nothing. A minute that nothing vouches for is bad when looks surround it that are no further apart
than the limit, and unknown otherwise: what came and went between two looks far apart cannot be known.
Refuses subjects that are no instants. Called by `slo.duties`. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Final

from slo.evidence import Verdict
from slo.obligation import Observation
from slo.window import EPOCH, MINUTE, Span, minute_of

__all__ = ["GaugeMinutes", "judge_gauge"]

_LEAST_COVERAGE: Final = Fraction(99, 100)
_NANOSECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class GaugeMinutes:
    """Bit i is the minute `span.from_minute + i`; each is in exactly one of the five.

    `unread` counts observations whose subject is no instant and that therefore say nothing.
    """

    good: int
    bad: int
    unknown: int
    excluded: int
    future: int
    unread: int = 0

    @property
    def verdict(self) -> Verdict:
        """A promise for each minute: one bad minute breaks it, and an unknown one leaves it open."""
        if self.bad:
            return Verdict.BREACHED
        past = (self.good | self.unknown).bit_count()
        is_covered = past > 0 and self.good.bit_count() >= past * _LEAST_COVERAGE
        return Verdict.MET if is_covered and not self.unknown else Verdict.NOT_ENOUGH_DATA

    @property
    def missing(self) -> str:
        """What a verdict still needs."""
        if self.verdict is not Verdict.NOT_ENOUGH_DATA:
            return ""
        unread = f"; {self.unread} observations name no instant" if self.unread else ""
        return f"word about {self.unknown.bit_count()} minutes" + unread if self.unknown else "a minute that is over"


def judge_gauge(
    observations: Sequence[Observation], limit_ns: int, span: Span, now: datetime, *, excluded: int = 0
) -> GaugeMinutes:
    """The minutes of `span` at whose beginning the newest good subject was younger than `limit_ns`.

    A subject is the instant at which the thing was made, or a day, which counts from its end.
    """
    every = (1 << span.minutes) - 1
    excluded &= every
    past = _bits(span.from_minute, minute_of(now), span) & ~excluded
    births = [(one, _born_at(one.subject)) for one in observations]
    good = 0
    for one, born_at in births:
        if one.good and born_at is not None:
            good |= _young(born_at, limit_ns, span)
    good &= past
    bad = past & _watched([one.seen_at for one in observations], limit_ns, span) & ~good
    return GaugeMinutes(
        good=good,
        bad=bad,
        unknown=past & ~good & ~bad,
        excluded=excluded,
        future=every & ~past & ~excluded,
        unread=sum(born_at is None for _, born_at in births),
    )


def _born_at(subject: str) -> datetime | None:
    """The instant that a subject names. A day stands for its end: that is how new its data is."""
    try:
        if len(subject) == len("2026-10-31"):
            return datetime.combine(date.fromisoformat(subject) + timedelta(days=1), time(), UTC)
        instant = datetime.fromisoformat(subject)
    except ValueError:
        return None
    return instant if instant.tzinfo else None


def _young(born_at: datetime, limit_ns: int, span: Span) -> int:
    """The minutes at whose beginning a thing exists and is younger than the limit."""
    return _bits(_minute_from(born_at), _minute_from(born_at + _duration(limit_ns)), span)


def _watched(looked_at: Sequence[datetime], limit_ns: int, span: Span) -> int:
    """The minutes between two looks that are no further apart than the limit."""
    watched, in_order = 0, sorted(set(looked_at))
    for before_at, after_at in pairwise(in_order):
        if after_at - before_at <= _duration(limit_ns):
            watched |= _bits(minute_of(before_at), minute_of(after_at), span)
    return watched


def _duration(nanoseconds: int) -> timedelta:
    return timedelta(microseconds=nanoseconds // _NANOSECONDS)


def _minute_from(instant: datetime) -> int:
    """The first minute that begins at an instant or after it."""
    return -((EPOCH - instant) // MINUTE)


def _bits(from_minute: int, until_minute: int, span: Span) -> int:
    """The minutes [from, until) as far as they lie in the span."""
    start = max(from_minute, span.from_minute) - span.from_minute
    stop = min(until_minute, span.until_minute) - span.from_minute
    return (1 << stop) - (1 << start) if stop > start else 0
