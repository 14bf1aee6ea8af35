"""Runs and slots as they are committed, counted by how they ended, since the start of the process.

Exact: each slot is counted once, in the process that filed it, whatever queues overflow elsewhere; a restart begins at 0, as
counters may. Costs a dictionary look-up a slot. Refuses to decode. Called by the store after each commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from collector.exports.feed import KINDS, OUTCOMES
from collector.exports.labels import Labels
from collector.store import FreshSlot
from collector.store_tables import ENDED_AS_RUN, OUTCOME_CODES, REASON_CODES
from probes.records import Outcome

__all__ = ["ATTEMPTS", "RunCounts", "attempt_label"]

REASONS: Final = {code: reason.value for reason, code in REASON_CODES.items()}
FAILED: Final = OUTCOME_CODES[Outcome.FAIL]
ATTEMPTS: Final = ("first", "repeat")
MOST_SCENARIOS: Final = 100
MOST_REGIONS: Final = 50
ATTEMPT_TURNS: Final = 1000


def attempt_label(attempt: int) -> str:
    """`first` for what is scored; `repeat` for a confirmation, or what somebody asked for."""
    return ATTEMPTS[min(attempt, 1)]


class RunCounts:
    """`runs` by scenario, region, outcome and attempt; `failures` of failed ones by kind; `slots` without a run by reason."""

    def __init__(self, regions: Iterable[str] = (), scenarios: Iterable[str] = ()) -> None:
        """These names are sure of a label of their own."""
        self.runs: Counter[tuple[str, str, str, str]] = Counter()
        self.failures: Counter[tuple[str, str, str]] = Counter()
        self.slots: Counter[tuple[str, str, str]] = Counter()
        self.scenario = Labels(MOST_SCENARIOS, scenarios)
        self.region = Labels(MOST_REGIONS, regions)
        self._earliest_ms: int | None = None

    def add(self, fresh: Sequence[FreshSlot]) -> None:
        """Count what a commit stored."""
        earliest_ms = self._earliest_ms
        for one in fresh:
            slot = one.slot
            facts = slot.facts
            scenario, region = self.scenario(slot.scenario), self.region(one.filing.intake.sender.region)
            if earliest_ms is None or slot.slot_ms < earliest_ms:
                earliest_ms = slot.slot_ms
            if facts.ended != ENDED_AS_RUN:
                self.slots[scenario, region, REASONS[facts.ended]] += 1
                continue
            self.runs[scenario, region, OUTCOMES[facts.outcome].value, attempt_label(slot.turn // ATTEMPT_TURNS)] += 1
            if facts.kind and facts.outcome == FAILED:
                self.failures[scenario, region, KINDS[facts.kind].value] += 1
        self._earliest_ms = earliest_ms

    def take_earliest_minute(self) -> int | None:
        """The earliest minute of the slots that came since the last call; None: none came."""
        earliest_ms, self._earliest_ms = self._earliest_ms, None
        return None if earliest_ms is None else earliest_ms // 60_000
