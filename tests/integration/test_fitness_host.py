"""The watch over a host on a real loop, and the control target over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from probes.clock import SystemClock
from probes.fitness import FitnessLimits, FitnessSampler
from probes.fitness_control import ControlTarget
from probes.fitness_host import HostWatch, Trouble
from probes.fitness_kernel import KernelFiles
from probes.fitness_minutes import minute_of
from probes.fitness_responder import open_responder
from probes.http import HttpEngine
from tests.clock import JumpingClock
from tests.journey_kit import open_target

START_AT = datetime.fromisoformat("2026-01-01T12:00:55+00:00")
DEADLINE_S = 60.0
BUSY_LOOP = replace(FitnessLimits(), loop_lag_ns=3600 * 10**9)
"""For tests that are about something else: whatever keeps this machine, its loop was not late."""


def pressure_files(folder: Path) -> KernelFiles:
    """Files of a host that a test can change; no memory, no CPU times."""
    return KernelFiles(folder / "stat", folder / "memory", (folder / "pressure",), (folder / "memory-pressure",))


@asynccontextmanager
async def watched(
    clock: JumpingClock, files: KernelFiles, limits: FitnessLimits = BUSY_LOOP
) -> AsyncIterator[HostWatch]:
    """A watch that looks when the test says so."""
    async with FitnessSampler() as sampler, HostWatch(sampler, clock=clock, files=files, limits=limits) as host:
        yield host


async def test_every_minute_in_which_the_evidence_was_gathered_is_unfit(tmp_path: Path) -> None:
    """The host was in trouble from 12:00:55 on, and that was certain at 12:01:01: both minutes are unfit, and no other."""
    files, clock = pressure_files(tmp_path), JumpingClock(START_AT)
    told: list[datetime] = []
    files.cpu_pressure[0].write_text("some avg10=0 avg60=0 avg300=0 total=0\n")
    async with watched(clock, files) as host:
        host.on_unfit = lambda minute_at, _: told.append(minute_at)
        for second in range(7):
            files.cpu_pressure[0].write_text(f"some avg10=0 avg60=0 avg300=0 total={second * 900_000}\n")
            host.look()
            clock.advance(1)
    assert told == [minute_of(START_AT), minute_of(START_AT) + timedelta(minutes=1)]
    assert host.minutes.reasons_of(told[0]) == host.minutes.reasons_of(told[1])
    assert host.minutes.reasons_of(told[0] - timedelta(minutes=1)) == ()


async def test_the_first_run_of_a_minute_does_not_leave_before_the_trouble_of_the_last_one_is_seen_in_it(
    tmp_path: Path,
) -> None:
    """The last look was at 12:00:59.9; a run that ends five milliseconds into the next minute is known to be of an unfit host."""
    files, clock = pressure_files(tmp_path), JumpingClock(START_AT - timedelta(seconds=5, milliseconds=100))
    told: list[datetime] = []
    files.cpu_pressure[0].write_text("some avg10=0 avg60=0 avg300=0 total=0\n")
    async with watched(clock, files) as host:
        host.on_unfit = lambda minute_at, _: told.append(minute_at)
        stalled_us = 0
        for _ in range(10):
            files.cpu_pressure[0].write_text(f"some avg10=0 avg60=0 avg300=0 total={stalled_us}\n")
            host.look()
            stalled_us += 900_000
            clock.advance(1)
        clock.advance(0.105)
        slot_at = minute_of(clock.now())
        files.cpu_pressure[0].write_text(f"some avg10=0 avg60=0 avg300=0 total={stalled_us}\n")
        assert told == [slot_at - timedelta(minutes=1)]
        reasons = host.reasons_between(slot_at, clock.now())
    assert any("work waited for a CPU" in reason for reason in reasons)
    assert told == [slot_at - timedelta(minutes=1), slot_at]


async def test_a_minute_after_trouble_that_is_over_is_fit(tmp_path: Path) -> None:
    """What is carried over a border is trouble that is still there, not the memory of it."""
    files, clock = pressure_files(tmp_path), JumpingClock(START_AT - timedelta(seconds=20))
    files.cpu_pressure[0].write_text("some avg10=0 avg60=0 avg300=0 total=0\n")
    async with watched(clock, files) as host:
        stalled_us = 0
        for second in range(25):
            files.cpu_pressure[0].write_text(f"some avg10=0 avg60=0 avg300=0 total={stalled_us}\n")
            host.look()
            stalled_us += 900_000 if second < 12 else 0
            clock.advance(1)
        assert host.reasons_between(START_AT, START_AT)
        assert minute_of(clock.now()) > minute_of(START_AT)
        assert host.reasons_between(minute_of(clock.now()), clock.now()) == ()


async def test_many_runs_that_end_at_once_cost_one_look(tmp_path: Path) -> None:
    """A host is looked at for the end of a run at most every tenth of a second."""
    clock = JumpingClock(START_AT)
    async with watched(clock, pressure_files(tmp_path)) as host:
        before = len(host._looks)
        for _ in range(50):
            clock.advance(0.001)
            host.reasons_between(clock.now(), clock.now())
        assert len(host._looks) == before
        clock.advance(0.1)
        host.reasons_between(clock.now(), clock.now())
        assert len(host._looks) == before + 1


async def test_two_busy_seconds_do_not_make_a_minute_unfit(tmp_path: Path) -> None:
    """A page load takes every CPU for a moment; rates are over ten seconds."""
    files, clock = pressure_files(tmp_path), JumpingClock(START_AT)
    async with watched(clock, files) as host:
        stalled_us = 0
        for second in range(30):
            stalled_us += 1_000_000 if second in {8, 9, 20, 21} else 0
            files.cpu_pressure[0].write_text(f"some avg10=0 avg60=0 avg300=0 total={stalled_us}\n")
            host.look()
            clock.advance(1)
    assert host.minutes.reasons_between(START_AT, clock.now()) == ()


async def test_a_blocked_loop_makes_its_minute_unfit(tmp_path: Path) -> None:
    """More than 200 ms without a turn of the loop: every run of the minute is in doubt."""
    clock = JumpingClock(START_AT)
    async with watched(clock, pressure_files(tmp_path), FitnessLimits()) as host:
        time.sleep(0.3)  # noqa: ASYNC251 - blocking the loop is the fault under test
        host.look()
    [reason] = host.minutes.reasons_of(minute_of(START_AT))
    assert "our event loop was late by" in reason


async def test_a_clock_that_is_off_for_certain_makes_its_minute_unfit(tmp_path: Path) -> None:
    """An offset counts as far as it exceeds its error bound."""
    clock = JumpingClock(START_AT)
    async with watched(clock, pressure_files(tmp_path)) as host:
        host.note_clock_offset(-1_400_000_000, 500_000_000)
        assert host.minutes.reasons_of(minute_of(START_AT)) == ()
        host.note_clock_offset(-1_600_000_000, 500_000_000)
        assert host.minutes.reasons_of(minute_of(START_AT)) == (
            "our clock and the collector's are 1.6 s apart (limit 1 s)",
        )


async def test_a_clock_that_was_wrong_in_one_minute_is_wrong_in_the_next_until_it_is_measured_again(
    tmp_path: Path,
) -> None:
    """A run that ends before the next word about the clock is not let go as if the clock were right."""
    clock = JumpingClock(START_AT)
    async with watched(clock, pressure_files(tmp_path)) as host:
        host.note_clock_offset(3_000_000_000, 500_000_000)
        clock.advance(6)
        next_minute_at = minute_of(clock.now())
        assert next_minute_at > minute_of(START_AT)
        assert "3.0 s apart" in host.reasons_between(next_minute_at, clock.now())[0]
        host.note_clock_offset(0, 500_000)
        clock.advance(60)
        assert host.reasons_between(clock.now(), clock.now()) == ()


async def test_an_old_word_about_the_clock_does_not_hold_for_ever(tmp_path: Path) -> None:
    """A probe that cannot ask the collector any more does not stay unfit for what it was told once."""
    clock = JumpingClock(START_AT)
    async with watched(clock, pressure_files(tmp_path)) as host:
        host.note_clock_offset(3_000_000_000, 500_000_000)
        clock.advance(120)
        assert host.reasons_between(clock.now(), clock.now()) == ()


async def test_what_others_know_counts_too(tmp_path: Path) -> None:
    """The control target's failure is noted against its minute."""
    async with watched(JumpingClock(START_AT), pressure_files(tmp_path)) as host:
        host.note(START_AT, START_AT, Trouble("control", "no answer"))
        assert host.minutes.reasons_of(minute_of(START_AT)) == ("no answer",)


