"""Keeping the store in bounds: the oldest slots go, a few thousand at a time, so that ingest never waits long.

What belongs to the current or the previous calendar month (UTC) stays, whatever age or size say, unless the settings
say otherwise in so many words: a service level that was promised for a month must be provable until the next one has been
reported. Books and counters stay as long as their probe's outbox lives. Alerts go after the runs that they are about
(`collector.store_alert_upkeep`).

Called by `collector.store`, which is called by whoever keeps the collector running.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, tuple_

from collector.store_alert_upkeep import INCIDENTS_AT_ONCE, prune_alerts
from collector.store_release_tables import releases
from collector.store_session import Session
from collector.store_tables import (
    batches,
    cell_days,
    cells,
    epochs,
    gaps,
    instant_of_ms,
    losses,
    microseconds_of,
    observations,
    quarantine,
    runs,
    schedules,
    senders,
    steps,
    unfit_minutes,
)
from slo.window import MINUTES_PER_DAY

__all__ = ["Pruned", "Retention", "prune"]

MS_PER_MINUTE: Final = 60_000
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
    """What one pass did: `slots` and `incidents` went, `has_more` asks for another pass.

    `is_over_size`: what is protected is too much.
    """

    slots: int
    has_more: bool
    is_over_size: bool
    incidents: int = 0


async def prune(session: Session, retention: Retention, now: datetime) -> Pruned:
    """Delete the oldest slots that nothing protects, at most a few thousand, and the alerts whose slots are gone."""
    oldest = await session.fetch(select(runs.c.slot_ms).order_by(runs.c.slot_ms).limit(1))
    oldest_ms = int(oldest[0][0]) if oldest else 0
    is_too_big = 0 < retention.max_bytes < await session.size_bytes()
    if is_too_big:  # only now: what deleted rows have left is looked for page by page
        is_too_big = await session.used_bytes() > retention.max_bytes
    protected_ms = microseconds_of(retention.protected_from(now)) // 1000
    wanted_ms = microseconds_of(now - retention.max_age) // 1000 if retention.max_age else 0
    if is_too_big and oldest:
        wanted_ms = max(wanted_ms, oldest_ms + SIZE_STEP // timedelta(milliseconds=1))
    limit_ms = min(wanted_ms, protected_ms)
    limit_ms -= limit_ms % MS_PER_MINUTE  # a minute goes whole or not at all: what is left can be scored again
    await _prune_books(session, limit_ms * 1000)
    if not oldest or oldest_ms >= limit_ms:
        incidents = await prune_alerts(session, instant_of_ms(limit_ms), now)
        return Pruned(0, incidents == INCIDENTS_AT_ONCE, is_too_big, incidents)
    next_one = await session.fetch(select(runs.c.slot_ms).order_by(runs.c.slot_ms).offset(SLOTS_AT_ONCE).limit(1))
    next_ms = int(next_one[0][0]) if next_one else limit_ms
    after_oldest_ms = oldest_ms - oldest_ms % MS_PER_MINUTE + MS_PER_MINUTE
    until_ms = min(limit_ms, max(next_ms - next_ms % MS_PER_MINUTE, after_oldest_ms))
    await session.execute(delete(steps).where(steps.c.slot_ms < until_ms))
    await session.execute(delete(batches).where(batches.c.newest_slot_ms < until_ms))
    await session.execute(delete(observations).where(observations.c.slot_ms < until_ms))
    await _prune_cells(session, until_ms // MS_PER_MINUTE // MINUTES_PER_DAY)
    slots = await session.execute(delete(runs).where(runs.c.slot_ms < until_ms))
    # Only as far as the runs are gone already: a window that has some of its runs has all of its incidents.
    incidents = await prune_alerts(session, instant_of_ms(until_ms), now)
    has_more = until_ms < limit_ms or is_too_big or incidents == INCIDENTS_AT_ONCE
    return Pruned(slots, has_more, is_over_size=False, incidents=incidents)


async def _prune_cells(session: Session, until_day: int) -> None:
    """The cells of whole days whose runs are gone, found by their days, of which there are few, and their unfit minutes."""
    key = (cell_days.c.check_id, cell_days.c.target, cell_days.c.sender_id)
    for check_id, target, sender_id in await session.fetch(select(*key).where(cell_days.c.day < until_day).distinct()):
        for table, bound in (
            (cells, cells.c.minute < until_day * MINUTES_PER_DAY),
            (cell_days, cell_days.c.day < until_day),
        ):
            whose = (table.c.check_id == check_id, table.c.target == target, table.c.sender_id == sender_id)
            await session.execute(delete(table).where(*whose, bound))
    # Not before the cells: without the word about its minute, what an unfit host found would count.
    await session.execute(
        delete(unfit_minutes).where(unfit_minutes.c.minute_ms < until_day * MINUTES_PER_DAY * MS_PER_MINUTE)
    )


async def _prune_books(session: Session, limit_us: int) -> None:
    """What was set aside long ago, debts that ended, releases, and the books of outboxes that have had a successor as long."""
    await session.execute(delete(quarantine).where(quarantine.c.received_us < limit_us))
    await session.execute(delete(schedules).where(schedules.c.until_us > 0, schedules.c.until_us < limit_us))
    await session.execute(delete(releases).where(releases.c.ended_us < limit_us))
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
