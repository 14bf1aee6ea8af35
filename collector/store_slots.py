"""The slots of one transaction: the new ones in, those that came before compared with what is stored.

The optimistic insert comes before the search for what exists already, because nearly every slot is new. An identity is stored
once: the same content again is a duplicate, another content is a conflict and goes to quarantine.

Refuses to lock, commit and count. Called by `collector.store_commit`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import select, tuple_

from collector import store_statements as sql
from collector.store_aside import Aside
from collector.store_intake import EndedSlot, Intake
from collector.store_packing import stored_entries
from collector.store_rows import (
    MAX_SCENARIOS,
    Known,
    WordUnknownError,
    missing_words,
    run_row,
    step_rows,
)
from collector.store_session import Row, Session, StoreRefusedError
from collector.store_tables import batches, runs, steps

__all__ = ["Filing", "FreshSlot", "GroupResult", "Slots", "series_id_of"]

KEYS_AT_ONCE = 300

Key = tuple[int, int, int]


@dataclass(slots=True)
class GroupResult:
    """What became of a group's entries; `quarantined` counts refused deliveries, poison and conflicts, `slots` new slots."""

    entries: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    slots: int = 0

    def __add__(self, other: GroupResult) -> GroupResult:
        """Both together."""
        return GroupResult(
            self.entries + other.entries,
            self.duplicates + other.duplicates,
            self.conflicts + other.conflicts,
            self.quarantined + other.quarantined,
            self.slots + other.slots,
        )


@dataclass(slots=True)
class Filing:
    """One delivery of a group. `before` are those of its numbers that had come earlier, `batch_no` is given to new records."""

    sender_id: int
    tally: GroupResult
    intake: Intake
    before: set[int] = field(default_factory=set)
    batch_no: int = 0


class FreshSlot(msgspec.Struct, frozen=True, gc=False):
    """A slot that ended, the delivery that said so, and its key: slot in milliseconds, series, turn. Cheap, as `EndedSlot` is."""

    filing: Filing
    slot: EndedSlot
    key: Key

    @property
    def body(self) -> bytes:
        """The entry that says how the slot ended."""
        return self.filing.intake.entries[self.slot.line].body


class Slots:
    """Those of one transaction: `sort` every filing, then `insert`, then `settle`; `fresh` is then what is stored now."""

    def __init__(self, session: Session, known: Known, aside: Aside) -> None:
        self.fresh: dict[Key, FreshSlot] = {}
        self._session = session
        self._known = known
        self._aside = aside
        self._suspects: list[FreshSlot] = []

    async def sort(self, filing: Filing) -> None:
        """Tell new slots from those that may be known already, and good entries from poison."""
        sender_id, before, fresh = filing.sender_id, filing.before, self.fresh
        series = self._known.series
        for slot in filing.intake.slots:
            series_id = series.get((sender_id, slot.scenario)) or await series_id_of(
                self._session, self._known, sender_id, slot.scenario
            )
            if not series_id:
                reason = f"the probe has named more than {MAX_SCENARIOS} scenarios"
                self._set_aside(filing, slot.seq, "slot", reason, filing.intake.entries[slot.line].body)
                continue
            key = (slot.slot_ms, series_id, slot.turn)
            placed = FreshSlot(filing, slot, key)
            if key in fresh or slot.seq in before:
                self._suspects.append(placed)
            else:
                fresh[key] = placed
        for poison in filing.intake.poison:
            if poison.seq not in before:
                self._set_aside(filing, poison.seq, poison.kind, poison.reason, poison.body)

    async def insert(self) -> None:
        """Insert what looks new; where the database knows better, take that out and insert the rest."""
        for _attempt in range(2):
            if not self.fresh:
                return
            placed = list(self.fresh.values())
            await self._number(placed)
            run_rows, all_step_rows = await self._rows(placed)
            if await self._session.insert_new(runs, run_rows):
                await self._session.insert(steps, all_step_rows)
                await self._session.insert(batches, batch_rows(placed))
                return
            for key in await self._stored_places(list(self.fresh)):
                self._suspects.append(self.fresh.pop(key))
        message = "slots appeared while their probe was locked"
        raise StoreRefusedError(message)

    async def settle(self) -> None:
        """Compare each identity that came again with what is stored: a duplicate is counted, a contradiction kept apart."""
        places = await self._stored_places([suspect.key for suspect in self._suspects if suspect.key not in self.fresh])
        stored_batches: dict[int, list[tuple[str, bytes]]] = {}
        for suspect in self._suspects:
            if suspect.key in self.fresh:
                first_body = self.fresh[suspect.key].body
            elif suspect.key in places:
                batch_no, line = places[suspect.key]
                if batch_no not in stored_batches:
                    stored = await self._session.fetch(sql.BATCH, number=batch_no)
                    stored_batches[batch_no] = stored_entries(*stored[0]) if stored else []
                held = stored_batches[batch_no]
                first_body = held[line][1] if line < len(held) else b""
            else:
                continue  # it was poison when it came first, or retention has taken it
            self._settle(suspect, is_same=is_same_content(first_body, suspect.body))

    async def _number(self, placed: Sequence[FreshSlot]) -> None:
        """Give each delivery that brings something new the number of the batch that will hold its records."""
        for one in placed:
            if not one.filing.batch_no:
                one.filing.batch_no = await self._session.next_batch_no()

    async def _rows(self, placed: Sequence[FreshSlot]) -> tuple[list[Row], list[Row]]:
        try:
            return rows_of(placed, self._known)
        except WordUnknownError:
            words = self._known.words
            for word in sorted(missing_words((one.slot for one in placed), words)):
                if words.has_room:
                    await self._session.execute(sql.NEW_WORD, text=word)
                    ((words[word],),) = await self._session.fetch(sql.WORD, text=word)
            return rows_of(placed, self._known)

    def _settle(self, suspect: FreshSlot, *, is_same: bool) -> None:
        number_is_new = suspect.slot.seq not in suspect.filing.before
        tally = suspect.filing.tally
        if is_same:
            tally.duplicates += number_is_new
            return
        tally.conflicts += 1
        reason = "another content is stored under this identity"
        self._set_aside(suspect.filing, suspect.slot.seq, "conflict", reason, suspect.body)

    def _set_aside(self, filing: Filing, seq: int, kind: str, reason: str, body: bytes) -> None:
        filing.tally.quarantined += 1
        self._aside.add_entry(filing.intake, filing.sender_id, seq=seq, kind=kind, reason=reason, body=body)

    async def _stored_places(self, keys: Sequence[Key]) -> dict[Key, tuple[int, int]]:
        """Batch and line of those keys that are stored."""
        places: dict[Key, tuple[int, int]] = {}
        identity = (runs.c.slot_ms, runs.c.series_id, runs.c.turn)
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = list(keys[start : start + KEYS_AT_ONCE])
            query = select(*identity, runs.c.batch_no, runs.c.line).where(tuple_(*identity).in_(some))
            for slot_ms, series_id, turn, batch_no, line in await self._session.fetch(query):
                places[slot_ms, series_id, turn] = (batch_no, line)
        return places


