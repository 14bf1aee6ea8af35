"""From a commit to whoever passes runs on: bounded queues that forget their oldest runs and say how many.

A queue takes references to what is in memory anyway, so that a commit costs about a microsecond a run. Delivery is at most once
for a run that was forgotten, or that was waiting when the process ended; at least once for every other. Refuses to wait, to
decode and to write: results come first. Called by the store after each commit; emptied by `collector.exports.pump`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from collector.store import FreshSlot
from collector.store_tables import ENDED_AS_RUN, KIND_CODES, OUTCOME_CODES

__all__ = ["RunQueue", "StoredRun", "Wanted"]

OUTCOMES: Final = {code: outcome for outcome, code in OUTCOME_CODES.items()}
KINDS: Final = {code: kind for kind, code in KIND_CODES.items()}
MOST_RUNS: Final = 20_000
MOST_BYTES: Final = 32 << 20


class StoredRun(msgspec.Struct, frozen=True, gc=False):
    """A run that is committed, as its probe sent it. `slot_ms` is its slot in milliseconds since the epoch.

    Thousands wait in a queue: the garbage collection must not look through them again and again.
    """

    body: bytes
    slot_ms: int
    received_us: int


Wanted = Callable[[FreshSlot], bool]
"""Whether a run is worth waiting in a queue."""


class RunQueue:
    """Runs that wait to be passed on; in one event loop."""

    def __init__(
        self, wanted: Wanted | None = None, *, most_runs: int = MOST_RUNS, most_bytes: int = MOST_BYTES
    ) -> None:
        self.dropped = 0
        self.body_bytes = 0
        self._wanted = wanted
        self._most_runs = most_runs
        self._most_bytes = most_bytes
        self._runs: deque[StoredRun] = deque()
        self._arrived: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        """How many runs wait."""
        return len(self._runs)

    def on_arrival(self, call: Callable[[], None]) -> None:
        """Call this whenever runs have come."""
        self._arrived = call

    def put(self, fresh: Sequence[FreshSlot]) -> None:
        """Take what a commit stored; the oldest runs go where there is no room."""
        wanted, runs = self._wanted, self._runs
        before = len(runs)
        for one in fresh:
            if one.slot.facts.ended != ENDED_AS_RUN or (wanted is not None and not wanted(one)):
                continue
            body = one.body
            runs.append(StoredRun(body, one.slot.slot_ms, one.filing.intake.received_us))
            self.body_bytes += len(body)
        while len(runs) > self._most_runs or self.body_bytes > self._most_bytes:
            self.body_bytes -= len(runs.popleft().body)
            self.dropped += 1
        if before == 0 and runs:
            self._arrived()

    def take(self, most: int) -> list[StoredRun]:
        """The oldest runs, at most so many."""
        taken = [self._runs.popleft() for _ in range(min(most, len(self._runs)))]
        self.body_bytes -= sum(len(run.body) for run in taken)
        return taken
