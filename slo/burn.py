"""When burn-rate alerts fired and resolved, minute by minute, in whole numbers.

At the end of each minute a tier looks at the minutes of its long window up to that one, and at those of its short window. It
fires while in both the share of bad is above burn rate x allowed share, strictly, and the guards agree; it says `no_data`
while fewer than half of the long window's minutes are conclusive. Stretches in which neither can be are stepped over.

Refuses: floats, minutes that may still change (`settled_minute`), and tiers that `slo.burn_tiers` refused. Called by the
reports and by whoever sends alerts. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from itertools import accumulate
from typing import Final

from slo.burn_tiers import Counting, FireRule, TierFit
from slo.chance import is_beyond_chance
from slo.window import Span, minute_of

__all__ = [
    "SETTLING",
    "Cause",
    "Episode",
    "EventHistory",
    "EventSums",
    "History",
    "SliceHistory",
    "TierBurn",
    "TierView",
    "alert_episodes",
    "burn_now",
    "settled_minute",
    "tier_views",
]

SETTLING: Final = timedelta(seconds=90)
"""How old the beginning of a minute must be before alerts read it, so that its last records are in."""

_NO_EVENTS: Final = (0, 0)
_DIGITS: Final = bytes.maketrans(b"01", b"\x00\x01")


class Cause(StrEnum):
    """Why an alert is on: the budget burns, or too little is known to tell."""

    BURN = "burn"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class SliceHistory:
    """Decided minutes: bit i is the minute `span.from_minute + i`; what is neither good, bad nor excluded is unknown.

    `span` holds the lead-in too: the minutes of the longest window before the first one that is asked about. Minutes before it
    count for nothing, as excluded ones do; windows are shorter there.
    """

    span: Span
    good: int
    bad: int
    excluded: int = 0


class EventSums:
    """Running sums of bad and of all events from a minute on, for a history that is moved on from minute to minute."""

    __slots__ = ("_bad", "_total", "from_minute")

    def __init__(self, from_minute: int) -> None:
        self.from_minute = from_minute
        self._bad = [0]
        self._total = [0]

    @property
    def until_minute(self) -> int:
        """The first minute that is not in it."""
        return self.from_minute + len(self._bad) - 1

    def forget(self, from_minute: int) -> None:
        """Leave out the minutes before this one; the sums that are left begin anywhere, and only their differences count."""
        gone = min(max(from_minute - self.from_minute, 0), len(self._bad) - 1)
        del self._bad[:gone], self._total[:gone]
        self.from_minute += gone

    def take(self, events: Mapping[int, tuple[int, int]], from_minute: int, until_minute: int) -> None:
        """The minutes of [from_minute, until_minute) are these, whatever they were; what comes after them is forgotten."""
        kept = from_minute - self.from_minute + 1
        if not 0 < kept <= len(self._bad):
            message = f"sums up to minute {self.until_minute} cannot go on at minute {from_minute}"
            raise ValueError(message)
        del self._bad[kept:], self._total[kept:]
        bads, totals = self._bad[-1], self._total[-1]
        for minute in range(from_minute, until_minute):
            good, bad = events.get(minute, _NO_EVENTS)
            bads += bad
            totals += good + bad
            self._bad.append(bads)
            self._total.append(totals)

    def of(self, span: Span) -> tuple[Sequence[int], Sequence[int]]:
        """The sums of bad and of all events before each minute of a span, and before its end; the span must be in it."""
        first, after = span.from_minute - self.from_minute, span.until_minute - self.from_minute + 1
        if first < 0 or after > len(self._bad):
            message = f"sums of minutes {self.from_minute} to {self.until_minute} do not hold {span}"
            raise ValueError(message)
        return self._bad[first:after], self._total[first:after]


@dataclass(frozen=True, slots=True)
class EventHistory:
    """Good and bad events by minute; minutes without events may be left out. `span` holds the lead-in too.

    `sums`: the same events summed up already, where somebody keeps them.
    """

    span: Span
    events: Mapping[int, tuple[int, int]]
    sums: EventSums | None = field(default=None, compare=False, repr=False)


History = SliceHistory | EventHistory


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert: on from the end of minute `fired_at_minute` to the end of `resolved_at_minute`; None: still on.

    The first is the minute whose result made the alert fire, the second the one whose result ended it.
    """

    fired_at_minute: int
    resolved_at_minute: int | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class TierBurn:
    """A tier at one minute: burn rates of both windows (None: nothing conclusive in it), and whether an alert is on."""

    fit: TierFit
    minute: int
    long_burn: Fraction | None
    short_burn: Fraction | None
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class TierView:
    """A usable tier over a span and at its end, as `alert_episodes` and `burn_now` say; no burn where no minute is settled."""

    fit: TierFit
    episodes: tuple[Episode, ...]
    burn: TierBurn | None


