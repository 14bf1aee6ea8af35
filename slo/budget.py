"""Error budgets as exact fractions, the words that follow from them for minutes, and the document's two readings of downtime.

A budget is the sum of b x E over the versions of a line that were in force, in minutes or in events. Counts are compared with it
as they are: 1/10 is within 1 - 0.9 here, which binary floats deny. Refuses: rounding before a comparison. Called by
`slo.slice_score` and `slo.event_score`. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from slo.evidence import Verdict
from slo.slices import SliceCounts
from slo.window import MINUTES_PER_DAY

__all__ = ["Budget", "Unit", "closed_verdict", "mean_month_minutes", "open_verdict", "projected_bad"]

# Source: the document's own 43.8 and 21.9 minutes are 99.9 % and 99.95 % of a mean month of 365/12 days.
_MEAN_MONTH_MINUTES: Final = Fraction(365, 12) * MINUTES_PER_DAY
_LOW: Final = Fraction(1, 4)


class Unit(StrEnum):
    """What a budget is counted in."""

    MINUTES = "minutes"
    EVENTS = "events"


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be bad, exactly, and how much was. `is_strict`: the allowed amount itself is too much."""

    allowed: Fraction
    bad: int
    unit: Unit
    is_strict: bool = False

    def covers(self, bad: int) -> bool:
        """True when so many bad ones are within the budget. None are always within it."""
        if self.is_strict and bad:
            return bad < self.allowed
        return bad <= self.allowed

    @property
    def whole(self) -> int:
        """The most bad ones that are within the budget."""
        return max(math.ceil(self.allowed) - 1, 0) if self.is_strict else math.floor(self.allowed)

    @property
    def is_spent(self) -> bool:
        """True when more was bad than is allowed."""
        return not self.covers(self.bad)

    @property
    def left(self) -> Fraction:
        """What is left of it; below 0 when it is overspent."""
        return self.allowed - self.bad

    @property
    def left_share(self) -> Fraction | None:
        """The same as a share of the whole budget; None: there is none to have a share of."""
        return self.left / self.allowed if self.allowed else None


def mean_month_minutes(allowed_bad: Fraction) -> Fraction:
    """The downtime that a share allows in a mean month of 365/12 days, as the document states it: 43.8 minutes for 1/1000."""
    return allowed_bad * _MEAN_MONTH_MINUTES


def closed_verdict(counts: SliceCounts, budget: Budget, least_conclusive: Fraction) -> Verdict:
    """The word for minutes that are all over: the best case decides a breach, the worst case a pass.

    `least_conclusive` is how many minutes must have been decided. Nothing decided is never a pass.
    """
    if budget.is_spent:
        return Verdict.BREACHED
    if not counts.conclusive or counts.conclusive < least_conclusive:
        return Verdict.NOT_ENOUGH_DATA
    if budget.covers(counts.bad + counts.unknown):
        return Verdict.MET
    return Verdict.AT_RISK if budget.covers(counts.unknown) else Verdict.NOT_ENOUGH_DATA


def open_verdict(counts: SliceCounts, budget: Budget, least_conclusive: Fraction) -> Verdict:
    """The word for a window that still runs, against the budget of the whole window.

    At risk: less than a quarter of the budget is left, or it will not last at the rate so far.
    """
    word = closed_verdict(counts, budget, least_conclusive)
    if word is Verdict.BREACHED or not counts.conclusive:
        return word
    if budget.left < budget.allowed * _LOW or projected_bad(counts) > budget.allowed:
        return Verdict.AT_RISK
    return word


def projected_bad(counts: SliceCounts) -> Fraction:
    """How many minutes will be bad when the window ends, if those to come are like those that were decided."""
    rate = Fraction(counts.bad, counts.conclusive) if counts.conclusive else Fraction(0)
    return counts.bad + rate * counts.future
