"""What every clock promises; the one that jumps in tests keeps it as the real one does."""

from __future__ import annotations

import asyncio
from datetime import UTC

import pytest

from probes.clock import Clock, SystemClock
from tests.clock import JumpingClock


@pytest.fixture(params=[SystemClock, JumpingClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    """Each clock in turn."""
    made: Clock = request.param()
    return made


async def test_sleeping_takes_at_least_as_long_as_asked(clock: Clock) -> None:
    """Both hands move by the duration or more."""
    now, monotonic_ns = clock.now(), clock.monotonic_ns()
    await clock.sleep(0.02)
    assert clock.monotonic_ns() - monotonic_ns >= 20_000_000
    assert (clock.now() - now).total_seconds() >= 0.019


async def test_time_never_goes_back(clock: Clock) -> None:
    """Also when asked to sleep for less than nothing."""
    before_ns = clock.monotonic_ns()
    await clock.sleep(-5)
    await clock.sleep(0)
    assert clock.monotonic_ns() >= before_ns


async def test_others_get_their_turn_during_a_sleep(clock: Clock) -> None:
    """A sleep of nothing still yields to the loop."""
    seen: list[int] = []
    asyncio.get_running_loop().call_soon(seen.append, 1)
    await clock.sleep(0)
    assert seen == [1]


def test_instants_are_aware_and_in_utc(clock: Clock) -> None:
    """No record carries a time of an unknown zone."""
    assert clock.now().tzinfo is UTC
