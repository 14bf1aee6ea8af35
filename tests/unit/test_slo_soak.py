"""Checks that are watched for hours: the first verdict stands, and watching at every round makes no false claims."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from slo.evidence import Verdict, bad_rate_bounds
from slo.soak import SoakWatch

LIMIT = Fraction(1, 5)


def test_a_verdict_comes_once_and_stands() -> None:
    """What follows is counted and changes nothing."""
    watch = SoakWatch(["a"], LIMIT)
    news = [watch.add_round("a", passed=True) for _ in range(60)]
    state = watch.checks["a"]
    assert news.count(True) == 1
    assert (state.verdict, state.decided_at) == (Verdict.MET, news.index(True) + 1)
    for _ in range(100):
        assert not watch.add_round("a", passed=False)
    assert (state.verdict, state.failures) == (Verdict.MET, 100)


def test_a_round_that_says_nothing_changes_no_evidence() -> None:
    """It is counted apart."""
    watch = SoakWatch(["a"], LIMIT)
    watch.add_round("a", passed=True)
    before = watch.checks["a"].values
    watch.add_round("a", passed=None)
    assert (watch.checks["a"].values, watch.checks["a"].unmeasured) == (before, 1)


def test_more_checks_ask_for_more_evidence() -> None:
    """A hundred checks, a hundred times as much."""
    one, many = SoakWatch(["a"], LIMIT), SoakWatch([f"c{number}" for number in range(100)], LIMIT)
    assert many.ln_decided == pytest.approx(one.ln_decided + 4.60517)
    for watch, name in ((one, "a"), (many, "c0")):
        while watch.checks[name].verdict is Verdict.NOT_ENOUGH_DATA:
            watch.add_round(name, passed=False)
    assert many.checks["c0"].decided_at > one.checks["a"].decided_at
    assert many.checks["c0"].verdict is Verdict.BREACHED
    with pytest.raises(ValueError, match="needs a check"):
        SoakWatch([], LIMIT)


def test_watching_five_checks_at_their_limit_makes_few_false_claims() -> None:
    """Looked at after each of 150 rounds, any of them claims something no more often than in one soak of twenty."""
    lot, soaks, wrong = Random(20261125), 60, 0
    for _ in range(soaks):
        watch = SoakWatch([f"c{number}" for number in range(5)], LIMIT)
        for _ in range(150):
            for name in watch.checks:
                watch.add_round(name, passed=lot.random() >= LIMIT)
        wrong += any(state.verdict is Verdict.BREACHED for state in watch.checks.values())
    assert bad_rate_bounds(wrong, soaks).low <= 0.05
