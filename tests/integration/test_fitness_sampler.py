"""The sampler on a real loop and a real (or made up) `/proc/stat`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from probes.fitness import FitnessSampler

DEADLINE_S = 60.0


async def ticks(sampler: FitnessSampler, count: int) -> None:
    """Wait until the sampler's timer has come round this often."""
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(count):
            due_s = sampler._due_s
            while sampler._due_s == due_s:  # noqa: ASYNC110 - a condition, with a deadline around it
                await asyncio.sleep(0.005)


async def test_a_blocked_loop_is_noticed_while_it_is_still_late() -> None:
    """The run that did the blocking sees it, although the loop has not come round since."""
    async with FitnessSampler() as sampler:
        since_s = sampler.time_s()
        time.sleep(0.3)  # noqa: ASYNC251 - blocking the loop is the fault under test
        lag_ns = sampler.worst_lag_ns(since_s=since_s)
    assert lag_ns is not None
    assert lag_ns > 200e6


async def test_a_delay_is_remembered_for_those_whom_it_overlapped() -> None:
    """A run that was open during the block sees it later; one that began afterwards does not."""
    async with FitnessSampler() as sampler:
        before_s = sampler.time_s()
        time.sleep(0.3)  # noqa: ASYNC251 - blocking the loop is the fault under test
        await ticks(sampler, 2)
        overlapped = sampler.worst_lag_ns(since_s=before_s)
        await until_quiet(sampler)
    assert overlapped is not None
    assert overlapped > 200e6


async def until_quiet(sampler: FitnessSampler) -> None:
    """Until somebody who began after all that was saw no delay to speak of: a busy host may add some of its own."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            began_s = sampler.time_s()
            await ticks(sampler, 2)
            lag_ns = sampler.worst_lag_ns(since_s=began_s)
            if lag_ns is not None and lag_ns < 50e6:
                return


async def test_nothing_is_said_when_nothing_was_watched() -> None:
    """Before it is opened, and after it is closed."""
    sampler = FitnessSampler()
    assert sampler.worst_lag_ns(since_s=0) is None
    async with sampler:
        pass
    assert sampler.worst_lag_ns(since_s=0) is None
    assert sampler.fitness(since_s=0, loop_lag_ns=None).is_fit


async def test_stolen_time_makes_a_host_unfit(tmp_path: Path) -> None:
    """The share between two readings, from a file that a hypervisor took half the time of."""
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 0 0 0 0 0 0 0 0\n", encoding="ascii")
    async with FitnessSampler(proc_stat=stat) as sampler:
        stat.write_text("cpu  200 0 0 0 0 0 0 100 0 0\n", encoding="ascii")
        sampler._cpu_read_s -= 10
        await ticks(sampler, 1)
        fitness = sampler.fitness(since_s=sampler.time_s() - 1, loop_lag_ns=0)
    assert fitness.steal_ratio == pytest.approx(0.5)
    assert not fitness.is_fit


async def test_a_short_run_is_judged_by_the_last_reading(tmp_path: Path) -> None:
    """A run of a millisecond has no reading of its own."""
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 0 0 0 0 0 0 0 0\n", encoding="ascii")
    async with FitnessSampler(proc_stat=stat) as sampler:
        stat.write_text("cpu  200 0 0 0 0 0 0 25 0 0\n", encoding="ascii")
        sampler._cpu_read_s -= 10
        await ticks(sampler, 1)
        fitness = sampler.fitness(since_s=sampler.time_s() + 100, loop_lag_ns=0)
    assert fitness.steal_ratio == pytest.approx(0.2)
    assert fitness.is_fit


async def test_a_host_without_the_kernels_figures_is_not_guessed_at(tmp_path: Path) -> None:
    """Steal is unknown, and speaks for nothing."""
    async with FitnessSampler(proc_stat=tmp_path / "none") as sampler:
        sampler._cpu_read_s -= 10
        await ticks(sampler, 1)
        fitness = sampler.fitness(since_s=0, loop_lag_ns=0)
    assert fitness.steal_ratio is None
    assert fitness.is_fit
