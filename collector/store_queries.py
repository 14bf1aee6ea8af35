"""What the store can be asked, described once for both databases. Called by `collector.store`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, func, select

from collector.ledger import Debt, Ending, Series
from collector.store_session import Session
from collector.store_tables import (
    KIND_CODES,
    NO_SENDER,
    OUTCOME_CODES,
    REASON_CODES,
    gaps,
    instant_of_ms,
    instant_of_us,
    losses,
    microseconds_of,
    quarantine,
    runs,
    schedules,
    senders,
    series,
    unfit_minutes,
)
from probes.messages import Address
from probes.records import Outcome
from probes.schedule import Schedule

__all__ = [
    "ProbeState",
    "QuarantinedEntry",
    "Totals",
    "UnfitMinute",
]

OUTCOMES: Final = {code: outcome for outcome, code in OUTCOME_CODES.items()}
KINDS: Final = {code: kind for kind, code in KIND_CODES.items()}
REASONS: Final = {code: reason for reason, code in REASON_CODES.items()}
INCONCLUSIVE: Final = OUTCOME_CODES[Outcome.INCONCLUSIVE]
MS_PER_MINUTE: Final = 60_000
MAX_LAG_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class ProbeState:
    """What is known of a probe. `missing` numbers never came, `lost` are those of them that the probe says it dropped."""

    address: Address
    first_seen_at: datetime
    last_seen_at: datetime
    epoch: int
    entries: int
    duplicates: int
    conflicts: int
    quarantined: int
    missing: int
    lost: int
    status: str
    status_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnfitMinute:
    """A minute in which a probe's host was not fit to measure."""

    address: Address
    minute_at: datetime
    reasons: str


