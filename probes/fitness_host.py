"""Watches this host all the time and says which minutes it was not fit to measure in.

Once a second it takes a reading: the delay of our loop, CPU stolen and busy, pressure stall information, memory. Rates are
taken over the last ten seconds, so that one page load (two busy seconds) does not make a minute unfit and a busy host does.
All minutes that the evidence was gathered in are noted, not only the one in which it was enough, because a run of the
minute before may have been harmed by the same trouble. Others add what they know: the control target, a stepped clock.

Before a run is let go (`reasons_between`) the host is looked at once more if its end was not looked at yet: else the first run
of a new minute would leave before anybody had seen that the trouble of the last one goes on.

Refuses to judge runs (`probes.fitness_minutes`). Opened by a lane of the worker; a look costs about 0.2 ms of CPU, and there
are at most eleven in a second, however many runs end in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from probes.clock import Clock
from probes.fitness import FitnessLimits, FitnessSampler
from probes.fitness_kernel import KernelFiles, KernelReading, read_kernel
from probes.fitness_minutes import UnfitMinutes, minute_of, minutes_between

__all__ = ["HostWatch", "Trouble", "troubles_between"]

LOOK_EVERY_S = 1.0
# A look that is no older than this has seen the end of a run: nothing is judged over less time than this.
FRESH_S = 0.1
# What a probe was told about its clock holds until it is told anew, which is every five seconds, or until it is this old.
CLOCK_HOLDS_S = 30.0
WINDOW_S = 10.0
# A rate over less than this says nothing about a host: one browser start fills it.
LEAST_WINDOW_S = 5.0
# The kernel counts in hundredths of a second; over fewer counts than these a ratio is noise.
MIN_CPU_COUNTS = 50
DEFAULT_LIMITS = FitnessLimits()
SYSTEM_FILES = KernelFiles()


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason against a span of time; `kind` is a word, `reason` a sentence with the figure and its limit."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Look:
    """A reading and when it was taken, by both clocks."""

    taken_s: float
    taken_at: datetime
    kernel: KernelReading


class HostWatch:
    """Open it with `async with`; `on_unfit(minute_at, reasons)` is called when something new speaks against a minute."""

    def __init__(
        self,
        sampler: FitnessSampler,
        *,
        clock: Clock,
        limits: FitnessLimits = DEFAULT_LIMITS,
        files: KernelFiles = SYSTEM_FILES,
    ) -> None:
        self.minutes = UnfitMinutes()
        self.on_unfit: Callable[[datetime, tuple[str, ...]], None] | None = None
        self._sampler = sampler
        self._clock = clock
        self._limits = limits
        self._files = files
        self._looks: deque[Look] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._lag_from_s = 0.0
        self._clock_trouble: tuple[Trouble, float] | None = None

    async def __aenter__(self) -> Self:
        self._lag_from_s = self._sampler.time_s()
        self.look()
        self._set_timer()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Take a reading now and note what it says."""
        look = Look(self._now_s(), self._clock.now(), read_kernel(self._files))
        self._judge_loop(look.taken_at)
        self._judge_clock(look)
        since = next((before for before in self._looks if look.taken_s - before.taken_s <= WINDOW_S), None)
        self._looks.append(look)
        while self._looks[0].taken_s < look.taken_s - WINDOW_S:
            self._looks.popleft()
        if since is None or look.taken_s - since.taken_s < LEAST_WINDOW_S:
            return
        window_s = look.taken_s - since.taken_s
        for trouble in troubles_between(since.kernel, look.kernel, window_s=window_s, limits=self._limits):
            # Counted back with the monotonic clock: the wall clock may have been stepped inside the window.
            self.note(look.taken_at - timedelta(seconds=window_s), look.taken_at, trouble)

    def reasons_between(self, from_at: datetime, until_at: datetime) -> tuple[str, ...]:
        """What speaks against any minute that has a part in the span, as far as it can be seen now; each reason once."""
        last = self._looks[-1]
        if self._now_s() - last.taken_s > FRESH_S or minute_of(last.taken_at) < minute_of(until_at):
            self.look()
        return self.minutes.reasons_between(from_at, until_at)

    def note(self, from_at: datetime, until_at: datetime, trouble: Trouble) -> None:
        """Something speaks against every minute that has a part in this span."""
        for minute_at in minutes_between(from_at, until_at):
            is_news = self.minutes.add(minute_at, trouble.kind, trouble.reason)
            if is_news and self.on_unfit is not None:
                self.on_unfit(minute_at, self.minutes.reasons_of(minute_at))

    def note_clock_offset(self, offset_ns: int, bound_ns: int) -> None:
        """The wall clock's distance to the collector's, known to the bound; too far for certain is unfit until the next word."""
        self._clock_trouble = None
        if abs(offset_ns) - bound_ns > self._limits.clock_offset_ns:
            limit_s = self._limits.clock_offset_ns / 1e9
            reason = f"our clock and the collector's are {abs(offset_ns) / 1e9:.1f} s apart (limit {limit_s:g} s)"
            self._clock_trouble = Trouble("clock_offset", reason), self._now_s()
            self.note(self._clock.now(), self._clock.now(), self._clock_trouble[0])

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    def _judge_clock(self, look: Look) -> None:
        """A clock that was wrong in the last minute is wrong in this one, until somebody says otherwise."""
        if self._clock_trouble is not None and look.taken_s - self._clock_trouble[1] <= CLOCK_HOLDS_S:
            self.note(look.taken_at, look.taken_at, self._clock_trouble[0])

    def _judge_loop(self, now_at: datetime) -> None:
        lag_ns = self._sampler.worst_lag_ns(since_s=self._lag_from_s)
        self._lag_from_s = self._sampler.time_s()
        if lag_ns is None or lag_ns <= self._limits.loop_lag_ns:
            return
        limit_ms = self._limits.loop_lag_ns / 1e6
        reason = f"our event loop was late by {lag_ns / 1e6:.0f} ms (limit {limit_ms:.0f} ms)"
        span = timedelta(seconds=max(LOOK_EVERY_S, lag_ns / 1e9))
        self.note(now_at - span, now_at, Trouble("loop_lag", reason))

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._tick)

    def _tick(self) -> None:
        self.look()
        self._set_timer()


