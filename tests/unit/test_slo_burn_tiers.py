"""Which tiers make sense for a line, and when a count can no longer be chance."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.burn_tiers import (
    DEFAULT_PRESET,
    AlertTier,
    Counting,
    FireRule,
    Severity,
    TierFit,
    burn_rate_of,
    fit_tiers,
)
from slo.chance import MOST_CHANCE, fewest_beyond_chance, is_beyond_chance


def usable(allowed: str, counting: Counting = Counting.EVENTS) -> dict[str, TierFit]:
    """The tiers of the default preset that are used for a line, by severity."""
    fits = fit_tiers(DEFAULT_PRESET.tiers, Fraction(allowed), counting)
    return {fit.tier.severity.value: fit for fit in fits if fit.is_usable}


def test_the_default_tiers_are_those_of_the_design() -> None:
    """Windows of a twelfth, and burn rates 14.4, 6, 3 and 1 on thirty days."""
    rows = [(tier.severity, tier.long_minutes, burn_rate_of(tier)) for tier in DEFAULT_PRESET.tiers]
    assert rows == [
        (Severity.CRITICAL, 60, Fraction("14.4")),
        (Severity.HIGH, 6 * 60, 6),
        (Severity.MEDIUM, 24 * 60, 3),
        (Severity.REPORT, 72 * 60, 1),
    ]
    assert all(tier.long_minutes == 12 * tier.short_minutes for tier in DEFAULT_PRESET.tiers)
    assert [tier.severity.is_page for tier in DEFAULT_PRESET.tiers] == [True, True, False, False]


def test_a_burn_rate_is_said_on_the_period_that_it_is_told() -> None:
    """2 % of the budget of seven days in an hour is a burn of 3.36."""
    assert burn_rate_of(DEFAULT_PRESET.tiers[0], period_minutes=7 * 1440) == Fraction("3.36")


@pytest.mark.parametrize(
    ("allowed", "severities"),
    [
        ("0.1", ["medium", "report"]),
        ("0.05", ["high", "medium", "report"]),
        ("0.049", ["critical", "high", "medium", "report"]),
        ("0.01", ["critical", "high", "medium", "report"]),
        ("0.0005", ["critical", "high", "medium", "report"]),
        ("0.0001", []),
    ],
)
def test_a_line_gets_the_tiers_that_can_see_it(allowed: str, severities: list[str]) -> None:
    """What allows 5 % or more only those up to half of everything bad; what allows 1 in 10,000 events none."""
    assert list(usable(allowed)) == severities


def test_a_tier_that_can_never_fire_is_refused_in_words() -> None:
    """14.4 times the 10 % of a p90 line is more than everything, and six times is more than half."""
    critical, high, *_ = fit_tiers(DEFAULT_PRESET.tiers, Fraction(1, 10), Counting.EVENTS)
    assert critical.refused == "it can never fire: it wants more than 144 % bad"
    assert high.refused.startswith("it fires only when more than 60 % are bad")


def test_a_share_of_exactly_everything_can_never_be_exceeded() -> None:
    """The comparison is strict, so that B x b = 1 is refused too."""
    tier = AlertTier(Severity.HIGH, 100, 10, Fraction(1, 2))
    (fit,) = fit_tiers([tier], Fraction(1, 50), Counting.SLICES, period_minutes=10_000)
    assert fit.share == 1
    assert "never fire" in fit.refused


def test_the_strictest_lines_alert_on_two_bad_minutes_in_a_row() -> None:
    """One tier, the soonest, does it; the others would only say the same later."""
    fits = fit_tiers(DEFAULT_PRESET.tiers, Fraction(1, 10_000), Counting.SLICES)
    assert [fit.is_usable for fit in fits] == [True, False, False, False]
    assert fits[0].rule is FireRule.TWO_IN_A_ROW
    assert "two bad minutes in a row" in fits[1].refused


def test_only_pages_of_strict_lines_want_two_bad_minutes() -> None:
    """At 99.9 % one failure is a burn of 14.4 by itself; at 99 % it is not, and a report wakes nobody."""
    assert [fit.least_bad for fit in usable("0.001").values()] == [2, 2, 1, 1]
    assert [fit.least_bad for fit in usable("0.002").values()] == [1, 1, 1, 1]


@pytest.mark.parametrize("allowed", ["0", "1"])
def test_a_line_without_a_budget_has_no_burn_rate(allowed: str) -> None:
    """100 % targets are obligations."""
    with pytest.raises(ValueError, match="allowed share"):
        fit_tiers(DEFAULT_PRESET.tiers, Fraction(allowed), Counting.SLICES)


@pytest.mark.parametrize(
    ("total", "allowed", "fewest"), [(60, ".001", 3), (60, ".0005", 2), (1440, ".001", 7), (1440, ".0005", 5)]
)
def test_the_fewest_bad_events_that_are_no_chance(total: int, allowed: str, fewest: int) -> None:
    """The design's own counts for one event a minute."""
    assert fewest_beyond_chance(total, Fraction(allowed)) == fewest


def exact_tail(bad: int, total: int, allowed: Fraction) -> Fraction:
    """P(X >= bad), term by term."""
    terms = (comb(total, k) * allowed**k * (1 - allowed) ** (total - k) for k in range(bad, total + 1))
    return sum(terms, start=Fraction(0))


@given(
    st.integers(0, 150).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))),
    st.fractions(Fraction(1, 2000), Fraction(1, 5), max_denominator=2000),
)
def test_beyond_chance_is_decided_as_exact_sums_decide_it(counts: tuple[int, int], allowed: Fraction) -> None:
    """The shortcuts by a bound and by the beta function never change the answer."""
    bad, total = counts
    assert is_beyond_chance(bad, total, allowed) is (exact_tail(bad, total, allowed) <= MOST_CHANCE)


def test_a_tail_of_exactly_one_in_a_thousand_is_beyond_chance() -> None:
    """Floats cannot tell it from a little more; whole numbers can."""
    assert is_beyond_chance(1, 1, Fraction(1, 1000))
    assert not is_beyond_chance(1, 1, Fraction(1000001, 1000000000))


def test_some_counts_are_never_beyond_chance() -> None:
    """One event of a line that allows 5 % says nothing, bad as it may be."""
    assert fewest_beyond_chance(1, Fraction(1, 20)) is None
    assert fewest_beyond_chance(0, Fraction(1, 20)) is None
    assert fewest_beyond_chance(3, Fraction(1, 20)) == 3


def test_counts_of_millions_are_decided_at_once() -> None:
    """A month of requests is summed by no loop."""
    fewest = fewest_beyond_chance(100_000_000, Fraction(1, 1000))
    assert fewest is not None
    assert 100_900 < fewest < 101_100


@pytest.mark.parametrize(("bad", "total", "allowed"), [(2, 1, "0.1"), (-1, 1, "0.1"), (1, 1, "0"), (1, 1, "1")])
def test_impossible_counts_and_shares_are_refused(bad: int, total: int, allowed: str) -> None:
    """More bad events than events, and shares that no line can have."""
    with pytest.raises(ValueError, match=r"not a count|must lie in"):
        is_beyond_chance(bad, total, Fraction(allowed))
