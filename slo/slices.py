"""Each minute of a span as one of five: good, bad, unknown, excluded, future, by the votes of regions.

A probe votes once a minute, a region is what most of its probes say, and the minute is what most conclusive regions say; a
tie is good both times. Too few conclusive regions make the minute unknown, which is neither up nor down. A line decided by
one region alone takes that region's word: so it is with a region's own objective, and with a fleet of one region.

Refuses: votes of regions that the line does not name, votes that lie in the future, and charging maintenance to anybody.
Called by `slo.slice_score` and `slo.effect`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import and_, or_

from slo.bitmaps import at_least, between, count_planes, exceeds, ones
from slo.cells import Measured, Track
from slo.objective import Quorum, Silence, SliceRule

__all__ = ["SliceCounts", "Slices", "decide_slices", "left_out_everywhere"]


@dataclass(frozen=True, slots=True)
class SliceCounts:
    """How many minutes of each state; `split` of the good ones were a tie, `suspect` of the unknown ones hold a failure."""

    good: int = 0
    bad: int = 0
    unknown: int = 0
    excluded: int = 0
    future: int = 0
    split: int = 0
    suspect: int = 0

    def __add__(self, other: SliceCounts) -> SliceCounts:
        """Two spans together."""
        return SliceCounts(
            self.good + other.good,
            self.bad + other.bad,
            self.unknown + other.unknown,
            self.excluded + other.excluded,
            self.future + other.future,
            self.split + other.split,
            self.suspect + other.suspect,
        )

    @property
    def conclusive(self) -> int:
        """Minutes that were decided."""
        return self.good + self.bad

    @property
    def due(self) -> int:
        """Minutes that count and are over."""
        return self.good + self.bad + self.unknown

    @property
    def eligible(self) -> int:
        """Minutes that the budget is made of: all but the excluded ones, those to come included."""
        return self.due + self.future

    @property
    def coverage(self) -> Fraction | None:
        """Which share of the minutes due was decided; None: none was due."""
        return Fraction(self.conclusive, self.due) if self.due else None


@dataclass(frozen=True, slots=True)
class Slices:
    """A decided span: bit i is its i-th minute, and each minute is in exactly one of the first five bitmaps.

    `split` is a part of `good`: as many regions for as against. `suspect` is a part of `unknown`: somebody saw a failure.
    """

    good: int
    bad: int
    unknown: int
    excluded: int
    future: int
    split: int
    suspect: int

    @property
    def counts(self) -> SliceCounts:
        """How many minutes of each."""
        return SliceCounts(
            self.good.bit_count(),
            self.bad.bit_count(),
            self.unknown.bit_count(),
            self.excluded.bit_count(),
            self.future.bit_count(),
            self.split.bit_count(),
            self.suspect.bit_count(),
        )


@dataclass(frozen=True, slots=True)
class _Votes:
    """Bitmaps of one region: it voted good, it voted bad, at least one of its probes voted good."""

    good: int
    bad: int
    any_good: int


def left_out_everywhere(excluded: Mapping[str, int], regions: Sequence[str]) -> int:
    """The minutes that are left out in every one of the regions."""
    return reduce(and_, (excluded.get(region, 0) for region in regions))


def decide_slices(
    measured: Measured,
    rule: SliceRule,
    regions: Sequence[str],
    *,
    excluded: Mapping[str, int] | None = None,
    now_minute: int | None = None,
) -> Slices:
    """What each minute of `measured.span` was, as these regions saw it.

    `excluded` says by region which minutes are maintenance there: that region has no vote in them, and where none has one the
    minute is excluded. `now_minute` is the first minute that cannot be judged yet; None: all can. A single region decides
    alone, whatever `rule.min_conclusive` says. Raises ValueError without regions.
    """
    distinct = tuple(dict.fromkeys(regions))
    if not distinct:
        message = "a minute cannot be decided without regions; name at least one"
        raise ValueError(message)
    left_out = {region: (excluded or {}).get(region, 0) for region in distinct}
    span = measured.span
    every = ones(span.minutes)
    maintenance = left_out_everywhere(left_out, distinct) & every
    future = 0 if now_minute is None else between(max(now_minute - span.from_minute, 0), span.minutes) & ~maintenance
    due = every & ~maintenance & ~future
    ballots = [_region_votes(measured.tracks, region, due & ~left_out[region]) for region in distinct]
    least = 1 if len(distinct) == 1 else rule.min_conclusive
    good, bad, split = _decide(ballots, rule, least, due)
    unknown = due & ~good & ~bad
    failures = reduce(or_, (votes.bad for votes in ballots))
    return Slices(good, bad, unknown, maintenance, future, split, unknown & failures)


def _region_votes(tracks: Sequence[Track], region: str, counted: int) -> _Votes:
    """What most of a region's probes said, minute by minute; one probe is its region."""
    own = [track for track in tracks if track.region == region]
    any_good = reduce(or_, (track.good for track in own), 0) & counted
    any_bad = reduce(or_, (track.bad for track in own), 0) & counted
    if len(own) > 1:
        bad = exceeds(count_planes(track.bad for track in own), count_planes(track.good for track in own)) & counted
        return _Votes((any_good | any_bad) & ~bad, bad, any_good)
    return _Votes(any_good, any_bad & ~any_good, any_good)


def _decide(ballots: Sequence[_Votes], rule: SliceRule, least: int, due: int) -> tuple[int, int, int]:
    """The good, the bad and the split minutes among those due."""
    width = due.bit_length()
    for_it = count_planes(votes.good for votes in ballots)
    against = count_planes(votes.bad for votes in ballots)
    heard = reduce(or_, (votes.good | votes.bad for votes in ballots))
    quorate = at_least(count_planes(votes.good | votes.bad for votes in ballots), least, width) & heard
    # Where even silence is bad, a failure that too few regions confirm cannot be less than that.
    unheard = due if rule.silence is Silence.BAD else 0
    match rule.quorum:
        case Quorum.MAJORITY:
            unheard &= ~reduce(or_, (votes.good for votes in ballots))
            bad = exceeds(against, for_it) & quorate
            good = quorate & ~bad
            return good, bad | unheard, good & ~exceeds(for_it, against)
        case Quorum.ANY:
            good = reduce(or_, (votes.any_good for votes in ballots))
            return good, (quorate | unheard) & ~good, 0
