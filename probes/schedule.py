"""When runs are due: slots that are fixed in advance, from nothing but the epoch, the interval and the region.

A slot is an instant at which a scenario owes a run. Slots are aligned to the Unix epoch, each region is shifted by its share of
the interval, and each scenario by a place of its own within that share, so that every probe, and the collector, can say which
slots exist without asking anybody; "last run plus interval" would drift, and would hide the slots that an overloaded probe
never started.

Pure: no clock, no I/O; instants come in as arguments. Refuses to decide what runs when two slots are due at once (that is
`probes.worker`). Called by the worker, which starts runs, and by the collector's ledger, which knows what was owed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from probes.errors import OperatorError

__all__ = ["Punctuality", "Schedule", "punctuality", "schedule_for"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
MIN_INTERVAL_MS = 1_000
MAX_TOLERANCE_MS = 30_000
ON_TIME_MS = 1_000


class Punctuality(StrEnum):
    """How a start relates to its slot: in time, late but in tolerance (recorded as such), or too late to be run at all."""

    ON_TIME = "on_time"
    LATE = "late"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The slots of one scenario in one region: every instant `n * interval + phase` since the epoch, in milliseconds.

    `tolerance_ms` is how long after its slot a run may still start; a slot that could not start by then is missed.
    """

    scenario: str
    interval_ms: int
    phase_ms: int
    tolerance_ms: int

    def slot_at_or_after(self, instant: datetime) -> datetime:
        """The first slot that is not before the instant."""
        since_phase_ms = -((EPOCH - instant) // MILLISECOND) - self.phase_ms  # rounded up to whole milliseconds
        return self._slot(-(-since_phase_ms // self.interval_ms))

    def slot_at_or_before(self, instant: datetime) -> datetime:
        """The last slot that is not after the instant."""
        return self._slot(((instant - EPOCH) // MILLISECOND - self.phase_ms) // self.interval_ms)

    def slot_after(self, slot_at: datetime) -> datetime:
        """The slot that follows a slot."""
        return slot_at + self.interval_ms * MILLISECOND

    def slots_between(self, from_at: datetime, until_at: datetime) -> Iterator[datetime]:
        """Every slot in the half-open range [from_at, until_at), oldest first."""
        slot_at = self.slot_at_or_after(from_at)
        while slot_at < until_at:
            yield slot_at
            slot_at = self.slot_after(slot_at)

    def count_between(self, from_at: datetime, until_at: datetime) -> int:
        """How many slots [from_at, until_at) has, without walking through them."""
        if until_at <= from_at:
            return 0
        span_ms = (self.slot_at_or_after(until_at) - self.slot_at_or_after(from_at)) // MILLISECOND
        return span_ms // self.interval_ms

    def is_slot(self, instant: datetime) -> bool:
        """True when the instant is exactly one of this schedule's slots."""
        return self.slot_at_or_after(instant) == instant

    def deadline_at(self, slot_at: datetime) -> datetime:
        """The last instant at which the run of a slot may start."""
        return slot_at + self.tolerance_ms * MILLISECOND

    def _slot(self, number: int) -> datetime:
        return EPOCH + (number * self.interval_ms + self.phase_ms) * MILLISECOND


def schedule_for(scenario: str, *, interval_s: float, region: str, regions: tuple[str, ...]) -> Schedule:
    """The schedule of a scenario in a region: shifted by `interval * position / regions`, in the order of the settings.

    Within its region's share of the interval each scenario has a place of its own, drawn from its name, so that not all of
    them are due at once and wait for each other. It is the same in every region and at every start.

    The tolerance is half the distance to the next region's slot, at most 30 s, so that a late run of one region never
    passes for the run of the next. Raises OperatorError for an interval under 1 s or a region that is not in the list.
    """
    interval_ms = round(interval_s * 1000)
    if interval_ms < MIN_INTERVAL_MS:
        message = f"an interval of {interval_s:g} s is too short to be scheduled"
        raise OperatorError(message, where=f"scenario {scenario}", remedy="Use one second or more")
    if region not in regions:
        message = f"region {region!r} is not one of this fleet's regions ({', '.join(regions) or 'none'})"
        raise OperatorError(message, where="fleet.regions", remedy="Add it to the settings or correct the name")
    share_ms = max(1, interval_ms // len(regions))
    place_ms = zlib.crc32(scenario.encode()) % share_ms
    return Schedule(
        scenario=scenario,
        interval_ms=interval_ms,
        phase_ms=interval_ms * regions.index(region) // len(regions) + place_ms,
        tolerance_ms=max(1, min(MAX_TOLERANCE_MS, share_ms // 2)),
    )


def punctuality(schedule: Schedule, slot_at: datetime, start_at: datetime) -> Punctuality:
    """What a start at `start_at` means for the slot; a start before the slot counts as on time (clocks differ a little)."""
    lag_ms = (start_at - slot_at) // MILLISECOND
    if lag_ms > schedule.tolerance_ms:
        return Punctuality.MISSED
    return Punctuality.ON_TIME if lag_ms <= min(ON_TIME_MS, schedule.tolerance_ms) else Punctuality.LATE
