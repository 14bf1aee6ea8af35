"""The release gate: Wald's limits, the word when rounds run out, and latency beside production."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.gate import SMOKE_GATE, Gate, GateDecision, judge_latency

TABLE = [
    # usual, refused, passes to accept with 0, 1, 2, 3 failures, {failures: rejected within so many rounds}
    (".02", ".05", [97, 126, 156, 185], {4: 25, 5: 56, 6: 86}),
    (".10", ".20", [26, 32, 38, 44], {5: 8, 6: 15, 7: 22}),
    (".001", ".03", [102, 218, 333, 449], {1: 14, 2: 131, 3: 247}),
]
MS = 1_000_000


@pytest.mark.parametrize(("usual", "refused", "passes", "rejections"), TABLE)
def test_a_gate_accepts_and_rejects_where_the_table_says(
    usual: str, refused: str, passes: list[int], rejections: dict[int, int]
) -> None:
    """The design's table; its column of acceptance counts the rounds that passed beside the failures."""
    gate = Gate(Fraction(usual), Fraction(refused), most_rounds=10_000)
    assert [gate.passes_to_accept(failures) for failures in range(4)] == passes
    assert {failures: gate.rejects_within(failures) for failures in rejections} == rejections
    assert gate.rejects_within(min(rejections) - 1) is None


@pytest.mark.parametrize(("usual", "refused", "passes", "rejections"), TABLE)
def test_the_answer_changes_at_the_boundary_and_not_a_round_before(
    usual: str, refused: str, passes: list[int], rejections: dict[int, int]
) -> None:
    """One round fewer to accept, or one more to reject, and the gate wants to go on."""
    gate = Gate(Fraction(usual), Fraction(refused), most_rounds=10_000)
    for failures, passed in enumerate(passes):
        assert gate.decide(failures, failures + passed) is GateDecision.ACCEPT
        assert gate.decide(failures, failures + passed - 1) is GateDecision.CONTINUE
    for failures, rounds in rejections.items():
        assert gate.decide(failures, rounds) is GateDecision.REJECT
        assert gate.decide(failures, rounds + 1) is GateDecision.CONTINUE


def test_a_smoke_run_excludes_three_per_cent_and_certifies_no_three_nines() -> None:
    """102 clean rounds against 3743: the gate's name says what it can say."""
    assert SMOKE_GATE.name == "3 % or more failing"
    assert SMOKE_GATE.run([True] * 200) == (GateDecision.ACCEPT, 102)
    assert Gate(Fraction(2, 10_000), Fraction(1, 1000)).passes_to_accept(0) == 3743


def test_a_smoke_run_ends_at_an_early_failure_and_survives_a_late_one() -> None:
    """One failure within 14 rounds is a rejection; later it costs 116 rounds more."""
    assert SMOKE_GATE.run([True] * 13 + [False]) == (GateDecision.REJECT, 14)
    assert SMOKE_GATE.run([True] * 14 + [False] + [True] * 300) == (GateDecision.ACCEPT, 219)


def test_rounds_that_run_out_hold_the_release() -> None:
    """Neither accepted nor rejected by the last round is `undecided`; before it the gate wants more."""
    gate = Gate(Fraction(1, 50), Fraction(1, 20), most_rounds=50)
    assert gate.decide(1, 49) is GateDecision.CONTINUE
    assert gate.decide(1, 50) is GateDecision.UNDECIDED
    assert gate.run([True] * 20) == (GateDecision.CONTINUE, 20)


@given(st.integers(0, 60), st.integers(0, 600))
def test_a_failure_more_never_speaks_for_a_release(failures: int, passed: int) -> None:
    """The evidence against it only grows."""
    gate = Gate(Fraction(1, 50), Fraction(1, 20))
    assert gate.evidence(failures + 1, failures + passed + 1) > gate.evidence(failures, failures + passed)


@pytest.mark.parametrize(("true_bad", "wrong"), [(0.02, GateDecision.REJECT), (0.05, GateDecision.ACCEPT)])
def test_both_risks_are_kept_when_somebody_looks_after_every_round(true_bad: float, wrong: GateDecision) -> None:
    """Of 400 simulated releases at either end at most the promised 5 % (and four standard errors) get the wrong answer."""
    gate, dice = Gate(Fraction(1, 50), Fraction(1, 20), most_rounds=5000), Random(11)
    answers = [gate.run([dice.random() >= true_bad for _ in range(3000)])[0] for _ in range(400)]
    assert answers.count(wrong) <= 400 * 0.05 + 4 * (400 * 0.05 * 0.95) ** 0.5
    assert answers.count(GateDecision.CONTINUE) == 0


@pytest.mark.parametrize(
    ("usual", "refused", "risk", "rounds"),
    [
        ("0", "0.1", "0.05", 9),
        ("0.1", "0.1", "0.05", 9),
        ("0.1", "1", "0.05", 9),
        ("0.1", "0.2", "1", 9),
        ("0.1", "0.2", "0.05", 0),
    ],
)
def test_a_gate_that_could_decide_nothing_is_refused(usual: str, refused: str, risk: str, rounds: int) -> None:
    """Shares in the wrong order, certain risks, no round."""
    with pytest.raises(ValueError, match="a gate needs"):
        Gate(Fraction(usual), Fraction(refused), Fraction(risk), most_rounds=rounds)


@pytest.mark.parametrize(("failures", "rounds"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(failures: int, rounds: int) -> None:
    """More failures than rounds."""
    with pytest.raises(ValueError, match="not a count"):
        SMOKE_GATE.decide(failures, rounds)


def test_latency_is_compared_with_the_margin_said_aloud() -> None:
    """Production's p95 is 95 ms; with a margin of a tenth the limit is 104.5 ms, and 59 events below it show 95 %."""
    baseline = [number * MS for number in range(1, 101)]
    verdict = judge_latency([104 * MS] * 59, baseline, Fraction(95, 100), Fraction(1, 10))
    assert (verdict.decision, verdict.limit_ns, verdict.slower) == (GateDecision.ACCEPT, 104_500_000, 0)
    assert (
        judge_latency([104 * MS] * 58, baseline, Fraction(95, 100), Fraction(1, 10)).decision is GateDecision.UNDECIDED
    )
    slow = judge_latency([105 * MS] * 7, baseline, Fraction(95, 100), Fraction(1, 10))
    assert (slow.decision, slow.slower) == (GateDecision.REJECT, 7)


def test_a_failed_event_is_slower_than_any_limit() -> None:
    """A release that answers nothing is not fast."""
    assert judge_latency([None] * 9, [MS], Fraction(1, 2), Fraction(1)).decision is GateDecision.REJECT


def test_latency_without_a_baseline_is_refused() -> None:
    """There is nothing to be no worse than."""
    with pytest.raises(ValueError, match="no events"):
        judge_latency([MS], [], Fraction(1, 2), Fraction(0))
    with pytest.raises(ValueError, match="margin"):
        judge_latency([MS], [MS], Fraction(1, 2), Fraction(-1))
