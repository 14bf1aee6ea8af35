"""When rounds are due: at once one after the other, or every so often from the first on.

A round that could not start because the one before it took too long is missed and counted, never started late in a heap.
Waits on a clock that it is given. Refuses to run anything. Called by `console.session`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from probes.clock import Clock

__all__ = ["Round", "Rounds"]

_MOST_ROUNDS = 100_000
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its number from 1, when it was due, and how many due rounds before it were missed."""

    number: int
    scheduled_at: datetime
    due_ns: int
    missed: int = 0


class Rounds:
    """The rounds of a session, asked for one at a time. With `every_s` and no `repeat` they go on until somebody stops."""

    def __init__(self, clock: Clock, *, repeat: int | None, every_s: float | None) -> None:
        self._clock = clock
        self._every_ns = None if every_s is None else int(every_s * _NS_PER_S)
        # In this order: whatever comes between the two, no round begins before the instant at which it says that it was due.
        self._begin_at = clock.now()
        self._begin_ns = clock.monotonic_ns()
        self._slot = 0
        self._number = 0
        self.planned = repeat or (1 if every_s is None else None)
        self.missed = 0

    def next(self) -> Round | None:
        """The next round, None after the last. It may be due in the future: wait with `wait_s`."""
        if self._number >= (self.planned or _MOST_ROUNDS):
            return None
        self._number += 1
        now_ns = self._clock.monotonic_ns()
        if self._every_ns is None:
            return Round(self._number, self._clock.now(), now_ns)
        missed = 0
        if self._number > 1:
            overdue = (now_ns - self._begin_ns) // self._every_ns - self._slot
            missed = max(0, overdue - 1)
            self._slot += 1 + missed
        self.missed += missed
        due_ns = self._begin_ns + self._slot * self._every_ns
        scheduled_at = self._begin_at + timedelta(microseconds=(due_ns - self._begin_ns) / 1_000)
        return Round(self._number, scheduled_at, due_ns, missed)

    def wait_s(self, due: Round) -> float:
        """Seconds until `due` is due; zero or less when it is now or late."""
        return (due.due_ns - self._clock.monotonic_ns()) / _NS_PER_S

    def lag_ns(self, due: Round) -> int:
        """How late it is for `due` now."""
        return max(0, self._clock.monotonic_ns() - due.due_ns)
