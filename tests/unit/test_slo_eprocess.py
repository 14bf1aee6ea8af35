"""Evidence that may be looked at after every event."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.eprocess import LN_DECIDED, e_values, watch
from slo.evidence import Verdict, incomplete_beta, log_incomplete_beta

LIMIT = Fraction(1, 20)


@pytest.mark.parametrize(
    ("bad", "total", "allowed", "met", "breached"),
    [
        (0, 100, ".05", 4.192745, -4.205813),
        (12, 100, ".05", -2.802642, 1.389392),
        (20, 43200, ".001", 6.144645, -7.774277),
    ],
)
def test_the_evidence_agrees_with_the_reference_values(
    bad: int, total: int, allowed: str, met: float, breached: float
) -> None:
    """Six digits after the point, for values of the design."""
    values = e_values(bad, total, Fraction(allowed))
    assert values.ln_met == pytest.approx(met, abs=1e-6)
    assert values.ln_breached == pytest.approx(breached, abs=1e-6)


def test_no_event_is_no_evidence() -> None:
    """Both processes begin at 1."""
    assert e_values(0, 0, LIMIT).ln_met == e_values(0, 0, LIMIT).ln_breached == 0


@given(st.integers(0, 40).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_next_event_at_the_limit_changes_nothing_on_average(counts: tuple[int, int]) -> None:
    """What makes it an e-process: for a line exactly at its limit the mean after one event more is the value before it."""
    bad, total = counts
    now, good, worse = e_values(bad, total, LIMIT), e_values(bad, total + 1, LIMIT), e_values(bad + 1, total + 1, LIMIT)
    share = float(LIMIT)
    for name in ("ln_met", "ln_breached"):
        after = share * math.exp(getattr(worse, name)) + (1 - share) * math.exp(getattr(good, name))
        assert after == pytest.approx(math.exp(getattr(now, name)), rel=1e-9)


def test_lines_far_off_their_limit_have_finite_evidence() -> None:
    """Where a probability is smaller than any float its logarithm is not."""
    values = e_values(3000, 43200, Fraction(1, 1000))
    assert values.ln_breached > 1000
    assert values.verdict is Verdict.BREACHED
    clean = e_values(0, 10_000_000, Fraction(1, 1000))
    assert clean.verdict is Verdict.MET
    assert math.isfinite(clean.ln_breached)


@given(st.floats(0.5, 200), st.floats(0.5, 200), st.floats(0.001, 0.999))
def test_the_logarithm_is_that_of_the_incomplete_beta_function(a: float, b: float, x: float) -> None:
    """Wherever the function itself can be written down."""
    plain = incomplete_beta(a, b, x)
    if 1e-290 < plain < 1:
        assert log_incomplete_beta(a, b, x) == pytest.approx(math.log(plain), rel=1e-9, abs=1e-12)


def test_a_watcher_stops_at_the_first_answer() -> None:
    """Clean events meet a 95 % line, bad ones break it at once, and a line at its limit stays open."""
    verdict, after = watch([True] * 500, LIMIT)
    assert verdict is Verdict.MET
    assert e_values(0, after, LIMIT).ln_met >= LN_DECIDED > e_values(0, after - 1, LIMIT).ln_met
    assert watch([False] * 9, LIMIT) == (Verdict.BREACHED, 2)
    assert watch(([True] * 19 + [False]) * 20, LIMIT) == (Verdict.NOT_ENOUGH_DATA, 400)
    assert watch([], LIMIT) == (Verdict.NOT_ENOUGH_DATA, 0)


def test_watching_makes_no_more_false_claims_than_promised() -> None:
    """300 lines exactly at their limit, looked at after each event: 1 in 20 at most is called met, and 1 in 20 breached."""
    dice = Random(7)
    verdicts = [watch([dice.random() >= 0.05 for _ in range(300)], LIMIT)[0] for _ in range(300)]
    most = 300 * 0.05 + 4 * (300 * 0.05 * 0.95) ** 0.5
    assert verdicts.count(Verdict.BREACHED) <= most
    assert verdicts.count(Verdict.MET) <= most


@pytest.mark.parametrize(("bad", "total", "allowed"), [(2, 1, "0.1"), (-1, 1, "0.1"), (0, 1, "0"), (0, 1, "1")])
def test_impossible_counts_and_limits_are_refused(bad: int, total: int, allowed: str) -> None:
    """More bad events than events, and limits that need no evidence."""
    with pytest.raises(ValueError, match=r"not a count|must lie in"):
        e_values(bad, total, Fraction(allowed))
