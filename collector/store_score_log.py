"""Agreed interruptions, and scores as they were once reported: both are put on record once, and what is there is not rewritten.

Refuses to read what a document says. Called by `collector.store_scores`, in its transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from collector.store_session import Session
from collector.store_tables import instant_of_us, maintenance, microseconds_of, revisions

__all__ = [
    "Revision",
    "StoredMaintenance",
    "WindowKey",
    "add_maintenance",
    "fetch_maintenance",
    "fetch_revisions",
    "note_revision",
    "remove_maintenance",
]

log = structlog.get_logger(__name__)

WindowKey = tuple[str, str, str]
"""Line, target and span of a closed window."""

ALL_MAINTENANCE: Final = select(maintenance.c.name, maintenance.c.document, maintenance.c.recorded_us).order_by(
    maintenance.c.maintenance_id
)


@dataclass(frozen=True, slots=True)
class StoredMaintenance:
    """An agreed interruption as it was recorded; `document` is its JSON."""

    name: str
    document: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """The score of a closed window as it was reported; the first has number 1."""

    revision: int
    made_at: datetime
    digest: str
    document: str


async def add_maintenance(session: Session, name: str, document: str, *, now: datetime) -> bool:
    """Record an agreed interruption; False where the name is taken."""
    statement = insert(maintenance).on_conflict_do_nothing()
    values = statement.values(name=name, document=document, recorded_us=microseconds_of(now))
    return bool(await session.execute(values))


async def remove_maintenance(session: Session, name: str) -> bool:
    """Forget an interruption that did not come; False when there is none of that name."""
    return bool(await session.execute(delete(maintenance).where(maintenance.c.name == name)))


async def fetch_maintenance(session: Session) -> list[StoredMaintenance]:
    """Every agreed interruption, in the order in which they were recorded."""
    found = await session.fetch(ALL_MAINTENANCE)
    return [StoredMaintenance(row[0], row[1], instant_of_us(row[2])) for row in found]


async def note_revision(session: Session, window: WindowKey, *, digest: str, document: str, now: datetime) -> Revision:
    """The revision that holds this score: the newest one if it says the same, else a new one with the next number."""
    await session.lock_schema()
    known = await fetch_revisions(session, window)
    if known and known[-1].digest == digest:
        return known[-1]
    made = Revision(known[-1].revision + 1 if known else 1, now, digest, document)
    line, target, span = window
    await session.execute(
        insert(revisions).values(
            line=line,
            target=target,
            span=span,
            revision=made.revision,
            made_us=microseconds_of(now),
            digest=digest,
            document=document,
        )
    )
    if known:
        log.warning("score.revised", line=line, target=target, window=span, revision=made.revision)
    return made


async def fetch_revisions(session: Session, window: WindowKey) -> list[Revision]:
    """Every revision of a closed window's score, the oldest first."""
    line, target, span = window
    columns = [revisions.c[name] for name in ("revision", "made_us", "digest", "document")]
    query = (
        select(*columns)
        .where(revisions.c.line == line, revisions.c.target == target, revisions.c.span == span)
        .order_by(revisions.c.revision)
    )
    return [Revision(row[0], instant_of_us(row[1]), row[2], row[3]) for row in await session.fetch(query)]
