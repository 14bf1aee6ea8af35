"""One transaction of the collector: books, slots, records, quarantine, counters, for a group of deliveries at once.

The order matters: probes are locked by ascending number, so that two collectors on one database wait for each other and
never deadlock; the optimistic insert comes before the search for what exists already, because nearly every entry is new.
An identity is stored once: the same content again is a duplicate, another content is a conflict and goes to quarantine.

Refuses to begin, commit or repeat transactions (the back ends do). Called by `collector.store_sqlite` and
`collector.store_postgres`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select, tuple_

from collector import store_statements as sql
from collector.store_books import Books
from collector.store_intake import EndedSlot, Intake, Refused
from collector.store_packing import stored_entries
from collector.store_rows import (
    MAX_SCENARIOS,
    Known,
    WordUnknownError,
    kept_text,
    kept_word,
    run_row,
    step_rows,
    words_of,
)
from collector.store_session import Row, Session, StoreRefusedError
from collector.store_tables import batches, gaps, microseconds_of, runs, steps
from probes.messages import Address

__all__ = ["Arrival", "GroupResult", "commit_group"]

KEPT_PER_SENDER = 1_000
KEPT_BODY_BYTES = 65_536
KEYS_AT_ONCE = 300
NO_SENDER = 0

Arrival = Intake | Refused
Key = tuple[int, int, int]


@dataclass(slots=True)
class GroupResult:
    """What became of a group's entries; `quarantined` counts refused deliveries, poison and conflicts, `slots` new slots."""

    entries: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    slots: int = 0


@dataclass(slots=True)
class Filing:
    """One delivery of a group. `before` are those of its numbers that had come earlier."""

    sender_id: int
    tally: GroupResult
    intake: Intake
    before: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Placed:
    """A slot, where it came from, and its key."""

    filing: Filing
    slot: EndedSlot
    key: Key

    @property
    def body(self) -> bytes:
        """The entry that says how the slot ended."""
        return self.filing.intake.entries[self.slot.line].body


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something for the quarantine."""

    sender_id: int
    received_us: int
    epoch: int
    seq: int
    topic: str
    kind: str
    reason: str
    body: bytes


async def commit_group(session: Session, known: Known, arrivals: Sequence[Arrival]) -> GroupResult:
    """Store a group inside the session's transaction; everything in it may be acknowledged once that is committed."""
    return await Group(session, known).store(arrivals)


