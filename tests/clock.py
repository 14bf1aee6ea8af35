"""A clock for tests that jumps: sleeping takes no time and moves both hands by exactly the duration.

Refuses to run by itself: time stands still between sleeps. Used by tests of whatever takes a `probes.clock.Clock`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

__all__ = ["JumpingClock"]


class JumpingClock:
    """Starts at `now`; `sleep`, `advance` and `step` move it, nothing else does. `slept_s` lists what was slept."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC), *, monotonic_ns: int = 1_000_000_000) -> None:
        self._started_at = now
        self._started_ns = monotonic_ns
        self._passed_ns = 0
        self.slept_s: list[float] = []

    def now(self) -> datetime:
        """The instant that has been reached."""
        return self._started_at + timedelta(microseconds=self._passed_ns // 1000)

    def step(self, duration_s: float) -> None:
        """Somebody sets the wall clock: forward, or back where it is below 0; the other hand does not move."""
        self._started_at += timedelta(seconds=duration_s)

    def monotonic_ns(self) -> int:
        """The nanosecond that has been reached."""
        return self._started_ns + self._passed_ns

    def advance(self, duration_s: float) -> None:
        """Let time pass; it never goes back."""
        self._passed_ns += max(round(duration_s * 1e9), 0)

    async def sleep(self, duration_s: float) -> None:
        """Jump by the duration, and let other tasks run once."""
        self.slept_s.append(duration_s)
        self.advance(duration_s)
        await asyncio.sleep(0)
