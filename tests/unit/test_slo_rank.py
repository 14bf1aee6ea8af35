"""Rank tests: exact against every way in which the lots could have fallen, against scipy, and ties against the claim."""

from __future__ import annotations

from itertools import product
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped] # it ships no types

from slo.rank_test import matched_rank_chance, rank_sum_chance

LEVELS = 24


def brute_chance(sets: list[list[float]]) -> float:
    """By counting: the level of each value's rank, then the share of all choices of one member a set that sum up as high."""
    sets = [values for values in sets if len(values) > 1]
    aligned = [[value - median(values) for value in values] for values in sets]
    everything = [value for values in aligned for value in values]

    def level(value: float) -> int:
        below, equal = sum(other < value for other in everything), everything.count(value)
        return int((below + equal / 2) / len(everything) * LEVELS)

    levels = [[level(value) for value in values] for values in aligned]
    own = sum(values[0] for values in levels)
    sums = [sum(choice) for choice in product(*levels)]
    return sum(found >= own for found in sums) / len(sums)


@given(st.lists(st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=4), max_size=6))
def test_the_chance_is_the_share_of_all_lots_that_speak_as_loud(sets: list[list[float]]) -> None:
    """Sets of any size, with ties, counted in full."""
    assert matched_rank_chance(sets) == pytest.approx(brute_chance(sets), abs=1e-12)


@given(st.lists(st.lists(st.floats(-3, 3), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 2))
def test_over_all_places_of_the_candidate_no_chance_is_met_more_often_than_it_says(
    sets: list[list[float]], place: int
) -> None:
    """What makes the error rate certain: of all lots, at most the share p gets a chance of p or less."""
    chances = sorted(
        matched_rank_chance(
            [[values[at], *values[:at], *values[at + 1 :]] for values, at in zip(sets, lots, strict=True)]
        )
        for lots in product(range(3), repeat=len(sets))
    )
    at = len(chances) * (place + 1) // 4
    for rank in {1, at or 1, len(chances)}:
        assert sum(chance <= chances[rank - 1] for chance in chances) / len(chances) <= chances[rank - 1] + 1e-12


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.6])
def test_pairs_are_judged_as_by_wilcoxon(shift: float) -> None:
    """Scipy's signed ranks, but for the levels: the same within a fifth."""
    lot = Random(7)
    pairs = [[lot.gauss(shift, 1), lot.gauss(0, 1)] for _ in range(60)]
    theirs = stats.wilcoxon([own - other for own, other in pairs], alternative="greater").pvalue
    assert matched_rank_chance(pairs) == pytest.approx(theirs, rel=0.2)


@pytest.mark.parametrize("count", [60, 100])
def test_the_normal_curve_takes_over_smoothly(count: int) -> None:
    """At the most sets that are counted both agree, in the tail too."""
    lot = Random(count)
    for shift in (0.1, 0.3, 0.5):
        sets = [[lot.gauss(shift, 1), lot.gauss(0, 1), lot.expovariate(1)] for _ in range(count)]
        assert matched_rank_chance(sets, exact_below=0) == pytest.approx(matched_rank_chance(sets), rel=0.15)


@pytest.mark.parametrize(("n", "m"), [(20, 300), (60, 1000)])
def test_rank_sums_agree_with_scipy(n: int, m: int) -> None:
    """The same for two heaps."""
    lot = Random(n)
    sample, others = [lot.gauss(0.2, 1) for _ in range(n)], sorted(lot.gauss(0, 1) for _ in range(m))
    theirs = stats.mannwhitneyu(sample, others, alternative="greater", method="asymptotic").pvalue
    assert rank_sum_chance(sample, others) == pytest.approx(theirs, rel=1e-6)


def test_a_tie_never_helps_the_claim() -> None:
    """Equal times are no evidence, and a run without another beside it is none either."""
    assert matched_rank_chance([[0.0, 0.0]] * 30) == 1.0
    assert matched_rank_chance([[5.0]] * 30) == 1.0
    assert matched_rank_chance([]) == 1.0
    assert rank_sum_chance([], [1.0]) == 1.0
    assert rank_sum_chance([5.0] * 20, [5.0] * 50) > 0.5
