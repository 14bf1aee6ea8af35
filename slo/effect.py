"""How many events stand for one independent one: outages come in runs of minutes, and the regions of one slot share its fate.

Refuses to judge (`slo.evidence` does, with the effect as an argument). Called by `slo.event_score`, and by whoever keeps the
effect of the trailing ninety days. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, reduce
from operator import or_
from typing import Final

from slo.bitmaps import runs
from slo.cells import Measured
from slo.objective import SliceRule
from slo.slices import decide_slices

__all__ = ["LEAST_OUTAGE_EFFECT", "NO_EFFECT", "DesignEffect", "clusters_of", "outage_effect"]

NO_EFFECT: Final = Fraction(1)
# Source: outages of five minutes on average whose lengths are geometric have sum L^2 / sum L = 2 x 5 - 1.
LEAST_OUTAGE_EFFECT: Final = Fraction(9)
_PLAIN_MAJORITY = SliceRule(min_conclusive=1)


@dataclass(frozen=True, slots=True)
class DesignEffect:
    """`cluster`: events per slot, all its regions together. `outages`: slots per independent one, 1 where all are."""

    cluster: Fraction = NO_EFFECT
    outages: Fraction = NO_EFFECT

    @property
    def events(self) -> Fraction:
        """Events per independent one."""
        return self.cluster * self.outages


def clusters_of(measured: Measured, regions: Sequence[str], excluded: Mapping[str, int]) -> int:
    """In how many minutes at least one probe of these regions had a conclusive slot outside maintenance."""
    votes = (
        (track.good | track.bad) & ~excluded.get(track.region, 0)
        for track in measured.tracks
        if track.region in regions
    )
    return reduce(or_, votes, 0).bit_count()


def outage_effect(measured: Measured, regions: Sequence[str], excluded: Mapping[str, int] | None = None) -> Fraction:
    """The sum of L^2 over the sum of L, for the outages of L minutes in a span; 1 without an outage.

    The greater of two: outages that most regions saw, and outages as each probe saw them. The second is there for the region
    that is down for a day while the others are well: its failures are one incident and not 1440.
    """
    left_out = excluded or {}
    probes = [
        (track.bad & ~left_out.get(track.region, 0), track.good & ~left_out.get(track.region, 0))
        for track in measured.tracks
        if track.region in regions
    ]
    seen_by_each = _weighted_length(probes)
    if len(probes) < 2:
        return seen_by_each
    fleet = decide_slices(measured, _PLAIN_MAJORITY, regions, excluded=left_out)
    return max(_weighted_length([(fleet.bad, fleet.good)]), seen_by_each)


def _outages(bad: int, good: int) -> Iterator[int]:
    """The bad minutes of each outage. Only a good minute ends one: minutes without a slot, or unknown ones, do not."""
    if not bad:
        return
    text = f"{good:b}"[::-1]
    length, before = 0, 0
    for start, minutes in runs(bad):
        if length and text.find("1", before, start) >= 0:
            yield length
            length = 0
        length += minutes
        before = start + minutes
    yield length


def _weighted_length(votes: Iterable[tuple[int, int]]) -> Fraction:
    total, squares = 0, 0
    for bad, good in votes:
        of_these = _sums_of_outages(bad, good)
        total, squares = total + of_these[0], squares + of_these[1]
    return Fraction(squares, total) if total else NO_EFFECT


@lru_cache(maxsize=256)
def _sums_of_outages(bad: int, good: int) -> tuple[int, int]:
    """The sum of the lengths and of their squares. Remembered, because a probe is asked for the fleet and for its region."""
    lengths = list(_outages(bad, good))
    return sum(lengths), sum(length * length for length in lengths)
