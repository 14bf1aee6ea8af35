"""How long the steps of a line took, over its window: histograms by stretch of time, step and region.

Times are those between the borders of steps that passed. A line may judge something else (its slowest answer, a page's own
mark, a span of steps); `note` says so, and the drawing is no verdict. Where more steps are stored than can be counted in a
second or two, evenly spread parts of the time are read, and `share` says which part. Runs in the process for heavy
questions.

Refuses a percentile of too few. Called by `collector.web.level_view`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Final

from collector.store import Store
from collector.store_views import StepTimes
from slo.objective import EventKind, EventTime, Objective
from slo.window import Span, minute_of

__all__ = ["Latency", "Percentiles", "latency_of"]

MOST_STRETCHES: Final = 96
MOST_STEPS: Final = 400_000
SHARES: Final = (Fraction(1, 2), Fraction(9, 10), Fraction(95, 100), Fraction(99, 100))
MINUTES_PER_HOUR: Final = 60
_NOTES: Final = {
    EventTime.STEP: "",
    EventTime.RESPONSE: "The line judges the slowest answer inside a step, which is never longer than the step drawn here.",
    EventTime.READY: "The line judges the page's own ready mark; drawn is the whole step that loads it.",
    EventTime.SPAN: "The line judges the time from one step to another; drawn is each step by itself.",
}


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Times in nanoseconds at each share, of so many; None where there are too few to say."""

    count: int
    at: Mapping[Fraction, int | None]


@dataclass(frozen=True, slots=True)
class Latency:
    """The times of a line's steps. `points`: by the first minute of each stretch; `by_region` over the whole window.

    `own` is the line's own share. `share` of the time was read.
    """

    limit_ns: int
    own: Fraction
    note: str
    steps: tuple[str, ...]
    points: tuple[tuple[int, Percentiles], ...]
    by_region: Mapping[str, Percentiles]
    region_points: Mapping[str, tuple[tuple[int, int | None], ...]]
    share: float


async def latency_of(
    store: Store, objective: Objective, span: Span, *, target: str, fleet: str, now: datetime
) -> Latency | None:
    """The times of a line in a span; None for a line that has no limit, or whose events have no steps."""
    if objective.limit_ns is None or objective.time is None or objective.selector.event is EventKind.SESSION:
        return None
    until = min(span.until_minute, minute_of(now) + 1)
    if until <= span.from_minute:
        return None
    known = await store.views.scenarios(fleet)
    chosen = [one for one in known if any(fnmatchcase(one, glob) for glob in objective.selector.scenarios)]
    stretches, share = await _stretches(store, Span(span.name, span.from_minute, until))
    times = await store.views.step_times(
        chosen, objective.selector.steps, target=target, fleet=fleet, stretches=stretches
    )
    own = objective.target_share
    shares = tuple(sorted({*SHARES, own}))
    regions = sorted({one.region for one in times})
    return Latency(
        limit_ns=objective.limit_ns,
        own=own,
        note=_NOTES[objective.time],
        steps=tuple(sorted({one.step for one in times})),
        points=tuple((stretch[0], percentiles_of(_in(times, stretch), shares)) for stretch in stretches),
        by_region={
            region: percentiles_of((one for one in times if one.region == region), shares) for region in regions
        },
        region_points={
            region: tuple(
                (
                    stretch[0],
                    percentiles_of((one for one in _in(times, stretch) if one.region == region), (own,)).at[own],
                )
                for stretch in stretches
            )
            for region in regions
        },
        share=share,
    )


async def _stretches(store: Store, span: Span) -> tuple[list[tuple[int, int]], float]:
    """Stretches of the span to read, and which share of it they are; whole ones where few enough steps are stored."""
    width = max(MINUTES_PER_HOUR, -(-span.minutes // MOST_STRETCHES))
    width = -(-width // MINUTES_PER_HOUR) * MINUTES_PER_HOUR
    starts = range(span.from_minute // width * width, span.until_minute, width)
    middle = Span("hour", max(span.from_minute, span.until_minute - 24 * MINUTES_PER_HOUR), span.until_minute)
    hour = Span("hour", middle.from_minute, min(middle.from_minute + MINUTES_PER_HOUR, middle.until_minute))
    in_hour = await store.views.step_count(hour.from_at, hour.until_at)
    expected = in_hour * span.minutes / MINUTES_PER_HOUR
    share = min(1.0, MOST_STEPS / expected) if expected else 1.0
    read = max(1, math.floor(width * share))
    found = [(max(start, span.from_minute), min(start + read, span.until_minute)) for start in starts]
    kept = [one for one in found if one[0] < one[1]]
    return kept, sum(until - since for since, until in kept) / span.minutes


def _in(times: Sequence[StepTimes], stretch: tuple[int, int]) -> Iterable[StepTimes]:
    return (one for one in times if one.from_minute == stretch[0])


def percentiles_of(times: Iterable[StepTimes], shares: Sequence[Fraction]) -> Percentiles:
    """The nearest ranks of all these together, by the lower bounds of their buckets."""
    buckets: Counter[int] = Counter()
    for one in times:
        buckets.update(one.buckets)
    count = buckets.total()
    return Percentiles(count, {share: _rank(buckets, count, share) for share in shares})


def _rank(buckets: Mapping[int, int], count: int, share: Fraction) -> int | None:
    """The nearest rank; None where it would only be the slowest of a few."""
    if count * (1 - share) < 1:
        return None
    rank, seen = math.ceil(share * count), 0
    for bound, number in sorted(buckets.items()):
        seen += number
        if seen >= rank:
            return bound
    return None