async def test_the_watch_looks_by_itself() -> None:
    """On the real clock and the real files, once a second."""
    clock = SystemClock()
    async with FitnessSampler() as sampler, HostWatch(sampler, clock=clock) as host:
        async with asyncio.timeout(DEADLINE_S):
            while len(host._looks) < 3:  # noqa: ASYNC110 - a condition, with a deadline around it
                await asyncio.sleep(0.05)


@pytest.fixture
async def engine() -> AsyncIterator[HttpEngine]:
    """A real HTTP engine."""
    async with HttpEngine() as opened:
        yield opened


async def test_a_control_target_that_answers_speaks_for_the_host(engine: HttpEngine) -> None:
    """Our own responder, over a real socket."""
    async with open_responder() as url:
        control = ControlTarget(url, engine=engine, clock=SystemClock(), deadline_s=DEADLINE_S)
        assert await control.ask() == ""
        await control.close()


@pytest.mark.parametrize(
    ("path", "deadline_s", "said"),
    [
        ("/status/503", DEADLINE_S, "answered 503"),
        ("/silent", 0.3, "did not answer"),
        (None, DEADLINE_S, "did not answer"),
    ],
)
async def test_a_control_target_that_does_not_answer_well_speaks_against_it(
    engine: HttpEngine, path: str | None, deadline_s: float, said: str
) -> None:
    """A bad status, silence beyond the deadline, nobody there."""

    async def silent(_request: object) -> None:
        await asyncio.sleep(3600)

    async with open_target({"/silent": silent}) as target:  # type: ignore[dict-item] # it never answers
        url = f"{target.url}{path}" if path else "http://127.0.0.1:9/"
        control = ControlTarget(url, engine=engine, clock=SystemClock(), deadline_s=deadline_s)
        assert said in await control.ask()
        await control.close()


async def test_runs_of_one_moment_share_a_question(engine: HttpEngine) -> None:
    """Four runs that start together ask once; one that is stopped does not take the answer from the others."""
    clock = JumpingClock()
    async with open_target() as target:
        control = ControlTarget(f"{target.url}/ok", engine=engine, clock=clock, deadline_s=DEADLINE_S)
        stopped, *others = [control.ask() for _ in range(4)]
        stopped.cancel()
        assert await asyncio.gather(*others) == [""] * 3
        assert len(target.seen) == 1
        clock.advance(1)
        assert await control.ask() == ""
        assert len(target.seen) == 2
        await control.close()
