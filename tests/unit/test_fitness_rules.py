"""When a host counts as unfit, and what the kernel's figures mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.fitness import CpuTimes, judge_fitness, parse_cpu_times, steal_ratio

STAT = "cpu  100 2 30 400 5 0 6 50 20 0\ncpu0 50 1 15 200 2 0 3 25 10 0\nintr 1\n"


@pytest.mark.parametrize(
    ("lag_ns", "stolen", "reasons"),
    [
        (None, None, 0),
        (0, 0.0, 0),
        (200_000_000, 0.2, 0),
        (200_000_001, 0.0, 1),
        (0, 0.21, 1),
        (3_000_000_000, 0.9, 2),
    ],
)
def test_a_host_is_unfit_above_its_limits(lag_ns: int | None, stolen: float | None, reasons: int) -> None:
    """200 ms of delay of our loop, a fifth of the CPU time stolen; what is unknown speaks for nothing."""
    fitness = judge_fitness(lag_ns, stolen)
    assert len(fitness.reasons) == reasons
    assert fitness.is_fit == (reasons == 0)
    assert (fitness.loop_lag_ns, fitness.steal_ratio) == (lag_ns, stolen)


def test_a_reason_shows_the_figure_and_its_limit() -> None:
    """A person sees by how much."""
    assert judge_fitness(1_500_000_000, 0.5).reasons == (
        "our event loop was late by 1500 ms (limit 200 ms)",
        "the hypervisor took 50% of the CPU time (limit 20%)",
    )


def test_guest_time_is_not_counted_twice() -> None:
    """The kernel has it inside user time already; steal is the eighth figure."""
    assert parse_cpu_times(STAT) == CpuTimes(total=593, steal=50, idle=405)


@pytest.mark.parametrize("text", ["", "cpu", "cpu  1 2 3\n", "cpux 1 2 3 4 5 6 7 8\n", "cpu a b c d e f g h\n"])
def test_what_cannot_be_understood_is_unknown(text: str) -> None:
    """Another system's file makes no figures up."""
    assert parse_cpu_times(text) is None


def test_two_readings_that_are_too_close_together_say_nothing() -> None:
    """The kernel counts in hundredths of a second."""
    assert steal_ratio(CpuTimes(1000, 10), CpuTimes(1049, 50)) is None
    assert steal_ratio(CpuTimes(1000, 10), CpuTimes(1200, 50)) == pytest.approx(0.2)


@given(st.integers(0, 10**12), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-100, 10**6))
def test_a_share_stays_a_share(before: int, more: int, stolen: int, stolen_before: int) -> None:
    """Between 0 and 1, also when the kernel's counter of stolen time goes back."""
    ratio = steal_ratio(CpuTimes(before, stolen_before), CpuTimes(before + more, stolen))
    assert ratio is None or 0 <= ratio <= 1
