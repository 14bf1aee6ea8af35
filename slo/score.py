"""What a window says about one line: the verdict, and everything that a report prints beside it, as data.

`slo.scoring` fills these in. Refuses: text layout (the console's), and any figure without the counts that it comes from. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from slo.bitmaps import indices
from slo.budget import Budget
from slo.cells import Cell, Measured
from slo.effect import DesignEffect
from slo.evidence import Bounds, Verdict
from slo.maintenance import NO_EXCLUSIONS, Exclusions
from slo.objective import Objective
from slo.slices import SliceCounts, Slices
from slo.window import Span, minute_of

__all__ = [
    "FINAL_AFTER",
    "EventDetail",
    "Frame",
    "Missing",
    "Phase",
    "Reading",
    "RegionScore",
    "Score",
    "Sli",
    "SliceDetail",
]

FINAL_AFTER: Final = timedelta(hours=24)


class Phase(StrEnum):
    """How far the window is: it still runs; it is over and late records may come; or nothing but a revision changes it.

    A breach of minutes is final at once, because the budget of the whole window is spent whatever comes. A rolling window is
    never final: it moves on.
    """

    PROVISIONAL = "provisional"
    CLOSED = "closed"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Frame:
    """Which window is scored, and as of when. `regions` are the fleet's, for lines that name none.

    `settle_minutes`: how long the slots of a minute may take to report; younger minutes are still to come.
    """

    span: Span
    now: datetime
    regions: tuple[str, ...]
    is_rolling: bool = False
    settle_minutes: int = 0

    @property
    def now_minute(self) -> int:
        """The first minute that cannot be judged yet."""
        return minute_of(self.now) - self.settle_minutes

    @property
    def is_open(self) -> bool:
        """True while minutes of the window are still to come."""
        return self.now_minute < self.span.until_minute

    @property
    def phase(self) -> Phase:
        """How far the window is."""
        if self.is_open:
            return Phase.PROVISIONAL
        is_final = self.now >= self.span.until_at + FINAL_AFTER and not self.is_rolling
        return Phase.FINAL if is_final else Phase.CLOSED


@dataclass(frozen=True, slots=True)
class Reading:
    """One version of the line and what was measured of its check in the piece of the window in which it was in force.

    `measured.span` is that piece, and so are the bits of `exclusions`. `set_aside` is what was measured in the excluded minutes
    of the excluded regions: a line of events needs it, because tracks keep its totals for the whole span only.
    """

    objective: Objective
    measured: Measured
    exclusions: Exclusions = NO_EXCLUSIONS
    set_aside: Measured | None = None

    @property
    def excluded(self) -> Mapping[str, int]:
        """By region the minutes that are left out."""
        return self.exclusions.by_region

    def regions(self, frame: Frame) -> tuple[str, ...]:
        """The regions that this version asks."""
        return self.objective.regions or frame.regions


@dataclass(frozen=True, slots=True)
class Sli:
    """A share of good, and between what it lies.

    Of minutes: the worst and the best that the unknown ones can have been, exactly. Of events: the exact 95 % bounds.
    """

    point: Fraction
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Missing:
    """What a line lacks: so many more clean minutes or events, and how many minutes that takes.

    Events come at the rate of the window so far; of minutes every one to come is taken as decided. `minutes` is None where that
    does not help: nothing arrives at all, or only late records can tell.
    """

    amount: int
    minutes: int | None


@dataclass(frozen=True, slots=True)
class SliceDetail:
    """What only a line of minutes has. `pieces` are its decided spans, for whoever wants to see the minutes.

    `longest_bad`: most bad minutes in a row. `projected_bad`: how many will be bad at the end at the rate so far.
    """

    counts: SliceCounts
    pieces: tuple[tuple[Span, Slices], ...]
    longest_bad: int
    projected_bad: Fraction
    mean_month_minutes: Fraction
    is_gap_breach: bool

    @property
    def bad_minutes(self) -> tuple[int, ...]:
        """The minutes that cost budget, since the epoch."""
        return tuple(span.from_minute + index for span, slices in self.pieces for index in indices(slices.bad))


@dataclass(frozen=True, slots=True)
class EventDetail:
    """What only a line of events has. `clusters`: slots with all their regions. `is_within`: the plain count rule."""

    cell: Cell
    clusters: int
    effect: DesignEffect
    bounds: Bounds | None
    is_within: bool | None


@dataclass(frozen=True, slots=True)
class RegionScore:
    """The same line as one region alone saw it.

    `conclusive` of `asked` minutes were decided there: where that is less than 999 of 1000 (`is_conclusive_enough`), too much
    was inconclusive or missing, and an outage could hide behind it.
    """

    region: str
    verdict: Verdict
    budget: Budget
    good: int
    bad: int
    conclusive: int
    asked: int
    is_conclusive_enough: bool

    @property
    def sli(self) -> Fraction | None:
        """The share of good ones; None: nothing was measured."""
        total = self.good + self.bad
        return Fraction(self.good, total) if total else None


@dataclass(frozen=True, slots=True)
class Score:
    """One line in one window.

    `objective` is the newest version that was in force, `versions` all that were. `sli_with_maintenance` is what the SLI would
    be if no minute were left out; None where none was. `what_if` is the share of bad ones that was tried instead of the line's
    own: such a score is no verdict on anybody.
    """

    objective: Objective
    versions: tuple[Objective, ...]
    span: Span
    phase: Phase
    verdict: Verdict
    budget: Budget
    sli: Sli | None
    sli_with_maintenance: Sli | None
    coverage: Fraction | None
    missing: Missing | None
    regions: tuple[RegionScore, ...]
    detail: SliceDetail | EventDetail
    notes: tuple[str, ...]
    what_if: Fraction | None = None
