"""Nearest-rank percentiles and how many events they need."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.percentile import clean_events_needed, nearest_rank


def test_a_percentile_is_an_event_that_happened() -> None:
    """18 times 100, then 490 and 2000: the p95 is 490; interpolation would say 565.5 and turn a pass into a failure."""
    assert nearest_rank([100] * 18 + [490, 2000], Fraction(95, 100)) == 490


def test_a_failed_event_counts_as_slower_than_any_other() -> None:
    """Two failures of 20 push the p95 beyond every time; one does not."""
    assert nearest_rank([100] * 19 + [None], Fraction(95, 100)) == 100
    assert nearest_rank([100] * 18 + [None, None], Fraction(95, 100)) is None


def test_a_percentile_of_nothing_does_not_exist() -> None:
    """No events are an error of the caller and not a zero."""
    with pytest.raises(ValueError, match="does not exist"):
        nearest_rank([], Fraction(1, 2))


@pytest.mark.parametrize("share", [Fraction(0), Fraction(11, 10), Fraction(-1)])
def test_a_share_outside_its_range_is_refused(share: Fraction) -> None:
    """A percentile lies above 0 and up to 100 %."""
    with pytest.raises(ValueError, match="must lie in"):
        nearest_rank([1], share)


times = st.lists(st.one_of(st.none(), st.integers(0, 1000)), min_size=1, max_size=60)
shares = st.fractions(Fraction(1, 100), Fraction(1), max_denominator=100)


@given(times, shares, st.integers(0, 1000))
def test_the_percentile_is_below_a_limit_exactly_when_enough_events_are(
    times_ns: list[int | None], share: Fraction, limit_ns: int
) -> None:
    """The equivalence on which every threshold line rests."""
    below = sum(time_ns is not None and time_ns < limit_ns for time_ns in times_ns)
    percentile = nearest_rank(times_ns, share)
    assert (percentile is not None and percentile < limit_ns) == (Fraction(below, len(times_ns)) >= share)


@pytest.mark.parametrize(
    ("allowed", "needed"),
    [(".5", 5), (".1", 29), (".05", 59), (".01", 299), (".001", 2995), (".0005", 5990), (".0001", 29956)],
)
def test_the_number_of_clean_events_that_a_claim_needs(allowed: str, needed: int) -> None:
    """The smallest count at which all good means 95 % sure; one fewer is not enough."""
    assert clean_events_needed(Fraction(allowed)) == needed
    assert (1 - float(allowed)) ** needed <= 0.05 < (1 - float(allowed)) ** (needed - 1)


@pytest.mark.parametrize("allowed", [Fraction(0), Fraction(1), Fraction(2)])
def test_a_line_that_allows_nothing_or_everything_has_no_such_number(allowed: Fraction) -> None:
    """A target of 100 % cannot be claimed from samples."""
    with pytest.raises(ValueError, match="must lie in"):
        clean_events_needed(allowed)
