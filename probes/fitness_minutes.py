"""Which minutes this host was not fit to measure in, and what that makes of a run.

The gate does not look at what a run found: everything of an unfit minute is inconclusive, successes too, or only failures
would be dropped and the service would look better than it is. The raw outcome is kept in the run's attributes.

Pure: no clock, no I/O. Refuses to decide what makes a minute unfit (`probes.fitness_host`). Called by the worker's lanes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from probes.records import Fitness, Outcome, Run

__all__ = ["UnfitMinutes", "minute_of", "minutes_between", "tainted"]

MINUTE = timedelta(minutes=1)
KEPT_MINUTES = 240
MAX_REASONS = 20
MAX_SPAN_MINUTES = 60
RAW_OUTCOME = "run.raw_outcome"


def minute_of(instant: datetime) -> datetime:
    """The minute that the instant lies in."""
    return instant.replace(second=0, microsecond=0)


def minutes_between(from_at: datetime, until_at: datetime) -> Iterator[datetime]:
    """Every minute that has a part in [from_at, until_at], oldest first; of a very long span the latest ones."""
    minute_at = max(minute_of(from_at), minute_of(until_at) - MAX_SPAN_MINUTES * MINUTE)
    while minute_at <= until_at:
        yield minute_at
        minute_at += MINUTE


class UnfitMinutes:
    """The unfit minutes of the last hours with their reasons, one for each kind of trouble."""

    def __init__(self) -> None:
        self._reasons: dict[datetime, dict[str, str]] = {}

    def add(self, minute_at: datetime, kind: str, reason: str) -> bool:
        """Note a reason; True when it is news: the first of its kind in this minute."""
        reasons = self._reasons.setdefault(minute_at, {})
        if kind in reasons or len(reasons) >= MAX_REASONS:
            return False
        reasons[kind] = reason
        while len(self._reasons) > KEPT_MINUTES:
            del self._reasons[min(self._reasons)]
        return True

    def reasons_of(self, minute_at: datetime) -> tuple[str, ...]:
        """What speaks against this minute; empty when nothing does."""
        return tuple(self._reasons.get(minute_at, {}).values())

    def reasons_between(self, from_at: datetime, until_at: datetime) -> tuple[str, ...]:
        """What speaks against any minute that has a part in the span, each once."""
        found = [reason for minute_at in minutes_between(from_at, until_at) for reason in self.reasons_of(minute_at)]
        return tuple(dict.fromkeys(found))


def tainted(run: Run, reasons: Sequence[str]) -> Run:
    """The run as it counts when these reasons speak against its host: inconclusive, its raw outcome kept; as is without any."""
    if not reasons:
        return run
    fitness = run.fitness or Fitness()
    known = tuple(dict.fromkeys((*fitness.reasons, *reasons)))
    attributes = dict(run.attributes)
    if run.outcome is not Outcome.INCONCLUSIVE:
        attributes[RAW_OUTCOME] = run.outcome.value
    return replace(
        run, outcome=Outcome.INCONCLUSIVE, fitness=replace(fitness, reasons=known[:MAX_REASONS]), attributes=attributes
    )