def settled_minute(now: datetime) -> int:
    """The newest minute that alerts read at `now`: the one that began 90 s ago or before."""
    return minute_of(now - SETTLING)


def alert_episodes(
    history: History, fits: Sequence[TierFit], span: Span, *, now: datetime | None = None
) -> tuple[tuple[TierFit, tuple[Episode, ...]], ...]:
    """For each usable tier the alerts that were on in `span`, in order.

    One that was on when `span` began keeps its own first minute, as far back as the history goes. With `now`, minutes that are
    not settled are not read. Raises ValueError when a tier was made for the other kind of line.
    """
    counted = _count(history)
    until_minute = min(span.until_minute, history.span.until_minute)
    if now is not None:
        until_minute = min(until_minute, settled_minute(now) + 1)
    watches = [_watch(counted, history, fit) for fit in fits if fit.is_usable]
    return tuple(
        (watch.fit, tuple(_episodes(watch, history.span, span.from_minute, until_minute))) for watch in watches
    )


def burn_now(history: History, fits: Sequence[TierFit], now: datetime) -> tuple[TierBurn, ...]:
    """Each usable tier at the newest settled minute of the history; empty when it holds none yet."""
    minute = min(settled_minute(now), history.span.until_minute - 1)
    index = minute - history.span.from_minute
    if index < 0:
        return ()
    counted = _count(history)
    return tuple(_burn_at(_watch(counted, history, fit), index, minute) for fit in fits if fit.is_usable)


def tier_views(history: History, fits: Sequence[TierFit], span: Span, now: datetime) -> tuple[TierView, ...]:
    """What `alert_episodes` (without `now`) and `burn_now` say of each usable tier, counted once."""
    counted = _count(history)
    until_minute = min(span.until_minute, history.span.until_minute)
    minute = min(settled_minute(now), history.span.until_minute - 1)
    index = minute - history.span.from_minute
    found = []
    for fit in fits:
        if fit.is_usable:
            watch = _watch(counted, history, fit)
            episodes = tuple(_episodes(watch, history.span, span.from_minute, until_minute))
            found.append(TierView(fit, episodes, _burn_at(watch, index, minute) if index >= 0 else None))
    return tuple(found)


def _burn_at(watch: _Watch, index: int, minute: int) -> TierBurn:
    fit = watch.fit
    return TierBurn(
        fit=fit,
        minute=minute,
        long_burn=watch.burn(index, fit.tier.long_minutes),
        short_burn=watch.burn(index, fit.tier.short_minutes),
        cause=watch.cause_at(index),
    )


def _watch(counted: _Counted, history: History, fit: TierFit) -> _Watch:
    counting = Counting.SLICES if isinstance(history, SliceHistory) else Counting.EVENTS
    if fit.counting is not counting:
        message = f"a tier for {fit.counting.value} cannot read a history of {counting.value}"
        raise ValueError(message)
    return _Watch(counted, fit)