class Group:
    """The state of one transaction."""

    def __init__(self, session: Session, known: Known) -> None:
        self._session = session
        self._known = known
        self._tallies: dict[int, GroupResult] = {}
        self._last_seen: dict[int, tuple[int, int]] = {}  # sender -> received_us, epoch
        self._books: dict[tuple[int, int], Books] = {}
        self._fresh: dict[Key, Placed] = {}
        self._suspects: list[Placed] = []
        self._aside: list[SetAside] = []

    async def store(self, arrivals: Sequence[Arrival]) -> GroupResult:
        """Everything, in the order that keeps two collectors from waiting for each other in a circle."""
        filings = await self._identify(arrivals)
        await self._session.lock_senders(sorted(self._tallies.keys() - {NO_SENDER}))
        for filing in filings:
            await self._enter(filing)
            await self._sort(filing)
        await self._insert_slots()
        await self._settle_suspects()
        for filing in filings:
            await self._side_entries(filing)
        await self._insert_quarantine()
        await self._close_books()
        tallies = self._tallies.values()
        return GroupResult(
            sum(tally.entries for tally in tallies),
            sum(tally.duplicates for tally in tallies),
            sum(tally.conflicts for tally in tallies),
            sum(tally.quarantined for tally in tallies),
            len(self._fresh),
        )

    async def _identify(self, arrivals: Sequence[Arrival]) -> list[Filing]:
        filings = []
        for arrival in sorted(arrivals, key=_name_of):
            sender_id = NO_SENDER
            if isinstance(arrival, Intake):
                received_us, epoch = arrival.received_us, arrival.epoch
            else:
                received_us, epoch = microseconds_of(arrival.delivery.received_at), 0
            if arrival.sender is not None:
                sender_id = await self._sender_id(arrival.sender, received_us)
            tally = self._tallies.setdefault(sender_id, GroupResult())
            seen_us, seen_epoch = self._last_seen.get(sender_id, (0, 0))
            self._last_seen[sender_id] = (max(seen_us, received_us), max(seen_epoch, epoch))
            if isinstance(arrival, Intake):
                filings.append(Filing(sender_id, tally, arrival))
            else:
                tally.quarantined += 1
                delivery = arrival.delivery
                self._aside.append(
                    SetAside(sender_id, received_us, 0, 0, delivery.topic, "delivery", arrival.reason, delivery.payload)
                )
        return filings

    async def _sender_id(self, sender: Address, now_us: int) -> int:
        sender_id = self._known.senders.get(sender)
        if sender_id is None:
            name = {"fleet": sender.fleet, "region": sender.region, "probe": sender.probe}
            await self._session.execute(sql.NEW_SENDER, **name, now_us=now_us)
            ((sender_id,),) = await self._session.fetch(sql.SENDER, **name)
            self._known.senders[sender] = sender_id
        return sender_id

    async def _enter(self, filing: Filing) -> None:
        """Enter the numbers into the probe's books; what an archive brings back has none."""
        intake = filing.intake
        if not intake.numbers:
            return
        key = (filing.sender_id, intake.epoch)
        if key not in self._books:
            highest = await self._session.fetch(sql.HIGHEST, sender=filing.sender_id, life=intake.epoch)
            open_gaps = await self._session.fetch(sql.GAPS, sender=filing.sender_id, life=intake.epoch)
            self._books[key] = Books(highest[0][0] if highest else 0, [(first, last) for first, last in open_gaps])
        filing.before = self._books[key].take(intake.numbers)
        filing.tally.duplicates += len(filing.before)
        filing.tally.entries += len(intake.numbers) - len(filing.before)

    async def _sort(self, filing: Filing) -> None:
        """Tell new slots from those that may be known already, and good entries from poison."""
        sender_id, before, series = filing.sender_id, filing.before, self._known.series
        for slot in filing.intake.slots:
            series_id = series.get((sender_id, slot.scenario)) or await self._series_id(sender_id, slot.scenario)
            if not series_id:
                reason = f"the probe has named more than {MAX_SCENARIOS} scenarios"
                self._set_aside(filing, slot.seq, "slot", reason, filing.intake.entries[slot.line].body)
                continue
            placed = Placed(filing, slot, (slot.slot_ms, series_id, slot.turn))
            if slot.seq in before or placed.key in self._fresh:
                self._suspects.append(placed)
            else:
                self._fresh[placed.key] = placed
        for poison in filing.intake.poison:
            if poison.seq not in before:
                self._set_aside(filing, poison.seq, poison.kind, poison.reason, poison.body)

    async def _series_id(self, sender_id: int, scenario: str) -> int:
        """The number of a probe's scenario; 0 when the probe has named too many."""
        fetched = await self._session.fetch(sql.SERIES, sender=sender_id, name=scenario)
        if not fetched:
            ((count,),) = await self._session.fetch(sql.SERIES_OF_SENDER, sender=sender_id)
            if count >= MAX_SCENARIOS:
                return 0
            await self._session.execute(sql.NEW_SERIES, sender=sender_id, name=scenario)
            fetched = await self._session.fetch(sql.SERIES, sender=sender_id, name=scenario)
        series_id = int(fetched[0][0])
        self._known.series[sender_id, scenario] = series_id
        return series_id

    async def _insert_slots(self) -> None:
        """Insert what looks new; where the database knows better, take that out and insert the rest."""
        for _attempt in range(2):
            if not self._fresh:
                return
            numbered = await self._numbered()
            run_rows, all_step_rows = await self._rows(numbered)
            if await self._session.insert_new(runs, run_rows):
                await self._session.insert(steps, all_step_rows)
                await self._insert_batches(numbered)
                return
            for key in await self._stored_places(list(self._fresh)):
                self._suspects.append(self._fresh.pop(key))
        message = "slots appeared while their probe was locked"
        raise StoreRefusedError(message)

    async def _numbered(self) -> list[tuple[Placed, int]]:
        """The new slots, each with the number of the batch that will hold its record."""
        numbers: dict[int, int] = {}
        for placed in self._fresh.values():
            if id(placed.filing) not in numbers:
                numbers[id(placed.filing)] = await self._session.next_batch_no()
        return [(placed, numbers[id(placed.filing)]) for placed in self._fresh.values()]

    async def _rows(self, numbered: Sequence[tuple[Placed, int]]) -> tuple[list[Row], list[Row]]:
        try:
            return rows_of(numbered, self._known)
        except WordUnknownError:
            missing = {kept_word(word) for word in words_of(placed.slot for placed, _ in numbered)}
            for word in sorted(missing - self._known.words.keys()):
                if self._known.words.has_room:
                    await self._session.execute(sql.NEW_WORD, text=word)
                    ((self._known.words[word],),) = await self._session.fetch(sql.WORD, text=word)
            return rows_of(numbered, self._known)

    async def _insert_batches(self, numbered: Sequence[tuple[Placed, int]]) -> None:
        """The records themselves, one batch for each delivery that brought something new."""
        newest_ms: dict[int, int] = {}
        filings: dict[int, Filing] = {}
        for placed, batch_no in numbered:
            filings[batch_no] = placed.filing
            newest_ms[batch_no] = max(newest_ms.get(batch_no, 0), placed.slot.slot_ms)
        rows: list[Row] = []
        for batch_no, filing in filings.items():
            intake = filing.intake
            stored = (batch_no, filing.sender_id, intake.received_us, newest_ms[batch_no], intake.form)
            rows.append((*stored, intake.stored_body))
        await self._session.insert(batches, rows)

    async def _settle_suspects(self) -> None:
        """Compare each identity that came again with what is stored: a duplicate is counted, a contradiction kept apart."""
        places = await self._stored_places(
            [suspect.key for suspect in self._suspects if suspect.key not in self._fresh]
        )
        stored_batches: dict[int, list[tuple[str, bytes]]] = {}
        for suspect in self._suspects:
            if suspect.key in self._fresh:
                first_body = self._fresh[suspect.key].body
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

    def _settle(self, suspect: Placed, *, is_same: bool) -> None:
        number_is_new = suspect.slot.seq not in suspect.filing.before
        tally = suspect.filing.tally
        if is_same:
            tally.duplicates += number_is_new
            return
        tally.conflicts += 1
        reason = "another content is stored under this identity"
        self._set_aside(suspect.filing, suspect.slot.seq, "conflict", reason, suspect.body)

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

    async def _side_entries(self, filing: Filing) -> None:
        """Debts, unfit minutes and losses: rare, one statement each; a later word on the same thing replaces the earlier."""
        intake, sender_id, before = filing.intake, filing.sender_id, filing.before
        for seq, debt in intake.schedules:
            series_id = 0 if seq in before else await self._series_id(sender_id, debt.scenario)
            if series_id:
                await self._session.execute(
                    sql.SET_DEBT,
                    series=series_id,
                    since=microseconds_of(debt.from_at),
                    until=microseconds_of(debt.until_at) if debt.until_at else 0,
                    interval=debt.interval_ms,
                    phase=debt.phase_ms,
                    tolerance=debt.tolerance_ms,
                    timeout=debt.timeout_ms,
                )
        for seq, minute in intake.unfit_minutes:
            if seq not in before:
                minute_ms = microseconds_of(minute.minute_at) // 60_000_000 * 60_000
                why = kept_word("; ".join(minute.reasons))
                await self._session.execute(sql.SET_MINUTE, minute=minute_ms, sender=sender_id, why=why)
        for seq, loss in intake.losses:
            if seq not in before:
                await self._session.execute(
                    sql.NEW_LOSS,
                    sender=sender_id,
                    life=intake.epoch,
                    first=loss.first_seq,
                    last=loss.last_seq,
                    count=loss.entries,
                    why=kept_word(loss.reason),
                    now_us=intake.received_us,
                )

    def _set_aside(self, filing: Filing, seq: int, kind: str, reason: str, body: bytes) -> None:
        intake = filing.intake
        filing.tally.quarantined += 1
        topic = intake.sender.topic("results")
        self._aside.append(SetAside(filing.sender_id, intake.received_us, intake.epoch, seq, topic, kind, reason, body))

    async def _insert_quarantine(self) -> None:
        """Keep what was set aside, of each probe only so much: the counters go on, the disk does not fill."""
        room: dict[int, int] = {}
        for item in self._aside:
            if item.sender_id not in room:
                ((kept,),) = await self._session.fetch(sql.KEPT, sender=item.sender_id)
                room[item.sender_id] = KEPT_PER_SENDER - kept
            if room[item.sender_id] > 0:
                room[item.sender_id] -= 1
                await self._session.execute(
                    sql.NEW_QUARANTINE,
                    now_us=item.received_us,
                    sender=item.sender_id,
                    life=item.epoch,
                    number=item.seq,
                    came_on=kept_word(item.topic),
                    sort=kept_word(item.kind),
                    why=kept_text(item.reason),
                    content=item.body[:KEPT_BODY_BYTES],
                )

    async def _close_books(self) -> None:
        """Write what the books and the counters now say."""
        for (sender_id, epoch), books in self._books.items():
            now_us = self._last_seen[sender_id][0]
            await self._session.execute(
                sql.SET_EPOCH, sender=sender_id, life=epoch, highest=books.highest_seq, now_us=now_us
            )
            if books.gaps_changed:
                await self._session.execute(sql.CLOSE_GAPS, sender=sender_id, life=epoch)
                await self._session.insert(gaps, [(sender_id, epoch, first, last) for first, last in books.gaps])
        for sender_id, tally in self._tallies.items():
            now_us, epoch = self._last_seen[sender_id]
            if sender_id != NO_SENDER:
                await self._session.execute(
                    sql.COUNT,
                    sender=sender_id,
                    now_us=now_us,
                    life=epoch,
                    new=tally.entries,
                    again=tally.duplicates,
                    contrary=tally.conflicts,
                    bad=tally.quarantined,
                )


def rows_of(numbered: Sequence[tuple[Placed, int]], known: Known) -> tuple[list[Row], list[Row]]:
    """The rows of the tables `runs` and `steps`; raises WordUnknownError."""
    words = known.words
    run_rows: list[Row] = []
    all_step_rows: list[Row] = []
    for placed, batch_no in numbered:
        run_rows.append(run_row(placed.slot, placed.key[1], batch_no, words))
        all_step_rows += step_rows(placed.slot.facts.steps, placed.key, words)
    return run_rows, all_step_rows


def is_same_content(first: bytes, second: bytes) -> bool:
    """Whether two entries say the same, perhaps written by two programs."""
    if first == second:
        return True
    try:
        return bool(json.loads(first) == json.loads(second))
    except (ValueError, RecursionError):
        return False


def _name_of(arrival: Arrival) -> tuple[str, str, str]:
    sender = arrival.sender
    return (sender.fleet, sender.region, sender.probe) if sender else ("", "", "")
