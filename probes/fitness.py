"""Is this host fit to measure? The delay of the event loop and the CPU time that the hypervisor took away.

One sampler a process, so that a run of a millisecond pays nothing for it: a timer of 50 ms notices when the loop was
blocked, and once a second the kernel's counters are read. A run asks for what overlapped its steps. What speaks against
a whole minute (pressure, memory, the control target) is watched by `probes.fitness_host`, in the worker only.

Refuses to judge the platform, and to guess: what cannot be read here is None. Called by the wiring (which opens the sampler),
`probes.steps` and `probes.execute`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from probes.records import Fitness

__all__ = ["CpuTimes", "FitnessLimits", "FitnessSampler", "judge_fitness", "parse_cpu_times", "steal_ratio"]

TICK_S = 0.05
STEAL_READ_S = 1.0
# Delays below this are the loop's ordinary work and are not worth a place in the history.
NOTABLE_LAG_S = 0.005
HISTORY = 4096
# The kernel counts in hundredths of a second; over fewer counts than these a ratio is noise.
MIN_CPU_COUNTS = 50
PROC_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class FitnessLimits:
    """Beyond these a host is unfit: its own delays could pass for the platform's.

    The first two are looked at for each run; all of them for each minute, in the worker. `busy_ratio` is the share of CPU
    time that was not idle, `pressure_ratio` the share of time in which something that wanted a CPU had none,
    `memory_pressure_ratio` the same for memory, `memory_ratio` the least share of memory that must be available,
    `clock_offset_ns` how far the wall clock may be off. Source of each: docs/explanation/fitness.md.
    """

    loop_lag_ns: int = 200_000_000
    steal_ratio: float = 0.2
    busy_ratio: float = 0.95
    pressure_ratio: float = 0.6
    memory_pressure_ratio: float = 0.15
    memory_ratio: float = 0.05
    clock_offset_ns: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Counts of all CPUs since boot: everything, what was stolen, and what was idle (waiting for a disk included)."""

    total: int
    steal: int
    idle: int = 0


def judge_fitness(
    loop_lag_ns: int | None, stolen_ratio: float | None, limits: FitnessLimits = FitnessLimits()
) -> Fitness:
    """The host's fitness with a reason for each limit that was passed; what is unknown speaks for nothing."""
    reasons = []
    if loop_lag_ns is not None and loop_lag_ns > limits.loop_lag_ns:
        reasons.append(
            f"our event loop was late by {loop_lag_ns / 1e6:.0f} ms (limit {limits.loop_lag_ns / 1e6:.0f} ms)"
        )
    if stolen_ratio is not None and stolen_ratio > limits.steal_ratio:
        reasons.append(f"the hypervisor took {stolen_ratio:.0%} of the CPU time (limit {limits.steal_ratio:.0%})")
    return Fitness(loop_lag_ns, stolen_ratio, tuple(reasons))


def parse_cpu_times(text: str) -> CpuTimes | None:
    """The first line of `/proc/stat`; None when it has another form. Source: proc_stat(5); guest time is inside user time."""
    words = text.partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu" or not all(word.isdecimal() for word in words[1:9]):
        return None
    counts = [int(word) for word in words[1:9]]
    return CpuTimes(total=sum(counts), steal=counts[7], idle=counts[3] + counts[4])


def steal_ratio(before: CpuTimes, after: CpuTimes) -> float | None:
    """The stolen share between two readings, 0 to 1; None when they are too close together to say."""
    total = after.total - before.total
    if total < MIN_CPU_COUNTS:
        return None
    return min(max((after.steal - before.steal) / total, 0.0), 1.0)


class FitnessSampler:
    """Watches the running loop and this host from `async with` until its end."""

    def __init__(self, *, limits: FitnessLimits = FitnessLimits(), proc_stat: Path = PROC_STAT) -> None:
        self._limits = limits
        self._proc_stat = proc_stat
        self._lags: deque[tuple[float, float]] = deque(maxlen=HISTORY)
        self._steals: deque[tuple[float, float]] = deque(maxlen=HISTORY)
        self._handle: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due_s = 0.0
        self._cpu_read_s = 0.0
        self._cpu_before: CpuTimes | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._cpu_read_s = self._loop.time()
        self._cpu_before = self._read_cpu_times()
        self._schedule(self._loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop = None

    def time_s(self) -> float:
        """The loop's own time, for `worst_lag_ns` and `fitness`; 0 when nothing is watched."""
        return 0.0 if self._loop is None else self._loop.time()

    def worst_lag_ns(self, *, since_s: float) -> int | None:
        """The longest time since then for which the loop did not come round, up to now; None when nothing is watched.

        Blocks shorter than a tick can go unseen. Only the part of a delay that lies after `since_s` counts.
        """
        if self._loop is None:
            return None
        worst_s = self._loop.time() - max(self._due_s, since_s)
        for due_s, woke_s in reversed(self._lags):
            if woke_s <= since_s:
                break
            worst_s = max(worst_s, woke_s - max(due_s, since_s))
        return max(int(worst_s * 1e9), 0)

    def fitness(self, *, since_s: float, loop_lag_ns: int | None) -> Fitness:
        """The verdict on this host for a run that began at `since_s` and saw this delay of the loop in its steps."""
        stolen = [ratio for read_s, ratio in self._steals if read_s >= since_s]
        if not stolen and self._steals:
            stolen = [self._steals[-1][1]]
        return judge_fitness(loop_lag_ns, max(stolen, default=None), self._limits)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = loop.time() + TICK_S
        self._handle = loop.call_at(self._due_s, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        if now_s - self._due_s > NOTABLE_LAG_S:
            self._lags.append((self._due_s, now_s))
        if now_s - self._cpu_read_s >= STEAL_READ_S:
            self._note_steal(now_s)
        self._schedule(loop)

    def _note_steal(self, now_s: float) -> None:
        after = self._read_cpu_times()
        before, self._cpu_before, self._cpu_read_s = self._cpu_before, after, now_s
        if before is None or after is None:
            return
        ratio = steal_ratio(before, after)
        if ratio is not None:
            self._steals.append((now_s, ratio))

    def _read_cpu_times(self) -> CpuTimes | None:
        try:
            with self._proc_stat.open(encoding="ascii") as lines:
                return parse_cpu_times(lines.readline())
        except (OSError, UnicodeDecodeError):
            return None
