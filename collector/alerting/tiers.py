"""The tiers of every line at the newest settled minute: what has been on since when, read from the store.

Regions of a line of minutes are looked at alone too, by the rule of its second tier: an outage in one region shows so although
the minute is good, and wakes nobody. Refuses to remember (`collector.alerting.changes` compares with what is recorded). Called by
`collector.alerting.engine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from collector.alerting.model import AlertKind, Origin
from collector.burn_history import BurnHistories
from collector.score_reader import Reader
from slo.bitmaps import indices, ones
from slo.burn import Cause, Episode, EventHistory, History, SliceHistory, TierBurn, tier_views
from slo.burn_tiers import Severity, TierFit
from slo.objective import Objective, Silence
from slo.objective_set import ObjectiveSet
from slo.window import Span

__all__ = ["TierState", "is_own_line", "tier_states"]

_REGIONAL_TIER: Final = Severity.HIGH


@dataclass(frozen=True, slots=True)
class TierState:
    """One tier of one line, or of one region of it, as of the end of `minute`. `is_first`: no usable tier looks back less."""

    objective: Objective
    fit: TierFit
    region: str
    history: History
    episodes: tuple[Episode, ...]
    burn: TierBurn | None
    minute: int
    is_first: bool

    @property
    def name(self) -> tuple[str, Severity, str]:
        """What tells it from others: the line, the tier, the region."""
        return self.objective.name, self.fit.tier.severity, self.region

    @property
    def title(self) -> str:
        """The line as people call it."""
        return f"{self.objective.title} in {self.region}" if self.region else self.objective.title

    def severity(self, kind: AlertKind) -> Severity:
        """How urgent an alert of it is: one region wakes nobody, and blindness is told once, by the quickest tier.

        It is urgent when half of the whole window is dark; a fleet's first minutes are a window of their own.
        """
        if self.region:
            return Severity.REPORT
        if kind is AlertKind.NO_DATA:
            long_minutes = self.fit.tier.long_minutes
            is_dark = 2 * len(self.costs(kind, long_minutes)) >= long_minutes
            return Severity.HIGH if self.is_first and is_dark else Severity.REPORT
        return self.fit.tier.severity

    def origin(self, kind: AlertKind) -> Origin:
        """Whose trouble it is."""
        return Origin.FLEET if is_own_line(self.objective) else kind.origin

    def costs(self, kind: AlertKind, minutes: int) -> Mapping[int, int]:
        """The bad (or unknown) minutes of the last so many, each with how much was bad in it."""
        from_minute = max(self.minute + 1 - minutes, self.history.span.from_minute)
        return dict(_costs(self.history, kind, from_minute, self.minute + 1))

    def counts(self, minutes: int) -> tuple[int, int]:
        """How many were bad, of how many that are known, in the last so many minutes."""
        from_minute = max(self.minute + 1 - minutes, self.history.span.from_minute)
        match self.history:
            case SliceHistory(span, good, bad):
                window = ones(self.minute + 1 - from_minute) << (from_minute - span.from_minute)
                return (bad & window).bit_count(), ((good | bad) & window).bit_count()
            case EventHistory(_, events):
                found = [counts for at, counts in events.items() if from_minute <= at <= self.minute]
                return sum(bad for _, bad in found), sum(good + bad for good, bad in found)


def is_own_line(objective: Objective) -> bool:
    """Whether the line promises something of the fleet's own: being heard at all."""
    return objective.slices is not None and objective.slices.silence is Silence.BAD


def _costs(history: History, kind: AlertKind, from_minute: int, until_minute: int) -> Iterator[tuple[int, int]]:
    match history:
        case SliceHistory(span, good, bad, excluded):
            chosen = bad
            if kind is AlertKind.NO_DATA:
                chosen = ones(span.minutes) & ~(good | bad | excluded)
            shift = from_minute - span.from_minute
            for place in indices(chosen >> shift & ones(until_minute - from_minute)):
                yield from_minute + place, 1
        case EventHistory(_, events):
            for minute in sorted(events):
                if from_minute <= minute < until_minute and events[minute][1]:
                    yield minute, events[minute][1]


async def tier_states(reader: Reader, histories: BurnHistories, known: ObjectiveSet, span: Span) -> Sequence[TierState]:
    """Every usable tier of every line that is in force and whose past is scored, over `span`. Raises StoreError."""
    lines = [one for one in known.objectives_at(span.until_at) if one.alerts and reader.regions_of(one)]
    reader.incomplete = await reader.store.scores.incomplete({one.check for one in lines})
    found: list[TierState] = []
    for objective in lines:
        if objective.check not in reader.incomplete:
            found += await _states(reader, histories, objective, span)
    return found


async def _states(reader: Reader, histories: BurnHistories, objective: Objective, span: Span) -> list[TierState]:
    fits = tuple(fit for fit in histories.fits(objective) if fit.is_usable)
    if not fits:
        return []
    history = await histories.history(objective, span, fits)
    found = list(_decided(reader, objective, "", history, fits, span))
    regions = reader.regions_of(objective)
    slow = tuple(fit for fit in fits if fit.tier.severity is _REGIONAL_TIER)
    if objective.slices is not None and len(regions) > 1 and slow and not is_own_line(objective):
        for region in regions:
            own = await histories.history(objective, span, slow, region=region)
            found += _decided(reader, objective, region, own, slow, span)
    return found


def _decided(
    reader: Reader, objective: Objective, region: str, history: History, fits: tuple[TierFit, ...], span: Span
) -> Iterator[TierState]:
    minute = span.until_minute - 1
    quickest = min(fit.tier.long_minutes for fit in fits)
    for view in tier_views(history, fits, span, reader.asked.now):
        kept = tuple(one for one in view.episodes if not (region and one.cause is Cause.NO_DATA))
        is_first = view.fit.tier.long_minutes == quickest
        yield TierState(objective, view.fit, region, history, kept, view.burn, minute, is_first)
