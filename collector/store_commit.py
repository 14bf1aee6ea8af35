"""One transaction of the collector: books, slots, records, quarantine, counters, for a group of deliveries at once.

The order matters: probes are locked by ascending number, so that two collectors on one database wait for each other and
never deadlock. Whoever follows what is stored (a scorer) is given the new slots inside the same transaction: what it writes
stands or falls with them.

Refuses to begin, commit or repeat transactions (the back ends do). Called by `collector.store_sqlite` and
`collector.store_postgres`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from collector import store_statements as sql
from collector.store_aside import Aside
from collector.store_books import Books
from collector.store_intake import Intake, Refused
from collector.store_rows import Known, kept_word
from collector.store_session import Session
from collector.store_slots import Filing, FreshSlot, GroupResult, Slots, series_id_of
from collector.store_tables import NO_SENDER, gaps, microseconds_of
from probes.messages import Address

__all__ = ["Arrival", "Follower", "FreshSlot", "GroupResult", "Stored", "commit_group"]

Arrival = Intake | Refused


class Follower(Protocol):
    """Whoever wants to know what is stored, while it can still write beside it."""

    async def follow(self, session: Session, fresh: Collection[FreshSlot]) -> None:
        """These slots are in this transaction for the first time. It may be undone and tried again: remember nothing of it."""
        ...


class Stored:
    """A follower that keeps what the last try of its transaction stored; believe it only once that is committed."""

    def __init__(self) -> None:
        self.fresh: tuple[FreshSlot, ...] = ()

    async def follow(self, _session: Session, fresh: Collection[FreshSlot]) -> None:
        """Forget the try before, if there was one."""
        self.fresh = tuple(fresh)


async def commit_group(
    session: Session, known: Known, arrivals: Sequence[Arrival], followers: Sequence[Follower] = ()
) -> GroupResult:
    """Store a group inside the session's transaction; everything in it may be acknowledged once that is committed."""
    return await Group(session, known, followers).store(arrivals)


class Group:
    """The state of one transaction."""

    def __init__(self, session: Session, known: Known, followers: Sequence[Follower]) -> None:
        self._session = session
        self._known = known
        self._followers = followers
        self._tallies: dict[int, GroupResult] = {}
        self._last_seen: dict[int, tuple[int, int]] = {}  # sender -> received_us, epoch
        self._books: dict[tuple[int, int], Books] = {}
        self._aside = Aside()
        self._slots = Slots(session, known, self._aside)

    async def store(self, arrivals: Sequence[Arrival]) -> GroupResult:
        """Everything, in the order that keeps two collectors from waiting for each other in a circle."""
        filings = await self._identify(arrivals)
        await self._session.lock_senders(sorted(self._tallies.keys() - {NO_SENDER}))
        for filing in filings:
            await self._enter(filing)
            await self._slots.sort(filing)
        await self._slots.insert()
        await self._slots.settle()
        for filing in filings:
            await self._side_entries(filing)
        await self._aside.insert(self._session)
        await self._close_books()
        fresh = self._slots.fresh.values()
        for follower in self._followers:
            await follower.follow(self._session, fresh)
        return sum(self._tallies.values(), GroupResult(slots=len(fresh)))

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
                self._aside.add_delivery(arrival, sender_id)
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

    async def _side_entries(self, filing: Filing) -> None:
        """Debts, unfit minutes and losses: rare, one statement each; a later word on the same thing replaces the earlier."""
        intake, sender_id, before = filing.intake, filing.sender_id, filing.before
        for seq, debt in intake.schedules:
            series_id = 0 if seq in before else await series_id_of(self._session, self._known, sender_id, debt.scenario)
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
                first_ms = microseconds_of(minute.minute_at) // 60_000_000 * 60_000
                why = kept_word("; ".join(minute.reasons))
                for minute_ms in range(first_ms, first_ms + minute.minutes * 60_000, 60_000):
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


def _name_of(arrival: Arrival) -> tuple[str, str, str]:
    sender = arrival.sender
    return (sender.fleet, sender.region, sender.probe) if sender else ("", "", "")
