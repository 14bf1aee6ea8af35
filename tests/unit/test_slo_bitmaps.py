"""Rows of bits against the sets and counters that they stand for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from slo.bitmaps import at_least, between, count_planes, exceeds, indices, ones, runs

WIDTH = 70
ROWS = st.lists(st.integers(0, 2**WIDTH - 1), max_size=13)


def counts(rows: list[int]) -> Counter[int]:
    """How often each place is set."""
    return Counter(place for row in rows for place in range(WIDTH) if row >> place & 1)


def bits(places: list[int]) -> int:
    """The row with these places set."""
    return sum(1 << place for place in places)


@given(st.integers(0, 2**200))
def test_indices_are_the_places_of_the_bits_lowest_first(row: int) -> None:
    """None is left out, none is there twice."""
    assert list(indices(row)) == [place for place in range(row.bit_length()) if row >> place & 1]


@given(st.integers(0, 2**200))
def test_runs_put_together_are_the_row_and_no_two_of_them_touch(row: int) -> None:
    """So that a run is as long as the outage it stands for."""
    found = list(runs(row))
    assert sum(between(start, start + length) for start, length in found) == row
    assert all(length > 0 for _, length in found)
    assert all(one[0] + one[1] < other[0] for one, other in pairwise(found))


@given(ROWS, ROWS)
def test_planes_compare_the_counts_of_each_place(left: list[int], right: list[int]) -> None:
    """More in one than in the other, place by place, whatever the number of rows."""
    one, other = counts(left), counts(right)
    expected = [place for place in range(WIDTH) if one[place] > other[place]]
    assert exceeds(count_planes(left), count_planes(right)) == bits(expected)


@given(ROWS, st.integers(-1, 15))
def test_at_least_says_where_the_count_reaches_a_number(rows: list[int], least: int) -> None:
    """Zero or less is reached everywhere."""
    found = counts(rows)
    assert at_least(count_planes(rows), least, WIDTH) == bits([p for p in range(WIDTH) if found[p] >= least])


@given(st.integers(0, 90), st.integers(-5, 90))
def test_between_is_half_open_and_empty_the_wrong_way_round(start: int, stop: int) -> None:
    """As ranges are."""
    assert between(start, stop) == bits(list(range(start, stop)))
    assert ones(stop) == between(0, stop)