def troubles_between(
    before: KernelReading, after: KernelReading, *, window_s: float, limits: FitnessLimits
) -> list[Trouble]:
    """Everything that two readings, `window_s` seconds apart, say against the host. Pure."""
    found = cpu_troubles(before, after, limits)
    stalled = highest_ratio(before.cpu_stalled_us, after.cpu_stalled_us, window_s)
    if stalled > limits.pressure_ratio:
        reason = f"work waited for a CPU {stalled:.0%} of the time (limit {limits.pressure_ratio:.0%})"
        found.append(Trouble("cpu_pressure", reason))
    stalled = highest_ratio(before.memory_stalled_us, after.memory_stalled_us, window_s)
    if stalled > limits.memory_pressure_ratio:
        reason = f"work waited for memory {stalled:.0%} of the time (limit {limits.memory_pressure_ratio:.0%})"
        found.append(Trouble("memory_pressure", reason))
    if after.available_ratio is not None and after.available_ratio < limits.memory_ratio:
        reason = f"only {after.available_ratio:.1%} of the memory was available (limit {limits.memory_ratio:.0%})"
        found.append(Trouble("memory", reason))
    return found


def cpu_troubles(before: KernelReading, after: KernelReading, limits: FitnessLimits) -> list[Trouble]:
    """What the CPU's counters say: stolen by the hypervisor, or none left."""
    if before.cpu is None or after.cpu is None or (total := after.cpu.total - before.cpu.total) < MIN_CPU_COUNTS:
        return []
    stolen = min(max((after.cpu.steal - before.cpu.steal) / total, 0.0), 1.0)
    busy = min(max(1 - (after.cpu.idle - before.cpu.idle) / total, 0.0), 1.0)
    found = []
    if stolen > limits.steal_ratio:
        reason = f"the hypervisor took {stolen:.0%} of the CPU time (limit {limits.steal_ratio:.0%})"
        found.append(Trouble("steal", reason))
    if busy > limits.busy_ratio:
        reason = f"all CPUs were busy {busy:.0%} of the time (limit {limits.busy_ratio:.0%})"
        found.append(Trouble("busy", reason))
    return found


def highest_ratio(before_us: Mapping[Path, int], after_us: Mapping[Path, int], window_s: float) -> float:
    """The largest share of the window that any of the files counts as stalled, 0 to 1."""
    shares = [(after_us[path] - before_us[path]) / 1e6 / window_s for path in after_us.keys() & before_us.keys()]
    return min(max(shares, default=0.0), 1.0)