def _episodes(watch: _Watch, whole: Span, from_minute: int, until_minute: int) -> Iterator[Episode]:
    """The stretches of minutes of `whole` with one and the same cause that are on at or after `from_minute`.

    What comes before is looked at only as far back as a stretch goes that is on there.
    """
    until = until_minute - whole.from_minute
    first = max(min(from_minute - whole.from_minute, until - 1), 0)
    fired, cause = first, None
    for index, after in watch.changes(first, until):
        if cause is not None:
            yield Episode(whole.from_minute + fired, whole.from_minute + index, cause)
        fired, cause = index, after
        if index == first and after is not None:
            fired = watch.began(index, after)
    if cause is not None:
        yield Episode(whole.from_minute + fired, None, cause)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Running sums: place i holds how many there were before the i-th minute, counted from anywhere."""

    bad: Sequence[int]
    conclusive: Sequence[int]
    unknown: Sequence[int]


def _count(history: History) -> _Counted:
    span = history.span
    match history:
        case SliceHistory():
            every = (1 << span.minutes) - 1
            known = history.good | history.bad
            unknown = every & ~known & ~history.excluded
            return _Counted(*(_sums_of_bits(bits, span.minutes) for bits in (history.bad, known, unknown)))
        case EventHistory():
            sums = history.sums
            if sums is None:
                sums = EventSums(span.from_minute)
                sums.take(history.events, span.from_minute, span.until_minute)
            return _Counted(*sums.of(span), [0] * (span.minutes + 1))


def _sums_of_bits(bits: int, width: int) -> Sequence[int]:
    if not bits:
        return [0] * (width + 1)
    digits = f"{bits:0{width}b}"[::-1].encode().translate(_DIGITS)
    return list(accumulate(digits, initial=0))


class _Watch:
    """One tier over one history, by places of minutes in it."""

    def __init__(self, counted: _Counted, fit: TierFit) -> None:
        self.fit = fit
        self._bad, self._conclusive, self._unknown = counted.bad, counted.conclusive, counted.unknown
        self._long, self._short = fit.tier.long_minutes, fit.tier.short_minutes
        self._part, self._whole = fit.share.numerator, fit.share.denominator
        self._least_bad = fit.least_bad
        self._in_a_row = fit.rule is FireRule.TWO_IN_A_ROW
        self._is_sparse = fit.counting is Counting.EVENTS

    def began(self, index: int, cause: Cause) -> int:
        """The first minute of the unbroken row up to this one at whose ends the cause is this."""
        while index and self.cause_at(index - 1) is cause:
            index -= 1
        return index

    def changes(self, first: int, until: int) -> Iterator[tuple[int, Cause | None]]:
        """The minutes of [first, until) at whose end the cause is another than before, and which; before them there is none."""
        cause: Cause | None = None
        step = max(1, self._long // 6)
        for start in range(first, until, step):
            stop = min(start + step, until)
            if self._is_quiet(start, stop):
                if cause is not None:
                    cause = None
                    yield start, None
                continue
            for index in range(start, stop):
                after = self.cause_at(index)
                if after is not cause:
                    cause = after
                    yield index, after

    def burn(self, index: int, minutes: int) -> Fraction | None:
        """The burn rate over the `minutes` up to a minute; None when nothing in them is conclusive."""
        start = max(index + 1 - minutes, 0)
        total = self._conclusive[index + 1] - self._conclusive[start]
        if total == 0:
            return None
        return Fraction(self._bad[index + 1] - self._bad[start], total) / self.fit.allowed_bad

    def cause_at(self, index: int) -> Cause | None:
        """Whether an alert is on at the end of a minute, and why."""
        after, start = index + 1, max(index + 1 - self._long, 0)
        total = self._conclusive[after] - self._conclusive[start]
        if self._unknown[after] - self._unknown[start] > total:
            return Cause.NO_DATA
        if self._in_a_row:
            return Cause.BURN if index and self._bad[after] - self._bad[index - 1] == 2 else None
        bad = self._bad[after] - self._bad[start]
        if bad < self._least_bad or bad * self._whole <= self._part * total:
            return None
        start = max(after - self._short, 0)
        short_bad = self._bad[after] - self._bad[start]
        if short_bad * self._whole <= self._part * (self._conclusive[after] - self._conclusive[start]):
            return None
        if self._is_sparse and not is_beyond_chance(bad, total, self.fit.allowed_bad):
            return None
        return Cause.BURN

    def _is_quiet(self, start: int, stop: int) -> bool:
        """Whether no minute of [start, stop) can have an alert on.

        All long windows of these minutes lie within the widest and hold the core, so that none has more bad or unknown minutes
        than the widest and none fewer conclusive ones than the core.
        """
        widest = max(start + 1 - self._long, 0)
        core = max(stop - self._long, 0)
        surely = self._conclusive[start + 1] - self._conclusive[core] if core <= start else 0
        if self._unknown[stop] - self._unknown[widest] > surely:
            return False
        back = 1 if self._in_a_row else self._short - 1
        if self._bad[stop] == self._bad[max(start - back, 0)]:
            return True
        most = self._bad[stop] - self._bad[widest]
        return not self._in_a_row and most * self._whole <= self._part * surely