@dataclass(frozen=True, slots=True)
class QuarantinedEntry:
    """Something that was not what it claimed to be; sequence number 0 for a whole delivery."""

    received_at: datetime
    sender: Address | None
    topic: str
    epoch: int
    seq: int
    kind: str
    reason: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over everything that was ever taken in, and what is stored now.

    `strays` are deliveries that came under no probe's name; only the first thousand are kept, and counted.
    """

    probes: int
    entries: int
    duplicates: int
    conflicts: int
    quarantined: int
    strays: int
    oldest_slot_at: datetime | None
    newest_slot_at: datetime | None
    size_bytes: int


async def fetch_probes(session: Session) -> list[ProbeState]:
    """Every probe that was ever heard, by name."""
    missing, lost = await _missing_and_lost(session)
    columns = [senders.c[name] for name in senders.columns.keys()]  # noqa: SIM118 - it has no other way to its names
    states = []
    for row in await session.fetch(select(*columns)):
        number, fleet, region, probe, first_us, last_us, epoch, entries, again, contrary, bad, status_us, status = row
        states.append(
            ProbeState(
                address=Address(fleet, region, probe),
                first_seen_at=instant_of_us(first_us),
                last_seen_at=instant_of_us(last_us),
                epoch=epoch,
                entries=entries,
                duplicates=again,
                conflicts=contrary,
                quarantined=bad,
                missing=missing[number],
                lost=lost[number],
                status=status,
                status_at=instant_of_us(status_us) if status_us else None,
            )
        )
    # Not by the database, for each sorts letters in its own way.
    return sorted(states, key=lambda one: (one.address.fleet, one.address.region, one.address.probe))


async def _missing_and_lost(session: Session) -> tuple[dict[int, int], dict[int, int]]:
    declared: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for sender_id, epoch, first, last in await session.fetch(
        select(losses.c.sender_id, losses.c.epoch, losses.c.first_seq, losses.c.last_seq)
    ):
        declared[sender_id, epoch].append((first, last))
    missing: dict[int, int] = defaultdict(int)
    lost: dict[int, int] = defaultdict(int)
    for sender_id, epoch, first, last in await session.fetch(
        select(gaps.c.sender_id, gaps.c.epoch, gaps.c.first_seq, gaps.c.last_seq)
    ):
        missing[sender_id] += last - first + 1
        lost[sender_id] += overlap(first, last, declared[sender_id, epoch])
    return missing, lost


def overlap(first: int, last: int, ranges: list[tuple[int, int]]) -> int:
    """How many numbers of a closed range lie in at least one of the others."""
    count, reached = 0, first - 1
    for start, end in sorted(ranges):
        begin, stop = max(start, reached + 1), min(end, last)
        if begin <= stop:
            count += stop - begin + 1
            reached = stop
    return count


async def fetch_debts(session: Session, until_at: datetime) -> list[Debt]:
    """All debts that began before an instant, by the numbers of their series, then by time."""
    query = (
        select(
            *(senders.c.fleet, senders.c.region, senders.c.probe, series.c.scenario),
            *(schedules.c.interval_ms, schedules.c.phase_ms, schedules.c.tolerance_ms, schedules.c.timeout_ms),
            *(schedules.c.from_us, schedules.c.until_us),
        )
        .select_from(schedules.join(series, series.c.series_id == schedules.c.series_id).join(*sender_of_series()))
        .where(schedules.c.from_us < microseconds_of(until_at))
        .order_by(schedules.c.series_id, schedules.c.from_us)
    )
    return [
        Debt(
            series=Series(Address(*row[:3]), row[3]),
            schedule=Schedule(row[3], interval_ms=row[4], phase_ms=row[5], tolerance_ms=row[6]),
            timeout_ms=row[7],
            from_at=instant_of_us(row[8]),
            until_at=instant_of_us(row[9]) if row[9] else None,
        )
        for row in await session.fetch(query)
    ]


async def fetch_endings(session: Session, from_at: datetime, until_at: datetime) -> list[Ending]:
    """How every slot of a window ended, first attempts only, by time; what an unfit host found is not conclusive."""
    names = await series_names(session)
    unfit_query = select(unfit_minutes.c.sender_id, unfit_minutes.c.minute_ms).where(
        in_window(unfit_minutes.c.minute_ms, from_at - timedelta(minutes=1), until_at)
    )
    unfit = {(sender_id, minute_ms) for sender_id, minute_ms in await session.fetch(unfit_query)}
    query = (
        select(runs.c.slot_ms, runs.c.series_id, runs.c.turn, runs.c.ended, runs.c.outcome, runs.c.lag_us)
        .where(in_window(runs.c.slot_ms, from_at, until_at), runs.c.turn < 1000)
        .order_by(runs.c.slot_ms)
    )
    endings = []
    for slot_ms, series_id, turn, ended, outcome, lag_us in await session.fetch(query):
        sender_id, one = names[series_id]
        conclusive = outcome != INCONCLUSIVE and (sender_id, slot_ms - slot_ms % MS_PER_MINUTE) not in unfit
        endings.append(Ending(one, slot_at_of(slot_ms, turn), REASONS.get(ended), conclusive, lag_us // 1000))
    return endings


async def fetch_unfit(session: Session, from_at: datetime, until_at: datetime) -> list[UnfitMinute]:
    """The unfit minutes of a window."""
    query = (
        select(senders.c.fleet, senders.c.region, senders.c.probe, unfit_minutes.c.minute_ms, unfit_minutes.c.reasons)
        .select_from(unfit_minutes.join(senders, senders.c.sender_id == unfit_minutes.c.sender_id))
        .where(in_window(unfit_minutes.c.minute_ms, from_at, until_at))
        .order_by(unfit_minutes.c.minute_ms, unfit_minutes.c.sender_id)
    )
    return [UnfitMinute(Address(*row[:3]), instant_of_ms(row[3]), row[4]) for row in await session.fetch(query)]


async def fetch_quarantine(session: Session, limit: int) -> list[QuarantinedEntry]:
    """What was set aside last, newest first."""
    kept = quarantine.c
    query = (
        select(
            *(kept.received_us, senders.c.fleet, senders.c.region, senders.c.probe),
            *(kept.topic, kept.epoch, kept.seq, kept.kind, kept.reason, kept.body),
        )
        .select_from(quarantine.outerjoin(senders, senders.c.sender_id == kept.sender_id))
        .order_by(kept.quarantine_id.desc())
        .limit(limit)
    )
    return [
        QuarantinedEntry(
            received_at=instant_of_us(row[0]),
            sender=Address(*row[1:4]) if row[1] else None,
            topic=row[4],
            epoch=row[5],
            seq=row[6],
            kind=row[7],
            reason=row[8],
            body=bytes(row[9]),
        )
        for row in await session.fetch(query)
    ]


async def fetch_totals(session: Session) -> Totals:
    """What the collector has done since its database is there."""
    counted = (senders.c.entries, senders.c.duplicates, senders.c.conflicts, senders.c.quarantined)
    ((probes, *counts),) = await session.fetch(
        select(func.count(), *(func.coalesce(func.sum(column), 0) for column in counted)).select_from(senders)
    )
    ((oldest_ms, newest_ms),) = await session.fetch(select(*_ends_of(runs.c.slot_ms)))
    entries, duplicates, conflicts, bad = (int(count) for count in counts)
    ((strays,),) = await session.fetch(
        select(func.count()).select_from(quarantine).where(quarantine.c.sender_id == NO_SENDER)
    )
    return Totals(
        probes,
        entries,
        duplicates,
        conflicts,
        bad,
        int(strays),
        instant_of_ms(oldest_ms) if oldest_ms is not None else None,
        instant_of_ms(newest_ms) if newest_ms is not None else None,
        await session.size_bytes(),
    )


async def series_names(session: Session) -> dict[int, tuple[int, Series]]:
    """By number of a series its sender's number and its name."""
    query = select(
        series.c.series_id, senders.c.sender_id, senders.c.fleet, senders.c.region, senders.c.probe, series.c.scenario
    ).select_from(series.join(*sender_of_series()))
    return {row[0]: (row[1], Series(Address(*row[2:5]), row[5])) for row in await session.fetch(query)}


def sender_of_series() -> tuple[Any, Any]:
    return senders, senders.c.sender_id == series.c.sender_id


def _ends_of(column: Any) -> Iterator[Any]:  # noqa: ANN401 - columns have many types
    """The lowest and the highest value, each by one look into the index."""
    yield select(column).order_by(column).limit(1).scalar_subquery()
    yield select(column).order_by(column.desc()).limit(1).scalar_subquery()


def first_ms_from(instant: datetime) -> int:
    """The first millisecond that begins at an instant or after it."""
    return -(-microseconds_of(instant) // 1000)


def in_window(column: Any, from_at: datetime, until_at: datetime) -> Any:  # noqa: ANN401 - columns have many types
    """Milliseconds in [from_at, until_at)."""
    return and_(column >= first_ms_from(from_at), column < first_ms_from(until_at))


def slot_at_of(slot_ms: int, turn: int) -> datetime:
    return instant_of_us(slot_ms * 1000 + turn % 1000)