async def series_id_of(session: Session, known: Known, sender_id: int, scenario: str) -> int:
    """The number of a probe's scenario, given now if need be; 0 when the probe has named too many."""
    fetched = await session.fetch(sql.SERIES, sender=sender_id, name=scenario)
    if not fetched:
        ((count,),) = await session.fetch(sql.SERIES_OF_SENDER, sender=sender_id)
        if count >= MAX_SCENARIOS:
            return 0
        await session.execute(sql.NEW_SERIES, sender=sender_id, name=scenario)
        fetched = await session.fetch(sql.SERIES, sender=sender_id, name=scenario)
    series_id = int(fetched[0][0])
    known.series[sender_id, scenario] = series_id
    return series_id


def rows_of(placed: Sequence[FreshSlot], known: Known) -> tuple[list[Row], list[Row]]:
    """The rows of the tables `runs` and `steps`; raises WordUnknownError."""
    words = known.words
    run_rows: list[Row] = []
    all_step_rows: list[Row] = []
    for one in placed:
        run_rows.append(run_row(one.slot, one.key[1], one.filing.batch_no, words))
        all_step_rows += step_rows(one.slot.facts.steps, one.key, words)
    return run_rows, all_step_rows


def batch_rows(placed: Sequence[FreshSlot]) -> list[Row]:
    """The records themselves, one row of `batches` for each delivery that brought something new."""
    newest_ms: dict[int, int] = {}
    filings: dict[int, Filing] = {}
    for one in placed:
        batch_no = one.filing.batch_no
        filings[batch_no] = one.filing
        newest_ms[batch_no] = max(newest_ms.get(batch_no, 0), one.slot.slot_ms)
    return [
        (
            batch_no,
            filing.sender_id,
            filing.intake.received_us,
            newest_ms[batch_no],
            filing.intake.form,
            filing.intake.stored_body,
        )
        for batch_no, filing in filings.items()
    ]


def is_same_content(first: bytes, second: bytes) -> bool:
    """Whether two entries say the same, perhaps written by two programs."""
    if first == second:
        return True
    try:
        return bool(json.loads(first) == json.loads(second))
    except (ValueError, RecursionError):
        return False
