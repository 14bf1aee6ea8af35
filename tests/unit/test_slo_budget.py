"""Budgets as fractions, and the words for minutes."""

from __future__ import annotations

from fractions import Fraction

import pytest

from slo.budget import Budget, Unit, closed_verdict, mean_month_minutes, open_verdict, projected_bad
from slo.evidence import Verdict
from slo.slices import SliceCounts
from slo.window import month_span

THREE_NINES, HALF_MORE, FOUR_NINES = Fraction(1, 1000), Fraction(1, 2000), Fraction(1, 10000)


def closed(bad: int, unknown: int, eligible: int, allowed_bad: Fraction, *, strict: bool = False) -> Verdict:
    """The word for a closed window that asks for 99 % coverage."""
    counts = SliceCounts(good=eligible - bad - unknown, bad=bad, unknown=unknown)
    budget = Budget(allowed_bad * eligible, bad, Unit.MINUTES, strict)
    return closed_verdict(counts, budget, Fraction(99, 100) * eligible)


@pytest.mark.parametrize(
    ("bad", "eligible", "allowed_bad", "verdict"),
    [
        (43, 43_200, THREE_NINES, Verdict.MET),
        (44, 43_200, THREE_NINES, Verdict.BREACHED),
        (44, 44_640, THREE_NINES, Verdict.MET),
        (45, 44_640, THREE_NINES, Verdict.BREACHED),
        (40, 40_320, THREE_NINES, Verdict.MET),
        (41, 40_320, THREE_NINES, Verdict.BREACHED),
        (41, 41_760, THREE_NINES, Verdict.MET),
        (42, 41_760, THREE_NINES, Verdict.BREACHED),
        (21, 43_200, HALF_MORE, Verdict.MET),
        (22, 43_200, HALF_MORE, Verdict.BREACHED),
        (4, 43_200, FOUR_NINES, Verdict.MET),
        (5, 43_200, FOUR_NINES, Verdict.BREACHED),
    ],
)
def test_the_last_minute_of_a_budget_is_still_within_it(
    bad: int, eligible: int, allowed_bad: Fraction, verdict: Verdict
) -> None:
    """Met and breached are one minute apart, and the month's own length decides which minute."""
    assert closed(bad, 0, eligible, allowed_bad) is verdict
    assert Budget(allowed_bad * eligible, bad, Unit.MINUTES).is_spent is (verdict is Verdict.BREACHED)


