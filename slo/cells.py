"""Exact counts per check, probe and minute, and a whole span of them as bitmaps.

A check is what an objective measures, without its target: lines that differ only in target share it. A cell holds what the runs
of one minute's slots said; cells of one place add up, in any order, and that is all that verdicts rest on. A track is one
probe's cells over a span: the totals, and for each minute the probe's vote as a bit, so that a month of a fleet is a handful of
integers.

Refuses to know where cells are kept (`collector.scoring`) and what a minute means for several regions (`slo.slices`). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slo.window import Span

__all__ = ["Cell", "Measured", "Track", "track_of"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What the slots of one minute said about one check: good and bad events of conclusive runs, how many such `runs`.

    `inconclusive` counts slots that say nothing: runs that were our own fault, aborted and missed slots.
    """

    good: int = 0
    bad: int = 0
    inconclusive: int = 0
    runs: int = 0

    def __add__(self, other: Cell) -> Cell:
        """Both together; the order does not matter."""
        return Cell(
            self.good + other.good,
            self.bad + other.bad,
            self.inconclusive + other.inconclusive,
            self.runs + other.runs,
        )

    @property
    def total(self) -> int:
        """How many valid events there were."""
        return self.good + self.bad

    @property
    def is_bad(self) -> bool:
        """The vote of a minute: more bad events than good ones; a tie is good."""
        return self.bad > self.good

    @property
    def muted(self) -> Cell:
        """The same minute on a host that was not fit to measure: whatever was found says nothing, successes too."""
        return Cell(inconclusive=self.inconclusive + self.runs)


@dataclass(frozen=True, slots=True)
class Track:
    """One probe's cells of one check over a span.

    Bit i of a bitmap is the minute `span.from_minute + i`: the probe voted `good`, voted `bad`, or only had slots that say
    nothing (`mute`); no bit: it said nothing at all. `totals` is the sum of all cells.
    """

    region: str
    probe: str
    totals: Cell
    good: int
    bad: int
    mute: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured of one check in a span."""

    span: Span
    tracks: tuple[Track, ...] = ()

    @property
    def totals(self) -> Cell:
        """All probes together."""
        return sum((track.totals for track in self.tracks), Cell())

    def of_region(self, region: str) -> Measured:
        """The same, of one region alone."""
        return Measured(self.span, tuple(track for track in self.tracks if track.region == region))


def track_of(region: str, probe: str, cells: Mapping[int, Cell], span: Span) -> Track:
    """The track of a probe from its cells by minute; cells outside the span do not count."""
    totals = [0, 0, 0, 0]
    # Bytes, because a bit more in a long integer copies all of it: that is seconds for a month of a fleet.
    good, bad, mute = (bytearray(span.minutes // 8 + 1) for _ in range(3))
    for minute, cell in cells.items():
        if not span.from_minute <= minute < span.until_minute:
            continue
        for place, count in enumerate((cell.good, cell.bad, cell.inconclusive, cell.runs)):
            totals[place] += count
        row = mute if cell.total == 0 else bad if cell.is_bad else good
        if cell.total or cell.inconclusive:
            at, bit = divmod(minute - span.from_minute, 8)
            row[at] |= 1 << bit
    return Track(region, probe, Cell(*totals), *(int.from_bytes(row, "little") for row in (good, bad, mute)))
