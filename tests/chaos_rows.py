"""What a collector's database holds, read with plain SQL: the other side of the comparison in the tests of exactly-once.

Refuses to judge. The same statements go to SQLite and to PostgreSQL. Used by tests named exactly_once.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from collector.store_packing import stored_entries
from probes.ledger_entries import SlotEnd, parse_entry
from tests.chaos_judge import StoredEnding
from tests.chaos_producer import SCENARIOS

__all__ = ["StoredBooks", "read_books"]

Row = Sequence[object]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOW_BY_CODE = {0: "run", 1: "missed", 2: "maintenance", 3: "aborted"}

ENDINGS = """
SELECT senders.probe, series.scenario, runs.slot_ms, runs.turn, runs.ended, runs.batch_no, runs.line
FROM runs JOIN series ON series.series_id = runs.series_id JOIN senders ON senders.sender_id = series.sender_id
"""
BATCHES = "SELECT batch_no, form, body FROM batches"
COUNTS = """
SELECT (SELECT count(*) FROM steps), (SELECT count(*) FROM gaps), (SELECT count(*) FROM losses),
       (SELECT count(*) FROM quarantine)
"""
SENDERS = "SELECT probe, entries, duplicates, conflicts, quarantined FROM senders ORDER BY probe"


@dataclass(frozen=True, slots=True)
class StoredBooks:
    """Every row that matters. `duplicates` is how many entries came again, over all probes."""

    endings: list[StoredEnding]
    steps: int
    gaps: int
    losses: int
    quarantine: int
    entries: dict[str, int]
    duplicates: int
    conflicts: int


async def read_books(database: str, from_at: datetime) -> StoredBooks:
    """Of a file or an address of PostgreSQL; slots are numbered from `from_at` on."""
    statements = (ENDINGS, BATCHES, COUNTS, SENDERS)
    rows, batches, counts, senders = (
        await rows_of_postgres(database, statements) if "://" in database else rows_of_sqlite(database, statements)
    )
    unpacked = {number: stored_entries(int(str(form)), bytes(body)) for number, form, body in batches}  # type: ignore[call-overload] # rows of a driver have no types
    steps, gaps, losses, quarantine = (int(str(count)) for count in counts[0])
    return StoredBooks(
        [ending_of(row, unpacked, from_at) for row in rows],
        steps,
        gaps,
        losses,
        quarantine,
        entries={str(probe): int(str(entries)) for probe, entries, *_ in senders},
        duplicates=sum(int(str(row[2])) for row in senders),
        conflicts=sum(int(str(row[3])) for row in senders),
    )


def ending_of(row: Row, unpacked: dict[object, list[tuple[str, bytes]]], from_at: datetime) -> StoredEnding:
    """One row, and the entry that it points to; they must say the same."""
    probe, scenario, slot_ms, turn, ended, batch_no, line = row
    kind, body = unpacked[batch_no][int(str(line))]
    how = "run" if kind == "run" else parse_entry(SlotEnd, body).reason.value
    assert how == HOW_BY_CODE[int(str(ended))], row
    after_s = (EPOCH + timedelta(milliseconds=int(str(slot_ms))) - from_at) / timedelta(seconds=1)
    is_ours = scenario in SCENARIOS and after_s >= 0 and after_s.is_integer() and turn == 0
    number = int(after_s) * len(SCENARIOS) + SCENARIOS.index(str(scenario)) if is_ours else -1
    return StoredEnding(str(probe), number, how, hashlib.sha256(body).hexdigest())


def rows_of_sqlite(path: str, statements: Sequence[str]) -> list[list[Row]]:
    """The answer to each."""
    with closing(sqlite3.connect(path)) as db:
        return [db.execute(statement).fetchall() for statement in statements]


async def rows_of_postgres(url: str, statements: Sequence[str]) -> list[list[Row]]:
    """The answer to each."""
    db = await asyncpg.connect(url)
    try:
        return [[tuple(row) for row in await db.fetch(statement)] for statement in statements]
    finally:
        await db.close()
