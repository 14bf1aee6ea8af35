"""Whether times are longer than others, by their ranks alone: no assumption about how latencies are distributed.

For sets that were measured side by side, aligned ranks; for two heaps, Mann and Whitney's rank sum. A rank test asks whether
all of a distribution has moved, and does not see a slowdown of the slowest few in a hundred. Refuses to favour a claim: a tie
counts against it. Called by `slo.latency_test` and `slo.comparison`. Pure.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

__all__ = ["matched_rank_chance", "rank_sum_chance"]

_LEVELS: Final = 24
"""Ranks are told apart in so many levels: 1 / 24^2 less power, and counts that fit into small numbers."""
_MOST_EXACT: Final = 100
"""Up to so many sets all outcomes of the lots are counted; beyond, the normal curve."""


def matched_rank_chance(sets: Sequence[Sequence[float]], *, exact_below: float = 1.0) -> float:
    """How likely the first members of these sets are so high in rank, when a lot drew which member of each comes first.

    Each set is a round: its first member against the others. Every value is taken relative to the median of its set, all are
    ranked together, and the ranks of the first members summed; then the same sum for every other way in which the lots could have
    fallen. So the chance is right whatever the distribution is, and whatever disturbs all members of a set. 1 for no sets.
    Where the normal curve says `exact_below` or more, that is the answer: for a caller to whom large chances are all alike.

    Source: Hodges and Lehmann (1962), aligned ranks; with pairs it is Wilcoxon (1945) but for the levels.
    """
    scores = _scores([values for values in sets if len(values) > 1])
    if not scores:
        return 1.0
    own = sum(score[0] for score in scores)
    roughly = _normal_chance(scores, own)
    if roughly >= exact_below or len(scores) > _MOST_EXACT:
        return roughly
    return _exact_chance(scores, own)


def _scores(sets: Sequence[Sequence[float]]) -> list[list[int]]:
    """The level of each member's rank among all, aligned by the medians of their sets; equal values have equal levels."""
    aligned = []
    for values in sets:
        inner = sorted(values)
        half = len(inner) // 2
        centre = inner[half] if len(inner) % 2 else (inner[half - 1] + inner[half]) / 2
        aligned.append([value - centre for value in values])
    ordered = sorted([value for values in aligned for value in values])
    last = {value: at for at, value in enumerate(ordered)}
    ordered.reverse()
    first = {value: at for at, value in enumerate(ordered, start=1)}
    count = len(ordered)
    # Ranks are means of the first and the last place of what is equal.
    level = {value: int((last[value] + count - at + 1) * _LEVELS / 2 / count) for value, at in first.items()}
    return [[level[value] for value in values] for values in aligned]


def _normal_chance(scores: Sequence[Sequence[int]], own: int) -> float:
    """By the normal curve with a continuity correction of half a level."""
    mean = variance = 0.0
    for values in scores:
        total = squares = 0
        for value in values:
            total += value
            squares += value * value
        each = total / len(values)
        mean += each
        variance += squares / len(values) - each * each
    return _upper_tail((own - 0.5 - mean) / math.sqrt(variance)) if variance > 0 else 1.0


def _exact_chance(scores: Sequence[Sequence[int]], own: int) -> float:
    """P(sum >= own), with one member of each set drawn by lot: all ways counted.

    The counts for all sums stand side by side in one whole number, in fields wide enough for all ways together, so that a set
    is a few shifts and additions.
    """
    ways = math.prod(len(values) for values in scores)
    width = ways.bit_length() + 1
    least = 0
    counts = 1
    for values in scores:
        lowest = min(values)
        least += lowest
        counts = sum(counts << (width * (value - lowest)) for value in values)
    above = counts >> (width * max(0, own - least))
    # The sum of the digits of a number is what is left of it modulo the base less one.
    return (above % ((1 << width) - 1)) / ways


def rank_sum_chance(sample: Sequence[float], others: Sequence[float]) -> float:
    """How likely a `sample` so much above `others` is when both are drawn alike; 1 when either is empty.

    `others` must be in ascending order. Ties count half, and the spread is that without ties, which is the larger one.

    Source: Mann and Whitney (1947), normal approximation with a continuity correction.
    """
    n, m = len(sample), len(others)
    if not n or not m:
        return 1.0
    above = sum(bisect_left(others, value) + bisect_right(others, value) for value in sample) / 2
    spread = math.sqrt(n * m * (n + m + 1) / 12)
    return _upper_tail((above - n * m / 2 - 0.5) / spread)


def _upper_tail(deviation: float) -> float:
    return 0.5 * math.erfc(deviation / math.sqrt(2))
