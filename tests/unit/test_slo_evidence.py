"""The exact bounds and the four words of a verdict."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped] # it ships no types

from slo.evidence import Verdict, bad_rate_bounds, contract_holds, evidence_verdict, incomplete_beta

VECTORS = [
    # bad, total, allowed, design effect, verdict, low, high
    (0, 58, ".05", 1, Verdict.NOT_ENOUGH_DATA, 0.0, 0.0503393383),
    (0, 59, ".05", 1, Verdict.MET, 0.0, 0.0495076099),
    (2, 7, ".05", 1, Verdict.BREACHED, 0.0533755005, 0.658738564),
    (5, 100, ".05", 1, Verdict.AT_RISK, 0.0199055637, 0.102253378),
    (0, 299, ".01", 1, Verdict.MET, 0.0, 0.00996914679),
    (1, 472, ".01", 1, Verdict.AT_RISK, 0.000108666329, 0.0100107882),
    (0, 2995, ".001", 1, Verdict.MET, 0.0, 0.000999744421),
    (33, 43200, ".001", 1, Verdict.AT_RISK, 0.000559140815, 0.00102128241),
    (55, 43200, ".001", 1, Verdict.BREACHED, 0.00100465607, 0.0015935114),
    (5, 43200, ".001", 9, Verdict.MET, 7.69467888e-07, 0.000833708918),
]


@pytest.mark.parametrize(("bad", "total", "allowed", "effect", "verdict", "low", "high"), VECTORS)
def test_bounds_and_verdicts_agree_with_the_reference_values(
    bad: int, total: int, allowed: str, effect: int, verdict: Verdict, low: float, high: float
) -> None:
    """Nine digits of the bounds, and the word that follows from them, for values computed with scipy."""
    bounds = bad_rate_bounds(bad, total, design_effect=Fraction(effect))
    assert bounds.low == pytest.approx(low, rel=1e-8, abs=0)
    assert bounds.high == pytest.approx(high, rel=1e-8, abs=0)
    assert evidence_verdict(bad, total, Fraction(allowed), design_effect=Fraction(effect)) is verdict


def at_least(bad: int, total: int, rate: Fraction) -> Fraction:
    """P(X >= bad) of a binomial, in exact arithmetic."""
    return sum((comb(total, k) * rate**k * (1 - rate) ** (total - k) for k in range(bad, total + 1)), start=Fraction(0))


@given(st.integers(1, 40).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_bounds_are_where_the_exact_binomial_tails_reach_five_per_cent(counts: tuple[int, int]) -> None:
    """The definition of Clopper and Pearson, checked against sums of fractions instead of the beta function."""
    bad, total = counts
    bounds = bad_rate_bounds(bad, total)
    if bad:
        assert float(at_least(bad, total, Fraction(bounds.low))) == pytest.approx(0.05, rel=1e-9)
    else:
        assert bounds.low == 0
    if bad < total:
        assert float(1 - at_least(bad + 1, total, Fraction(bounds.high))) == pytest.approx(0.05, rel=1e-9)
    else:
        assert bounds.high == 1


@given(st.integers(1, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_observed_rate_lies_between_its_bounds(counts: tuple[int, int]) -> None:
    """No bound is ever on the wrong side of what was seen."""
    bad, total = counts
    bounds = bad_rate_bounds(bad, total)
    assert 0 <= bounds.low <= bad / total <= bounds.high <= 1


@given(st.floats(0.5, 500), st.floats(0.5, 500), st.floats(0.001, 0.999))
def test_the_incomplete_beta_function_is_its_own_mirror_image(a: float, b: float, x: float) -> None:
    """I_x(a, b) + I_(1-x)(b, a) = 1, whichever side the continued fraction is evaluated on."""
    assert incomplete_beta(a, b, x) + incomplete_beta(b, a, 1 - x) == pytest.approx(1, abs=1e-9)


@given(st.integers(0, 30), st.integers(1, 300), st.sampled_from(["1/10", "1/20", "1/100"]))
def test_a_failure_more_never_improves_a_verdict(bad: int, more: int, allowed: str) -> None:
    """Turning one good event bad never leads from `breached` or `at_risk` back towards `met`."""
    total = bad + more
    before = evidence_verdict(bad, total, Fraction(allowed))
    after = evidence_verdict(bad + 1, total, Fraction(allowed))
    assert after is not Verdict.MET or before is Verdict.MET
    assert before is not Verdict.BREACHED or after is Verdict.BREACHED


def test_no_events_are_not_enough_data() -> None:
    """Nothing measured is never a pass."""
    assert evidence_verdict(0, 0, Fraction(1, 20)) is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize(("bad", "total"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(bad: int, total: int) -> None:
    """More bad events than events, or none at all, have no bounds and keep no contract."""
    with pytest.raises(ValueError, match="not a count to judge"):
        bad_rate_bounds(bad, total)
    with pytest.raises(ValueError, match="not a count to judge"):
        contract_holds(bad, total, Fraction(1, 20))


def test_a_design_effect_below_one_is_refused() -> None:
    """Correlation can only make the evidence weaker."""
    with pytest.raises(ValueError, match="at least 1"):
        bad_rate_bounds(0, 5, design_effect=Fraction(1, 2))


@pytest.mark.parametrize(
    ("bad", "total", "strict", "holds"), [(1, 10, False, True), (1, 10, True, False), (0, 10, True, True)]
)
def test_a_count_at_the_border_is_decided_exactly(bad: int, total: int, *, strict: bool, holds: bool) -> None:
    """1 of 10 is within 1 - 0.9 although the floats say otherwise, and a strict line wants fewer."""
    assert contract_holds(bad, total, 1 - Fraction("0.9"), strict=strict) is holds


@given(
    st.integers(1, 100_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))),
    st.fractions(1, 40, max_denominator=7),
)
def test_the_bounds_agree_with_statsmodels(counts: tuple[int, int], effect: Fraction) -> None:
    """A second opinion: its two-sided 90 % interval has our one-sided 95 % bounds as ends, design effect or not."""
    bad, total = counts
    bounds = bad_rate_bounds(bad, total, design_effect=effect)
    low, high = proportion_confint(float(bad / effect), float(total / effect), alpha=0.1, method="beta")
    assert bounds.low == pytest.approx(low if bad else 0, rel=1e-7, abs=1e-300)
    assert bounds.high == pytest.approx(high if bad < total else 1, rel=1e-7)


@given(
    st.integers(1, 3000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))),
    st.sampled_from(["1/10", "1/20", "1/100", "1/1000"]),
    st.integers(1, 20),
)
def test_a_verdict_is_where_the_bounds_lie(counts: tuple[int, int], allowed: str, effect: int) -> None:
    """The short way, one value of the distribution, says what comparing the bounds says."""
    bounds = bad_rate_bounds(*counts, design_effect=Fraction(effect))
    verdict = evidence_verdict(*counts, Fraction(allowed), design_effect=Fraction(effect))
    assert (verdict is Verdict.BREACHED) == (bounds.low > Fraction(allowed))
    assert (verdict is Verdict.MET) == (bounds.high < Fraction(allowed))