@pytest.mark.parametrize(
    ("bad", "unknown", "verdict"),
    [
        (43, 0, Verdict.MET),
        (40, 3, Verdict.MET),
        (40, 4, Verdict.AT_RISK),
        (0, 43, Verdict.MET),
        (1, 43, Verdict.AT_RISK),
        (0, 44, Verdict.NOT_ENOUGH_DATA),
        (43, 43, Verdict.AT_RISK),
        (44, 43_156, Verdict.BREACHED),
        (0, 432, Verdict.NOT_ENOUGH_DATA),
        (0, 433, Verdict.NOT_ENOUGH_DATA),
        (0, 43_200, Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_unknown_minutes_are_judged_by_the_best_and_the_worst_case(bad: int, unknown: int, verdict: Verdict) -> None:
    """A breach needs none of them, a pass survives all of them, and in between the word says what could still be."""
    assert closed(bad, unknown, 43_200, THREE_NINES) is verdict


def test_too_little_coverage_is_not_enough_data_even_where_the_worst_case_would_pass() -> None:
    """A generous budget does not replace measuring."""
    assert closed(0, 10, 999, Fraction(1, 20)) is Verdict.NOT_ENOUGH_DATA
    assert closed(0, 10, 1000, Fraction(1, 20)) is Verdict.MET


def test_no_decided_minute_is_never_a_pass() -> None:
    """Not even where no coverage is asked for, or where all of the window was maintenance."""
    assert closed_verdict(SliceCounts(), Budget(Fraction(0), 0, Unit.MINUTES), Fraction(0)) is Verdict.NOT_ENOUGH_DATA
    few = SliceCounts(unknown=3)
    assert closed_verdict(few, Budget(Fraction(5), 0, Unit.MINUTES), Fraction(0)) is Verdict.NOT_ENOUGH_DATA
    assert open_verdict(few, Budget(Fraction(5), 0, Unit.MINUTES), Fraction(0)) is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize(
    ("bad", "over", "verdict"),
    [
        (0, 0, Verdict.NOT_ENOUGH_DATA),
        (0, 100, Verdict.MET),
        (1, 100, Verdict.AT_RISK),
        (1, 1000, Verdict.MET),
        (1, 999, Verdict.AT_RISK),
        (20, 30_000, Verdict.MET),
        (32, 43_199, Verdict.MET),
        (33, 43_199, Verdict.AT_RISK),
        (43, 43_199, Verdict.AT_RISK),
        (44, 44, Verdict.BREACHED),
        (44, 43_199, Verdict.BREACHED),
    ],
)
def test_an_open_window_has_the_budget_of_all_of_it_and_warns_before_it_is_gone(
    bad: int, over: int, verdict: Verdict
) -> None:
    """At risk with less than a quarter left (10.8 of 43.2), or when it will not last at the rate so far."""
    counts = SliceCounts(good=over - bad, bad=bad, future=43_200 - over)
    budget = Budget(THREE_NINES * 43_200, bad, Unit.MINUTES)
    assert open_verdict(counts, budget, Fraction(99, 100) * counts.due) is verdict


def test_the_projection_is_the_rate_so_far_for_the_minutes_to_come() -> None:
    """Unknown minutes are no part of the rate."""
    assert projected_bad(SliceCounts(good=90, bad=10, unknown=50, future=100)) == 20
    assert projected_bad(SliceCounts(future=100)) == 0


@pytest.mark.parametrize(
    ("month", "zone", "allowed"),
    [
        ("2026-02", "UTC", "40.32"),
        ("2028-02", "UTC", "41.76"),
        ("2026-09", "UTC", "43.2"),
        ("2026-10", "UTC", "44.64"),
        ("2026-03", "America/New_York", "44.58"),
        ("2026-11", "America/New_York", "43.26"),
        ("2026-03", "Europe/Berlin", "44.58"),
        ("2026-10", "Europe/Berlin", "44.7"),
    ],
)
def test_a_budget_is_made_of_the_real_minutes_of_its_month(month: str, zone: str, allowed: str) -> None:
    """28 to 31 days, and the hour that a change of clocks takes or gives."""
    assert THREE_NINES * month_span(month, zone).minutes == Fraction(allowed)


@pytest.mark.parametrize(("allowed_bad", "minutes"), [(THREE_NINES, "43.8"), (HALF_MORE, "21.9"), (FOUR_NINES, "4.38")])
def test_the_documents_own_minutes_are_those_of_a_mean_month(allowed_bad: Fraction, minutes: str) -> None:
    """365/12 days, exactly."""
    assert mean_month_minutes(allowed_bad) == Fraction(minutes)


@pytest.mark.parametrize(
    ("allowed", "bad", "is_strict", "is_spent", "whole"),
    [
        ("1", 1, False, False, 1),
        ("1", 1, True, True, 0),
        ("3/2", 1, True, False, 1),
        ("2", 1, True, False, 1),
        ("0", 0, True, False, 0),
        ("0", 0, False, False, 0),
        ("1/2", 1, False, True, 0),
    ],
)
def test_less_than_is_strict(allowed: str, bad: int, is_strict: bool, is_spent: bool, whole: int) -> None:
    """The allowed amount itself is too much for a strict line, and nothing bad never is."""
    budget = Budget(Fraction(allowed), bad, Unit.EVENTS, is_strict)
    assert (budget.is_spent, budget.whole) == (is_spent, whole)


def test_a_tenth_is_within_one_minus_nine_tenths() -> None:
    """In binary floats it is not."""
    assert not 1 / 10 <= 1 - 0.9
    assert Budget(10 * (1 - Fraction("0.9")), 1, Unit.EVENTS).covers(1)


def test_what_is_left_is_exact_and_goes_below_zero() -> None:
    """A budget that does not exist has no share."""
    assert Budget(Fraction("43.2"), 33, Unit.MINUTES).left == Fraction("10.2")
    assert Budget(Fraction(40), 50, Unit.MINUTES).left_share == Fraction(-1, 4)
    assert Budget(Fraction(0), 0, Unit.EVENTS).left_share is None
