"""Keeping the store in bounds: the oldest slots go, a few thousand at a time, so that ingest never waits long.

What belongs to the current or the previous calendar month (UTC) stays, whatever age or size say, unless the settings
say otherwise in so many words: a service level that was promised for a month must be provable until the next one has been
reported. Books and counters stay as long as their probe's outbox lives.

Called by `collector.store`, which is called by whoever keeps the collector running.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, tuple_

from collector.store_session import Session
from collector.store_tables import (
    batches,
    epochs,
    gaps,
    losses,
    microseconds_of,
    quarantine,
    runs,
    schedules,
    senders,
    steps,
    unfit_minutes,
)

__all__ = ["Pruned", "Retention", "prune"]

SLOTS_AT_ONCE: Final = 5_000
SIZE_STEP: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long results are kept. Zero means no bound. `keeps_two_months` protects the current and the previous month."""

    max_age: timedelta = timedelta(days=400)
    max_bytes: int = 0
    keeps_two_months: bool = True

    def protected_from(self, now: datetime) -> datetime:
        """From this instant on nothing is deleted."""
        if not self.keeps_two_months:
            return now
        this_month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return (this_month - timedelta(days=1)).replace(day=1)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one pass did: `slots` went, `has_more` asks for another pass; `is_over_size`: what is protected is too much."""

    slots: int
    has_more: bool
    is_over_size: bool


async def prune(session: Session, retention: Retention, now: datetime) -> Pruned:
    """Delete the oldest slots that nothing protects, at most a few thousand."""
    oldest = await session.fetch(select(runs.c.slot_ms).order_by(runs.c.slot_ms).limit(1))
    oldest_ms = int(oldest[0][0]) if oldest else 0
    is_too_big = bool(retention.max_bytes) and await session.size_bytes() > retention.max_bytes
    protected_ms = microseconds_of(retention.protected_from(now)) // 1000
    wanted_ms = microseconds_of(now - retention.max_age) // 1000 if retention.max_age else 0
    if is_too_big and oldest:
        wanted_ms = max(wanted_ms, oldest_ms + SIZE_STEP // timedelta(milliseconds=1))
    limit_ms = min(wanted_ms, protected_ms)
    await _prune_books(session, limit_ms * 1000)
    if not oldest or oldest_ms >= limit_ms:
        return Pruned(0, has_more=False, is_over_size=is_too_big)
    next_one = await session.fetch(select(runs.c.slot_ms).order_by(runs.c.slot_ms).offset(SLOTS_AT_ONCE).limit(1))
    until_ms = min(limit_ms, max(int(next_one[0][0]), oldest_ms + 1)) if next_one else limit_ms
    await session.execute(delete(steps).where(steps.c.slot_ms < until_ms))
    await session.execute(delete(unfit_minutes).where(unfit_minutes.c.minute_ms < until_ms))
    await session.execute(delete(batches).where(batches.c.newest_slot_ms < until_ms))
    slots = await session.execute(delete(runs).where(runs.c.slot_ms < until_ms))
    return Pruned(slots, has_more=until_ms < limit_ms or is_too_big, is_over_size=False)


async def _prune_books(session: Session, limit_us: int) -> None:
    """What was set aside long ago, debts that ended, and the books of outboxes that have had a successor for as long."""
    await session.execute(delete(quarantine).where(quarantine.c.received_us < limit_us))
    await session.execute(delete(schedules).where(schedules.c.until_us > 0, schedules.c.until_us < limit_us))
    ended = (
        select(epochs.c.sender_id, epochs.c.epoch)
        .select_from(epochs.join(senders, senders.c.sender_id == epochs.c.sender_id))
        .where(epochs.c.last_seen_us < limit_us, epochs.c.epoch < senders.c.epoch)
        .limit(SLOTS_AT_ONCE)
    )
    over = [(sender_id, epoch) for sender_id, epoch in await session.fetch(ended)]
    if over:
        for table in (gaps, losses, epochs):
            await session.execute(delete(table).where(tuple_(table.c.sender_id, table.c.epoch).in_(over)))
