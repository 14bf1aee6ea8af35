"""The way out of the store for archives: every entry of a window in pages, by time. Called by `collector.store`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select, tuple_

from collector.store_packing import stored_entries
from collector.store_queries import fetch_debts, fetch_unfit, in_window, sender_of_series
from collector.store_session import Session
from collector.store_tables import batches, runs, senders, series
from probes.ledger_entries import FitnessMinute, OwedSlots, render_entry
from probes.messages import Address
from probes.outbox import EntryKind

__all__ = ["ArchivedEntry", "Page", "fetch_page", "fetch_side_entries"]

PAGE_SLOTS: Final = 1_000
Key = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ArchivedEntry:
    """An entry and whose it is; the body is exactly what the probe sent (debts and unfit minutes are written anew)."""

    sender: Address
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and where the next page begins; `next_after` None: this was the last one."""

    entries: list[ArchivedEntry]
    next_after: Key | None


async def fetch_page(session: Session, from_at: datetime, until_at: datetime, after: Key | None) -> Page:
    """The next thousand slots of [from_at, until_at)."""
    key = (runs.c.slot_ms, runs.c.series_id, runs.c.turn)
    query: Any = (
        select(*key, runs.c.batch_no, runs.c.line, senders.c.fleet, senders.c.region, senders.c.probe)
        .select_from(runs.join(series, series.c.series_id == runs.c.series_id).join(*sender_of_series()))
        .where(in_window(runs.c.slot_ms, from_at, until_at))
        .order_by(*key)
        .limit(PAGE_SLOTS)
    )
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    found = await session.fetch(query)
    unpacked = await _unpacked(session, sorted({row[3] for row in found}))
    entries = [ArchivedEntry(Address(*row[5:8]), *unpacked[row[3]][row[4]]) for row in found if row[3] in unpacked]
    last = found[-1][:3] if len(found) == PAGE_SLOTS else None
    return Page(entries, (last[0], last[1], last[2]) if last else None)


async def _unpacked(session: Session, batch_numbers: list[int]) -> dict[int, list[tuple[str, bytes]]]:
    query = select(batches.c.batch_no, batches.c.form, batches.c.body).where(batches.c.batch_no.in_(batch_numbers))
    return {number: stored_entries(form, bytes(body)) for number, form, body in await session.fetch(query)}


async def fetch_side_entries(session: Session, from_at: datetime, until_at: datetime) -> list[ArchivedEntry]:
    """What gives the slots of [from_at, until_at) their meaning: debts in force and unfit minutes."""
    entries = [
        ArchivedEntry(
            debt.series.address,
            EntryKind.SCHEDULE.value,
            render_entry(
                OwedSlots(
                    scenario=debt.series.scenario,
                    interval_ms=debt.schedule.interval_ms,
                    phase_ms=debt.schedule.phase_ms,
                    tolerance_ms=debt.schedule.tolerance_ms,
                    timeout_ms=debt.timeout_ms,
                    from_at=debt.from_at,
                    until_at=debt.until_at,
                )
            ),
        )
        for debt in await fetch_debts(session, until_at)
        if debt.until_at is None or debt.until_at > from_at
    ]
    for minute in await fetch_unfit(session, from_at - timedelta(minutes=1), until_at):
        body = render_entry(FitnessMinute(minute_at=minute.minute_at, reasons=[minute.reasons or "unfit"]))
        entries.append(ArchivedEntry(minute.address, EntryKind.FITNESS.value, body))
    return entries
