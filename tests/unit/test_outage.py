"""How long a service was away, from questions at known times; no clock, no service."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.records import Failure, FailureKind
from scenarios.outage import OutageWatch

REFUSED = Failure(FailureKind.CONNECT, "refused", "ECONNREFUSED")


def watched(answers: str, *, steady: int = 3) -> OutageWatch:
    """A watch that was told one answer a second: `+` is a good one."""
    watch = OutageWatch(steady)
    for second, answer in enumerate(answers):
        if answer == "+":
            watch.answered(float(second))
        else:
            watch.failed(float(second), REFUSED)
    return watch


def test_no_failure_is_no_outage() -> None:
    """Zero seconds, and nothing is on."""
    watch = watched("+++++")
    assert (watch.is_on, watch.began_s, watch.outage_s(5.0)) == (False, None, 0.0)


def test_an_outage_lasts_from_the_first_failure_to_the_first_of_the_good_answers() -> None:
    """The answers that prove that it is over cost nothing."""
    watch = watched("+----+++")
    assert (watch.is_on, watch.outage_s(99.0), watch.begin_seen, watch.failures) == (False, 4.0, True, 4)


def test_one_good_answer_does_not_end_it() -> None:
    """A service that comes and goes is away until it stays."""
    flapping = watched("-+-+-++-")
    assert flapping.is_on
    assert flapping.outage_s(8.0) == 8.0
    assert not watched("-+-+-+++").is_on
    assert watched("-+-+-+++").outage_s(99.0) == 5.0


def test_an_outage_that_had_begun_before_is_said_to_have() -> None:
    """Its length is then a lower bound."""
    assert not watched("--+++").begin_seen


def test_a_failure_after_the_end_makes_one_outage_of_both() -> None:
    """Within one watch nothing that was away again is called healed at the first return."""
    watch = watched("-+++-+++")
    assert (watch.is_on, watch.outage_s(99.0)) == (False, 5.0)


@given(st.text("+-", min_size=1, max_size=40), st.integers(1, 5))
def test_the_length_is_that_of_the_answers(answers: str, steady: int) -> None:
    """For every sequence: on while the last failure is younger than so many good answers, and never longer than the watch."""
    watch = watched(answers, steady=steady)
    if "-" not in answers:
        assert not watch.is_on
        return
    good_at_end = len(answers) - 1 - answers.rindex("-")
    assert watch.is_on == (good_at_end < steady)
    until = len(answers) if watch.is_on else answers.rindex("-") + 1
    assert watch.outage_s(float(len(answers))) == until - answers.index("-")
