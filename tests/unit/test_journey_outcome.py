"""The rules that turn what happened into an outcome."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.outcome import EXCESS_MARK_NS, bounded, decide, describe_crash, outcome_of_failure, timing_marks
from probes.records import Expectation, Failure, FailureKind, Fitness, Outcome, Step

UNFIT = Fitness(loop_lag_ns=900_000_000, reasons=("our event loop was late by 900 ms (limit 200 ms)",))
FIT = Fitness(loop_lag_ns=0, steal_ratio=0.0)


def step(kind: FailureKind | None = None, *, name: str = "upload", cleanup: bool = False) -> Step:
    """A step that failed with this kind, or passed."""
    failure = None if kind is None else Failure(kind, f"{name} was {kind.value}")
    checks = (Expectation("x", "1", "1", ok=True),)
    return Step(name, 0, 10, outcome_of_failure(failure), failure, expectations=checks, cleanup=cleanup)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_what_is_ours_is_inconclusive_and_everything_else_is_the_targets(kind: FailureKind) -> None:
    """Only `aborted` and `internal` spare the platform; every other kind fails the run."""
    ours = kind in {FailureKind.ABORTED, FailureKind.INTERNAL}
    verdict = decide([step(), step(kind)], None, FIT)
    assert verdict.outcome is (Outcome.INCONCLUSIVE if ours else Outcome.FAIL)
    assert verdict.failed_step == "upload"


def test_the_first_failing_step_decides() -> None:
    """What failed later, or ended the script outside any step, does not replace the first finding."""
    steps = [step(), step(FailureKind.STATUS, name="first"), step(FailureKind.INTERNAL, name="second")]
    verdict = decide(steps, Failure(FailureKind.ABORTED, "stopped"), FIT)
    assert (verdict.outcome, verdict.failed_step) == (Outcome.FAIL, "first")
    assert verdict.failure == steps[1].failure


def test_a_failure_of_ours_that_came_first_is_not_overruled_by_a_finding() -> None:
    """After we failed, what the platform seemed to do proves nothing."""
    verdict = decide([step(FailureKind.INTERNAL), step(FailureKind.STATUS)], None, FIT)
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_clean_up_never_changes_the_outcome() -> None:
    """A run that passed stays passed when its clean-up fails."""
    verdict = decide([step(), step(FailureKind.STATUS, cleanup=True)], None, FIT)
    assert (verdict.outcome, verdict.failure) == (Outcome.PASS, None)


def test_an_unfit_host_makes_every_run_inconclusive() -> None:
    """Pass and fail alike; the raw outcome and what was found are kept."""
    passed, failed = decide([step()], None, UNFIT), decide([step(FailureKind.TIMEOUT)], None, UNFIT)
    assert (passed.outcome, passed.raw_outcome) == (Outcome.INCONCLUSIVE, Outcome.PASS)
    assert (failed.outcome, failed.raw_outcome) == (Outcome.INCONCLUSIVE, Outcome.FAIL)
    assert failed.failure is not None


@pytest.mark.parametrize("steps", [[], [step(cleanup=True)], [Step("a", 0, 10, Outcome.PASS)]])
def test_a_run_that_looked_at_nothing_proves_nothing(steps: list[Step]) -> None:
    """A forgotten `await` makes no green run: no request, no page and no check is inconclusive and says so."""
    verdict = decide(steps, None, None)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.failure is not None
    assert "proves nothing" in verdict.failure.message


@given(
    st.lists(st.tuples(st.sampled_from([None, *FailureKind]), st.booleans()), max_size=6),
    st.sampled_from([None, *FailureKind]),
    st.sampled_from([None, FIT, UNFIT]),
)
def test_our_fault_is_never_charged_to_the_platform(
    kinds: list[tuple[FailureKind | None, bool]], ended_by: FailureKind | None, fitness: Fitness | None
) -> None:
    """For any mixture: FAIL needs a deciding failure that is the target's and a host that was fit."""
    steps = [step(kind, cleanup=cleanup) for kind, cleanup in kinds]
    verdict = decide(steps, None if ended_by is None else Failure(ended_by, "ended"), fitness)
    if verdict.outcome is Outcome.FAIL:
        assert verdict.failure is not None
        assert not verdict.failure.kind.is_ours
        assert fitness is None or fitness.is_fit
    if verdict.outcome is Outcome.PASS:
        assert all(kind is None for kind, cleanup in kinds if not cleanup)
        assert ended_by is None


def test_a_crash_is_described_with_the_line_of_the_script() -> None:
    """A person is sent to file and line, without the folders of this machine."""
    with pytest.raises(KeyError) as caught:
        _ = dict[str, int]()["volume"]
    failure = describe_crash(caught.value)
    assert failure.kind is FailureKind.INTERNAL
    assert failure.error_type == "KeyError"
    assert "unit/test_journey_outcome.py:" in failure.message
    assert failure.message.startswith("KeyError: 'volume'")


def test_a_long_message_is_cut_and_says_how_much_is_missing() -> None:
    """Nobody mistakes the beginning for the whole."""
    assert bounded("abc" * 10, 4) == "abca… (26 more characters)"
    assert bounded("abcd", 4) == "abcd"


def test_text_that_is_no_unicode_becomes_text_that_is() -> None:
    """A lone surrogate, as JSON can smuggle one in, does not make a record unsendable."""
    assert bounded("a\ud800ü").encode("utf-8") == b"a\\ud800\xc3\xbc"


def test_a_run_says_when_its_times_are_worth_less() -> None:
    """Times that may be off by more than 3 ms, and times that the kernel did not stamp, are marked."""
    assert timing_marks(EXCESS_MARK_NS, 0) == ()
    assert timing_marks(EXCESS_MARK_NS + 1, 0) == ("http-timing-excess",)
    assert timing_marks(0, 1) == ("http-no-kernel-stamps",)
    assert timing_marks(0, 0, ["2001:db8::1: no answer"]) == ("http-addresses-in-vain",)
