"""Whether two heaps of results differ by more than chance, for a person who compares two releases or two regions.

Results of one hour share its fate, so an hour counts once, whatever is in it: its median time, its share of slow ones, its
share of failures. The hours of both sides are compared by their ranks. What is looked at together shares one risk (Bonferroni),
so that of many steps none stands out by chance. Refuses to say "equal": it says "no difference was found", and "too few hours"
where none could have been. Called by the page `Compare`. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from statistics import median
from typing import Final

from slo.percentile import nearest_rank
from slo.rank_test import rank_sum_chance

__all__ = ["LEAST_HOURS", "RISK", "Finding", "Side", "StepComparison", "compare_shares", "compare_steps"]

LEAST_HOURS: Final = 8
"""With fewer hours a side, the normal curve of the rank test is a guess."""
RISK: Final = 0.05
"""The chance that anything at all is called different where nothing is."""
MEDIAN: Final = Fraction(1, 2)
SLOW: Final = Fraction(95, 100)


class Finding(StrEnum):
    """What is said of the second side against the first."""

    MORE = "more"
    LESS = "less"
    NOT_FOUND = "not_found"
    TOO_FEW = "too_few"


@dataclass(frozen=True, slots=True)
class Side:
    """The times of one side, in nanoseconds at nearest rank; None where too few are there to say."""

    count: int
    hours: int
    median_ns: int | None
    p95_ns: int | None


@dataclass(frozen=True, slots=True)
class StepComparison:
    """One step. `middle` is about typical times, `tail` about the share of times that are slower than 95 % of all."""

    step: str
    first: Side
    second: Side
    middle: Finding
    tail: Finding


def compare_steps(
    first: Mapping[str, Sequence[tuple[int, int]]], second: Mapping[str, Sequence[tuple[int, int]]], *, looks: int = 0
) -> tuple[StepComparison, ...]:
    """Every step that either side has, by name; times are (hour, nanoseconds). `looks` more share the risk."""
    names = sorted({*first, *second})
    share = RISK / max(1, 2 * len(names) + looks)
    return tuple(_compared(name, first.get(name, ()), second.get(name, ()), share) for name in names)


def compare_shares(
    first: Mapping[int, tuple[int, int]], second: Mapping[int, tuple[int, int]], *, looks: int = 1
) -> Finding:
    """Whether the share of bad ones differs: by hour (bad, of how many). One of `looks` that share the risk."""
    heaps = [sorted(bad / total for bad, total in side.values() if total) for side in (first, second)]
    return _finding(heaps[0], heaps[1], RISK / max(1, looks))


def _compared(
    step: str, first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]], risk: float
) -> StepComparison:
    both = [time_ns for _, time_ns in (*first, *second)]
    slow_ns = nearest_rank(both, SLOW) or 0
    middles: list[list[float]] = [
        sorted(median(times) for times in _by_hour(side).values()) for side in (first, second)
    ]
    tails = [
        sorted(sum(time_ns > slow_ns for time_ns in times) / len(times) for times in _by_hour(side).values())
        for side in (first, second)
    ]
    return StepComparison(
        step, _side(first), _side(second), _finding(middles[0], middles[1], risk), _finding(tails[0], tails[1], risk)
    )


def _finding(first: Sequence[float], second: Sequence[float], risk: float) -> Finding:
    """Both in ascending order."""
    if min(len(first), len(second)) < LEAST_HOURS:
        return Finding.TOO_FEW
    if rank_sum_chance(second, first) * 2 <= risk:
        return Finding.MORE
    return Finding.LESS if rank_sum_chance(first, second) * 2 <= risk else Finding.NOT_FOUND


def _side(times: Sequence[tuple[int, int]]) -> Side:
    found = [time_ns for _, time_ns in times]
    return Side(len(found), len({hour for hour, _ in times}), _at(found, MEDIAN), _at(found, SLOW))


def _at(times: Sequence[int], share: Fraction) -> int | None:
    """None where it would only be the slowest of a few."""
    return nearest_rank(times, share) if len(times) * (1 - share) >= 1 else None


def _by_hour(times: Sequence[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for hour, time_ns in times:
        found[hour].append(time_ns)
    return found
