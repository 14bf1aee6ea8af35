"""Time as an argument: the clock that code is handed instead of asking the operating system itself.

`SystemClock` is the real one. Tests pass a clock of their own that jumps (`tests/clock.py`). Nobody else calls
`time` or `datetime.now`.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Wall time for instants, monotonic time for durations, and a way to wait."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Wait for `duration_s` seconds; zero or less only yields to the loop."""
        ...


class SystemClock:
    """The host's own clocks. Source: `clock_gettime(2)`, CLOCK_REALTIME and CLOCK_MONOTONIC."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    async def sleep(self, duration_s: float) -> None:
        """Wait for `duration_s` seconds on the running loop."""
        await asyncio.sleep(duration_s)
