"""The ledger of slots: what was owed, how each of it ended, and what never ended at all. Pure.

Every slot that a schedule owes is in exactly one class; a slot that nobody owed (a run on demand) is counted apart and
covers nothing. What is silent past its slot, its timeout and a minute more is `missing`: not failed, for nobody knows.

No clock, no I/O: debts, endings and `now` are arguments. Called by `collector.store` with what is stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from probes.ledger_entries import SlotReason
from probes.messages import Address
from probes.schedule import ON_TIME_MS, Schedule

__all__ = [
    "Account",
    "Debt",
    "Ending",
    "Series",
    "SlotClass",
    "SlotCounts",
    "SlotLine",
    "accounts_of",
    "by_region",
    "in_force",
    "lines_of",
    "name_of",
]

GRACE: Final = timedelta(seconds=60)
"""Source: the SLO engine's rule for a slot that never reports: slot + timeout + 60 s."""
MILLISECOND: Final = timedelta(milliseconds=1)


class SlotClass(StrEnum):
    """What became of a slot that was owed."""

    ON_TIME = "on_time"
    LATE = "late"
    MISSED = "missed"
    MAINTENANCE = "maintenance"
    ABORTED = "aborted"
    MISSING = "missing"
    PENDING = "pending"


CLASS_OF_REASON: Final = {
    SlotReason.MISSED: SlotClass.MISSED,
    SlotReason.MAINTENANCE: SlotClass.MAINTENANCE,
    SlotReason.ABORTED: SlotClass.ABORTED,
}


@dataclass(frozen=True, slots=True)
class Series:
    """A scenario of a probe."""

    address: Address
    scenario: str


@dataclass(frozen=True, slots=True)
class Debt:
    """From `from_at` on a probe owed the schedule's slots; until `until_at`, or until it said otherwise when that is None."""

    series: Series
    schedule: Schedule
    timeout_ms: int
    from_at: datetime
    until_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a slot ended: with a run when `reason` is None, else for that reason. `lag_ms` is how late it started."""

    series: Series
    slot_at: datetime
    reason: SlotReason | None
    is_conclusive: bool
    lag_ms: int


@dataclass(frozen=True, slots=True)
class SlotLine:
    """One slot that was owed, and what became of it."""

    series: Series
    slot_at: datetime
    slot_class: SlotClass
    is_conclusive: bool


@dataclass(slots=True)
class SlotCounts:
    """How many slots are in each class. `inconclusive` are those of the runs that say nothing; `unowed` nobody had to run."""

    on_time: int = 0
    late: int = 0
    missed: int = 0
    maintenance: int = 0
    aborted: int = 0
    missing: int = 0
    pending: int = 0
    inconclusive: int = 0
    unowed: int = 0

    @property
    def owed(self) -> int:
        """All slots that were owed: the sum of the seven classes."""
        return self.on_time + self.late + self.missed + self.maintenance + self.aborted + self.missing + self.pending

    @property
    def ran(self) -> int:
        """The slots that have a run."""
        return self.on_time + self.late

    @property
    def due(self) -> int:
        """The slots that should have a run by now: neither pending nor under maintenance."""
        return self.owed - self.pending - self.maintenance

    def add(self, other: SlotCounts) -> None:
        """Count the other's slots too."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Account:
    """The slots of one scenario of one probe in a window. Coverage is `counts.ran` of `counts.due`."""

    series: Series
    counts: SlotCounts


def accounts_of(
    debts: Iterable[Debt], endings: Iterable[Ending], *, from_at: datetime, until_at: datetime, now: datetime
) -> list[Account]:
    """The accounts of all series that owed or ended anything in [from_at, until_at), by name."""
    within = [ending for ending in endings if from_at <= ending.slot_at < until_at]
    counts: dict[Series, SlotCounts] = defaultdict(SlotCounts)
    owed: set[tuple[Series, datetime]] = set()
    for line in lines_of(debts, within, from_at=from_at, until_at=until_at, now=now):
        of_series = counts[line.series]
        setattr(of_series, line.slot_class.value, getattr(of_series, line.slot_class.value) + 1)
        if line.slot_class in (SlotClass.ON_TIME, SlotClass.LATE) and not line.is_conclusive:
            of_series.inconclusive += 1
        owed.add((line.series, line.slot_at))
    for ending in within:
        if (ending.series, ending.slot_at) not in owed:
            counts[ending.series].unowed += 1
    return [Account(series, counts[series]) for series in sorted(counts, key=name_of)]


def lines_of(
    debts: Iterable[Debt], endings: Iterable[Ending], *, from_at: datetime, until_at: datetime, now: datetime
) -> Iterator[SlotLine]:
    """Every slot owed in [from_at, until_at), once, series by series and in the order of time."""
    ended: dict[Series, dict[datetime, Ending]] = defaultdict(dict)
    for ending in endings:
        ended[ending.series].setdefault(ending.slot_at, ending)
    for debt, stop_at in in_force(debts):
        grace = debt.timeout_ms * MILLISECOND + GRACE
        of_series = ended.get(debt.series, {})
        first_at, last_at = max(debt.from_at, from_at), min(stop_at or until_at, until_at)
        for slot_at in debt.schedule.slots_between(first_at, last_at):
            found = of_series.get(slot_at)
            if found is not None:
                slot_class = class_of(found, debt.schedule)
            elif now > slot_at + grace:
                slot_class = SlotClass.MISSING
            else:
                slot_class = SlotClass.PENDING
            yield SlotLine(debt.series, slot_at, slot_class, found is not None and found.is_conclusive)


def in_force(debts: Iterable[Debt]) -> Iterator[tuple[Debt, datetime | None]]:
    """Each debt with the instant at which it ended: by its own word, or because a later one took its place."""
    by_series: dict[Series, list[Debt]] = defaultdict(list)
    for debt in debts:
        by_series[debt.series].append(debt)
    for series in sorted(by_series, key=name_of):
        in_order = sorted(by_series[series], key=lambda debt: debt.from_at)
        taken_over: list[datetime | None] = [*(debt.from_at for debt in in_order[1:]), None]
        for debt, replaced_at in zip(in_order, taken_over, strict=True):
            yield debt, min((instant for instant in (debt.until_at, replaced_at) if instant), default=None)


def class_of(ending: Ending, schedule: Schedule) -> SlotClass:
    """The class of a slot that ended; a run counts as late by the rule of `probes.schedule.punctuality`."""
    if ending.reason is not None:
        return CLASS_OF_REASON[ending.reason]
    return SlotClass.ON_TIME if ending.lag_ms <= min(ON_TIME_MS, schedule.tolerance_ms) else SlotClass.LATE


def by_region(accounts: Iterable[Account]) -> Mapping[tuple[str, str], SlotCounts]:
    """The counts per scenario and region, all probes of a region together, by name."""
    sums: dict[tuple[str, str], SlotCounts] = {}
    for account in accounts:
        key = (account.series.scenario, account.series.address.region)
        sums.setdefault(key, SlotCounts()).add(account.counts)
    return dict(sorted(sums.items()))


def name_of(series: Series) -> tuple[str, str, str, str]:
    """What series are sorted by."""
    address = series.address
    return series.scenario, address.fleet, address.region, address.probe
