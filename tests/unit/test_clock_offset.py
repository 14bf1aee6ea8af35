"""The offset is right within its bound, the quickest exchange decides, and a clock that is set is noticed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.clock_offset import ClockOffset, answer_time_request
from probes.messages import MessageError
from tests.clock import JumpingClock

SECOND_NS = 1_000_000_000


class SetClock(JumpingClock):
    """A clock whose wall time can be set without its monotonic time moving."""

    set_by = timedelta()

    def now(self) -> datetime:
        """The parent's time, as it was set."""
        return super().now() + self.set_by


def exchange(
    ours: SetClock, offset: ClockOffset, ahead_s: float, there_s: float, back_s: float, held_s: float = 0.0
) -> None:
    """One question and its answer, by a collector whose clock is ahead by that much."""
    question = offset.request()
    collectors = JumpingClock(ours.now() + timedelta(seconds=ahead_s + there_s))
    received_at = collectors.now()
    collectors.advance(held_s)
    answer = answer_time_request(question, received_at=received_at, clock=collectors)
    ours.advance(there_s + held_s + back_s)
    offset.heard(answer)


@given(st.floats(-100_000, 100_000), st.floats(0, 2), st.floats(0, 2), st.floats(0, 5))
def test_the_true_offset_is_within_the_bound(ahead_s: float, there_s: float, back_s: float, held_s: float) -> None:
    """However uneven the two ways are and however long the collector thinks."""
    clock = SetClock()
    offset = ClockOffset(clock)
    exchange(clock, offset, ahead_s, there_s, back_s, held_s)
    reading = offset.reading()
    assert reading is not None
    assert abs(reading.offset_ns - ahead_s * SECOND_NS) <= reading.bound_ns + 3_000  # instants have whole microseconds
    assert reading.bound_ns <= (there_s + back_s) * SECOND_NS / 2 + 3_000


def test_nothing_is_known_before_the_first_answer() -> None:
    """No reading, and no reason to call the host unfit."""
    offset = ClockOffset(SetClock())
    offset.request()
    assert offset.reading() is None
    assert offset.reasons() == ()


def test_the_quickest_exchange_of_the_window_decides() -> None:
    """A slow way back does not spoil what a quick exchange has found; its age shows in the bound."""
    clock = SetClock()
    offset = ClockOffset(clock)
    exchange(clock, offset, 5.0, 0.001, 0.001)
    clock.advance(60)
    exchange(clock, offset, 5.0, 0.001, 0.8)
    reading = offset.reading()
    assert reading is not None
    assert abs(reading.offset_ns - 5 * SECOND_NS) < 1_000_000
    assert 60 * SECOND_NS <= reading.age_ns < 62 * SECOND_NS
    assert 4_000_000 <= reading.bound_ns <= 5_000_000  # a millisecond, and 50 millionths of a minute's drift


def test_a_sample_is_forgotten_after_a_quarter_of_an_hour() -> None:
    """Old news is no reading."""
    clock = SetClock()
    offset = ClockOffset(clock)
    exchange(clock, offset, 5.0, 0.001, 0.001)
    clock.advance(901)
    assert offset.reading() is None


def test_a_clock_that_is_far_off_is_a_reason() -> None:
    """More than a second beyond the error bound; within the bound nobody can say."""
    clock = SetClock()
    offset = ClockOffset(clock)
    exchange(clock, offset, -3.0, 0.01, 0.01)
    assert offset.reasons() == ("our clock is +3.0 s from the collector's (error at most 0.010 s, limit 1 s)",)
    vague = ClockOffset(clock)
    exchange(clock, vague, 1.5, 0.0, 2.0)
    assert vague.reasons() == ()


def test_a_clock_that_is_set_shows_at_once_and_without_another_exchange() -> None:
    """Set by an hour: the very next reading has it, and it is a reason for two minutes."""
    clock = SetClock()
    offset = ClockOffset(clock)
    exchange(clock, offset, 0.0, 0.001, 0.001)
    clock.set_by = timedelta(hours=1)
    reading = offset.reading()
    assert reading is not None
    assert abs(reading.offset_ns + 3_600 * SECOND_NS) < 2_000_000
    assert "our clock was set by +3600.0 s" in offset.reasons()
    clock.set_by = timedelta()
    assert offset.reasons() == ("our clock was set by -3600.0 s",)
    clock.advance(121)
    assert offset.reasons() == ()


def test_slewing_is_no_step() -> None:
    """A clock that is led by 500 millionths, as chrony and ntpd do, is not called set."""
    clock = SetClock()
    offset = ClockOffset(clock)
    for _ in range(100):
        clock.advance(16)
        clock.set_by += timedelta(milliseconds=8)
        offset.request()
    assert offset.reasons() == ()


def test_a_collector_whose_clock_was_set_is_believed_at_once() -> None:
    """What contradicts the earlier samples replaces them, even if those were quicker."""
    clock = SetClock()
    offset = ClockOffset(clock)
    exchange(clock, offset, 0.0, 0.0001, 0.0001)
    exchange(clock, offset, 60.0, 0.1, 0.1)
    reading = offset.reading()
    assert reading is not None
    assert abs(reading.offset_ns - 60 * SECOND_NS) < 1_000_000


def test_an_answer_to_another_question_is_ignored() -> None:
    """A second answer, a replayed one and an invented one change nothing."""
    clock = SetClock()
    offset = ClockOffset(clock)
    old = answer_time_request(offset.request(), received_at=clock.now(), clock=clock)
    new = answer_time_request(offset.request(), received_at=clock.now(), clock=clock)
    offset.heard(old)
    assert offset.reading() is None
    offset.heard(new)
    first = offset.reading()
    offset.heard(new.replace(b'"sent_ns":1', b'"sent_ns":2'))
    assert offset.reading() == first


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b'{"v":2}',
        b'{"v":1,"id":"ID","received_ns":-1,"sent_ns":5}',
        b'{"v":1,"id":"ID","received_ns":5,"sent_ns":99999999999999999999}',
        b'{"v":1,"id":"ID","received_ns":9,"sent_ns":5}',
        b'{"v":1,"id":"ID","received_ns":0,"sent_ns":1000000000000}',
        b'{"v":1,"id":"' + b"x" * 2_000 + b'"}',
    ],
)
def test_an_answer_that_cannot_be_true_is_refused(answer: bytes) -> None:
    """Malformed, from no year of ours, sent before it was received, held for longer than we waited, oversized."""
    offset = ClockOffset(SetClock())
    question_id = json.loads(offset.request())["id"]
    with pytest.raises(MessageError):
        offset.heard(answer.replace(b"ID", question_id.encode()))
    assert offset.reading() is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_question_or_refused(payload: bytes) -> None:
    """A hostile question costs a refusal and nothing more."""
    clock = SetClock()
    try:
        answer_time_request(payload, received_at=clock.now(), clock=clock)
    except MessageError:
        return


def test_memory_is_bounded() -> None:
    """However often it asks."""
    clock = SetClock()
    offset = ClockOffset(clock)
    for _ in range(500):
        exchange(clock, offset, 0.0, 0.001, 0.001)
    assert len(offset._samples) <= 64
