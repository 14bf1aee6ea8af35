"""The ledger of a window, counted by the database: by the rules of `collector.ledger`, without reading every ending.

What was owed is worked out from the schedules alone; how many of those slots ended in which way is one query for both databases.
`collector.ledger.accounts_of` says the same from single slots, and a test holds the two to each other. Called by
`collector.store`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import FromClause, and_, case, func, or_, select

from collector.ledger import (
    CLASS_OF_REASON,
    GRACE,
    MILLISECOND,
    Account,
    Debt,
    Series,
    SlotClass,
    SlotCounts,
    in_force,
    name_of,
)
from collector.store_queries import INCONCLUSIVE, MS_PER_MINUTE, REASONS, fetch_debts, in_window, series_names
from collector.store_runs import FIRST_REPEAT
from collector.store_session import Session
from collector.store_tables import microseconds_of, runs, schedules, series, unfit_minutes
from probes.schedule import ON_TIME_MS

__all__ = ["fetch_accounts"]

US_PER_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class _Ended:
    """So many slots that a debt owed ended so. `is_past`: they would be missing by now."""

    slot_class: SlotClass
    is_conclusive: bool
    is_past: bool
    count: int


async def fetch_accounts(session: Session, from_at: datetime, until_at: datetime, *, now: datetime) -> list[Account]:
    """The accounts of all series that owed or ended anything in [from_at, until_at), by name."""
    names = await series_names(session)
    numbers = {one: number for number, (_, one) in names.items()}
    ended = await _ended(session, from_at, until_at, now)
    counts: dict[Series, SlotCounts] = {}
    for debt, stop_at in in_force(await fetch_debts(session, until_at)):
        of_debt = ended.pop((numbers[debt.series], microseconds_of(debt.from_at)), [])
        found = _counts_of(debt, of_debt, max(debt.from_at, from_at), min(stop_at or until_at, until_at), now)
        if found.owed:
            counts.setdefault(debt.series, SlotCounts()).add(found)
    for number, count in await _all_endings(session, from_at, until_at):
        of_series = counts.setdefault(names[number][1], SlotCounts())
        of_series.unowed += count - (of_series.owed - of_series.missing - of_series.pending)
    return [Account(one, counts[one]) for one in sorted(counts, key=name_of)]


def _counts_of(debt: Debt, ended: list[_Ended], first_at: datetime, last_at: datetime, now: datetime) -> SlotCounts:
    """What became of the slots of a debt in [first_at, last_at)."""
    counts = SlotCounts()
    overdue_at = min(last_at, now - debt.timeout_ms * MILLISECOND - GRACE)
    past = debt.schedule.count_between(first_at, overdue_at)
    counts.missing = past - sum(one.count for one in ended if one.is_past)
    counts.pending = (
        debt.schedule.count_between(first_at, last_at) - past - sum(one.count for one in ended if not one.is_past)
    )
    for one in ended:
        name = one.slot_class.value
        setattr(counts, name, getattr(counts, name) + one.count)
        if one.slot_class in (SlotClass.ON_TIME, SlotClass.LATE) and not one.is_conclusive:
            counts.inconclusive += one.count
    return counts


async def _ended(
    session: Session, from_at: datetime, until_at: datetime, now: datetime
) -> dict[tuple[int, int], list[_Ended]]:
    """By series and beginning of the debt how the slots that it owed ended."""
    owed = _owed()
    limit_ms = case((owed.c.tolerance_ms < ON_TIME_MS, owed.c.tolerance_ms), else_=ON_TIME_MS)
    slot_us = runs.c.slot_ms * US_PER_MS
    grace_us = owed.c.timeout_ms * US_PER_MS + GRACE // MILLISECOND * US_PER_MS
    is_late = case((runs.c.lag_us >= (limit_ms + 1) * US_PER_MS, 1), else_=0)
    is_conclusive = case((or_(runs.c.outcome == INCONCLUSIVE, unfit_minutes.c.minute_ms.is_not(None)), 0), else_=1)
    is_past = case((slot_us < microseconds_of(now) - grace_us, 1), else_=0)
    is_owed = and_(
        owed.c.series_id == runs.c.series_id,
        slot_us >= owed.c.from_us,
        or_(owed.c.until_us == 0, slot_us < owed.c.until_us),
        or_(owed.c.next_us.is_(None), slot_us < owed.c.next_us),
        (runs.c.slot_ms - owed.c.phase_ms) % owed.c.interval_ms == 0,
    )
    unfit = and_(
        unfit_minutes.c.minute_ms == runs.c.slot_ms - runs.c.slot_ms % MS_PER_MINUTE,
        unfit_minutes.c.sender_id == series.c.sender_id,
    )
    source = runs.join(owed, is_owed).join(series, series.c.series_id == runs.c.series_id)
    each = (
        select(
            *(owed.c.series_id, owed.c.from_us, runs.c.ended),
            *(is_late.label("late"), is_conclusive.label("conclusive"), is_past.label("past")),
        )
        .select_from(source.outerjoin(unfit_minutes, unfit))
        # Slots of a schedule are whole milliseconds, so an owed one has turn 0.
        .where(in_window(runs.c.slot_ms, from_at, until_at), runs.c.turn == 0)
        .subquery("each_slot")
    )
    query = select(*each.c, func.count()).group_by(*each.c)
    found: dict[tuple[int, int], list[_Ended]] = {}
    for series_id, from_us, ended, late, conclusive, past, count in await session.fetch(query):
        reason = REASONS.get(ended)
        ran = SlotClass.LATE if late else SlotClass.ON_TIME
        slot_class = ran if reason is None else CLASS_OF_REASON[reason]
        one = _Ended(slot_class, bool(conclusive), bool(past), int(count))
        found.setdefault((series_id, from_us), []).append(one)
    return found


def _owed() -> FromClause:
    """The schedules, each with when a later one of its series took its place."""
    later = schedules.alias("later")
    next_us = (
        select(func.min(later.c.from_us))
        .where(later.c.series_id == schedules.c.series_id, later.c.from_us > schedules.c.from_us)
        .scalar_subquery()
    )
    return select(schedules, next_us.label("next_us")).subquery("owed")


async def _all_endings(session: Session, from_at: datetime, until_at: datetime) -> Iterator[tuple[int, int]]:
    """By series how many slots ended, owed or not."""
    query: Any = (
        select(runs.c.series_id, func.count())
        .where(in_window(runs.c.slot_ms, from_at, until_at), runs.c.turn < FIRST_REPEAT)
        .group_by(runs.c.series_id)
    )
    return ((number, int(count)) for number, count in await session.fetch(query))
