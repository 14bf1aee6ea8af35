"""What an unfit minute makes of the runs in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from probes.fitness_minutes import UnfitMinutes, minutes_between, tainted
from probes.records import Failure, FailureKind, Outcome
from tests.sample_runs import make_run

MINUTE_AT = datetime(2026, 1, 1, 12, 7, tzinfo=UTC)


def test_a_run_of_a_fit_host_stays_as_it_is() -> None:
    """The same object, untouched."""
    run = make_run()
    assert tainted(run, ()) is run


def test_success_and_failure_are_treated_alike() -> None:
    """The gate does not look at what was found; the raw outcome and the failure are kept."""
    failure = Failure(FailureKind.TIMEOUT, "late")
    for outcome, its_failure in ((Outcome.PASS, None), (Outcome.FAIL, failure)):
        run = tainted(replace(make_run(), outcome=outcome, failure=its_failure, fitness=None), ("no CPU",))
        assert run.outcome is Outcome.INCONCLUSIVE
        assert run.attributes["run.raw_outcome"] == outcome.value
        assert run.failure == its_failure
        assert run.fitness is not None
        assert run.fitness.reasons == ("no CPU",)


def test_a_run_that_is_tainted_again_keeps_its_first_raw_outcome() -> None:
    """More reasons do not hide what was found."""
    run = tainted(tainted(replace(make_run(), outcome=Outcome.FAIL), ("a",)), ("a", "b"))
    assert run.attributes["run.raw_outcome"] == "fail"
    assert run.fitness is not None
    assert run.fitness.reasons[-2:] == ("a", "b")


def test_a_run_that_began_before_the_unfit_minute_is_covered() -> None:
    """Any minute that a run has a part in speaks against it, and only those."""
    minutes = UnfitMinutes()
    minutes.add(MINUTE_AT, "busy", "no CPU")
    before_at = MINUTE_AT - timedelta(seconds=5)
    assert minutes.reasons_between(before_at, MINUTE_AT + timedelta(seconds=1)) == ("no CPU",)
    assert minutes.reasons_between(before_at, MINUTE_AT - timedelta(seconds=1)) == ()
    assert minutes.reasons_between(MINUTE_AT + timedelta(minutes=1), MINUTE_AT + timedelta(minutes=2)) == ()


def test_a_kind_of_trouble_is_news_once_a_minute() -> None:
    """One entry for the collector, not sixty."""
    minutes = UnfitMinutes()
    assert minutes.add(MINUTE_AT, "busy", "97 %")
    assert not minutes.add(MINUTE_AT, "busy", "99 %")
    assert minutes.add(MINUTE_AT, "steal", "30 %")
    assert minutes.reasons_of(MINUTE_AT) == ("97 %", "30 %")


def test_memory_of_unfit_minutes_is_bounded() -> None:
    """A host that is unfit for days costs no more than some hours."""
    minutes = UnfitMinutes()
    for number in range(1000):
        minutes.add(MINUTE_AT + timedelta(minutes=number), "busy", "x")
    assert len(minutes._reasons) == 240
    assert minutes.reasons_of(MINUTE_AT + timedelta(minutes=999)) == ("x",)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), st.integers(0, 3_000_000))  # noqa: DTZ001 - made aware below
def test_a_span_has_each_of_its_minutes(naive: datetime, length_ms: int) -> None:
    """From the minute of its beginning to that of its end, without a hole."""
    from_at = naive.replace(tzinfo=UTC)
    until_at = from_at + timedelta(milliseconds=length_ms)
    minutes = list(minutes_between(from_at, until_at))
    assert minutes[0] <= from_at < minutes[0] + timedelta(minutes=1)
    assert minutes[-1] <= until_at < minutes[-1] + timedelta(minutes=1)
    assert len(minutes) == (minutes[-1] - minutes[0]) // timedelta(minutes=1) + 1
