"""Where the fleet's results live: takes deliveries in whole transactions, and answers what is known of probes, slots and runs.

A delivery is in the database for good, and once, when `file` returns; only then may it be acknowledged. SQLite is the
default; PostgreSQL is for several collectors. This package of modules (`store_*`) is the only place that knows SQL.

Refuses to talk to probes (`collector.ingest`) and to judge service levels. Called by the ingest, the console, the pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from collector import store_queries as queries
from collector.ledger import Account, Debt, Ending, SlotLine, lines_of
from collector.store_accounts import fetch_accounts
from collector.store_alerts import Alerts
from collector.store_archive import ArchivedEntry, Page, fetch_page, fetch_side_entries
from collector.store_book_archive import fetch_books, unite_books
from collector.store_commit import Arrival, Follower, FreshSlot, GroupResult, Stored, commit_group
from collector.store_counts import LineCounts
from collector.store_intake import Delivery, Intake, Poison, judge
from collector.store_messages import Messages
from collector.store_migrations import SCHEMA_VERSION, checked, migrate
from collector.store_queries import (
    ProbeState,
    QuarantinedEntry,
    Totals,
    UnfitMinute,
)
from collector.store_releases import Releases
from collector.store_repack import Block, BlockOutdatedError, exchange, prepare_block
from collector.store_rows import Known
from collector.store_runs import RunFilter, RunSummary, fetch_record, fetch_runs, find_run
from collector.store_samples import Samples
from collector.store_scores import Scores
from collector.store_session import Answer, Backend, Session, StoreError, StoreRefusedError, Work
from collector.store_sqlite import SqliteBackend, may_be_written
from collector.store_status import set_status
from collector.store_tables import microseconds_of
from collector.store_upkeep import Pruned, Retention, prune
from collector.store_views import Views
from probes.errors import DependencyError, OperatorError
from probes.messages import Address, RawEntry
from probes.records import Outcome, RunIdentity

__all__ = [
    "SCHEMA_VERSION",
    "ArchivedEntry",
    "Delivery",
    "Filed",
    "Follower",
    "FreshSlot",
    "Listener",
    "Pruned",
    "Receipt",
    "Retention",
    "Store",
    "StoreError",
    "open_store",
]

log = structlog.get_logger(__name__)

SQLITE_SCHEME: Final = "sqlite:///"
POSTGRES_SCHEMES: Final = ("postgresql://", "postgres://")

Listener = Callable[[Sequence[FreshSlot]], None]
"""Is told after each commit which slots it stored for the first time; must be quick and must not raise."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """These numbers of a probe's epoch are committed: they may be acknowledged."""

    sender: Address
    epoch: int
    numbers: list[int]


@dataclass(frozen=True, slots=True)
class Filed:
    """What became of some deliveries."""

    receipts: list[Receipt]
    result: GroupResult


class Store:
    """An open database. All methods raise StoreError when it cannot be used at the moment; nothing is stored then."""

    def __init__(self, backend: Backend, followers: Sequence[Follower] = ()) -> None:
        """`followers` are told in each transaction what it stores for the first time."""
        self._backend = backend
        self._known = Known()
        self.scores = Scores(backend.read, self._write, self._known.words)
        self.views = Views(backend.read)
        self.samples = Samples(backend.read)
        self.counts = LineCounts(backend.read, self._write)
        self.alerts = Alerts(backend.read, self._write)
        self.messages = Messages(backend.read, self._write)
        self.releases = Releases(backend.read, self._write)
        self._followers = (self.scores, *followers)
        self._listeners: list[Listener] = []

    @property
    def where(self) -> str:
        """The file or the address, without a password."""
        return self._backend.where

    @property
    def groups_at_once(self) -> int:
        """How many calls of `file` are worth being made at the same time."""
        return self._backend.groups_at_once

    def listen(self, listener: Listener) -> None:
        """Tell this one, from now on, what each transaction stored; nobody is told twice, and after a crash nobody is."""
        self._listeners.append(listener)

    async def file(self, deliveries: Sequence[Delivery]) -> Filed:
        """Store everything in one transaction; what cannot be trusted goes to quarantine in the same one.

        Rows that the database refuses although they passed every check are found by halving, and become poison too: one
        entry that nobody foresaw must not hold up a fleet.
        """
        scorer = self.scores.scorer
        arrivals: list[Arrival] = await self._backend.compute(
            lambda: [judge(delivery, scorer) for delivery in deliveries]
        )
        given_up: list[Sequence[RawEntry]] = []
        result = await self._file(arrivals, given_up)
        stored = [
            one
            for one in arrivals
            if isinstance(one, Intake) and not any(one.entries is entries for entries in given_up)
        ]
        return Filed([Receipt(one.sender, one.epoch, one.numbers) for one in stored], result)

    async def file_arrivals(self, arrivals: Sequence[Arrival]) -> GroupResult:
        """Store what has been judged already, for example what an archive brings back."""
        return await self._file(arrivals, [])

    async def _file(self, arrivals: Sequence[Arrival], given_up: list[Sequence[RawEntry]]) -> GroupResult:
        stored = Stored()
        followers = (*self._followers, stored) if self._listeners else self._followers

        async def work(session: Session) -> GroupResult:
            return await commit_group(session, self._known, arrivals, followers)

        try:
            result = await self._write(work)
        except StoreRefusedError as error:
            return await self._file_halves(arrivals, error, given_up)
        self._tell(stored.fresh)
        return result

    def _tell(self, fresh: Sequence[FreshSlot]) -> None:
        """What is committed must be acknowledged, whatever the listeners make of it."""
        for listener in self._listeners if fresh else ():
            try:
                listener(fresh)
            except Exception:
                log.exception("store.listener_failed")

    async def _file_halves(
        self, arrivals: Sequence[Arrival], error: StoreRefusedError, given_up: list[Sequence[RawEntry]]
    ) -> GroupResult:
        if len(arrivals) == 1:
            (only,) = arrivals
            log.error("store.refused", sender=str(only.sender), error=error.what)
            if isinstance(only, Intake) and len(only.poison) < len(only.entries):
                return await self._file([all_poison(only, error.what)], given_up)
            given_up += [only.entries] if isinstance(only, Intake) else []
            return GroupResult()
        middle = len(arrivals) // 2
        first = await self._file(arrivals[:middle], given_up)
        second = await self._file(arrivals[middle:], given_up)
        return first + second

    async def note_status(self, sender: Address, status: bytes, received_at: datetime) -> None:
        """Keep what a probe last said about itself."""

        async def work(session: Session) -> None:
            await set_status(session, sender, status, now_us=microseconds_of(received_at))

        await self._write(work)

    async def probes(self) -> list[ProbeState]:
        """Every probe that was ever heard, with its gaps and counters."""
        return await self._backend.read(queries.fetch_probes)

    async def totals(self) -> Totals:
        """Counts over everything."""
        return await self._backend.read(queries.fetch_totals)

    async def accounts(self, from_at: datetime, until_at: datetime, *, now: datetime) -> list[Account]:
        """The ledger of the slots of [from_at, until_at), per scenario and probe, counted by the database."""
        return await self._backend.read(lambda session: fetch_accounts(session, from_at, until_at, now=now))

    async def slots(self, from_at: datetime, until_at: datetime, *, now: datetime) -> list[SlotLine]:
        """Every slot that was owed in [from_at, until_at), and what became of it."""
        debts, endings = await self._debts_and_endings(from_at, until_at)
        return list(lines_of(debts, endings, from_at=from_at, until_at=until_at, now=now))

    async def _debts_and_endings(self, from_at: datetime, until_at: datetime) -> tuple[list[Debt], list[Ending]]:
        async def work(session: Session) -> tuple[list[Debt], list[Ending]]:
            debts = await queries.fetch_debts(session, until_at)
            return debts, await queries.fetch_endings(session, from_at, until_at)

        return await self._backend.read(work)

    async def debts(self, until_at: datetime) -> list[Debt]:
        """What probes owe, or owed, from an instant before this one on."""

        async def work(session: Session) -> list[Debt]:
            return await queries.fetch_debts(session, until_at)

        return await self._backend.read(work)

    async def runs(
        self,
        from_at: datetime,
        until_at: datetime,
        *,
        scenario: str = "",
        region: str = "",
        outcomes: Collection[Outcome] = (),
        limit: int = 1000,
    ) -> list[RunSummary]:
        """The newest runs of [from_at, until_at), newest first."""

        async def work(session: Session) -> list[RunSummary]:
            wanted = RunFilter(scenario=scenario, region=region, outcomes=outcomes)
            return await fetch_runs(session, from_at, until_at, wanted, limit=limit)

        return await self._backend.read(work)

    async def record(self, identity: RunIdentity) -> bytes:
        """The entry that ended a slot, exactly as the probe sent it; empty when there is none."""

        async def work(session: Session) -> bytes:
            return await fetch_record(session, identity)

        return await self._backend.read(work)

    async def find_run(self, run_id: str, started_at: datetime | None) -> bytes:
        """The record of a run by its whole id, which began about then; empty when there is none.

        None: nobody knows when, and all runs are looked at, which takes as long as there are many.
        """

        async def work(session: Session) -> bytes:
            return await find_run(session, run_id, started_at)

        return await self._backend.read(work)

    async def unfit_minutes(self, from_at: datetime, until_at: datetime) -> list[UnfitMinute]:
        """The minutes of [from_at, until_at) in which hosts were not fit to measure."""

        async def work(session: Session) -> list[UnfitMinute]:
            return await queries.fetch_unfit(session, from_at, until_at)

        return await self._backend.read(work)

    async def quarantine(self, limit: int = 100) -> list[QuarantinedEntry]:
        """What was set aside last, newest first."""

        async def work(session: Session) -> list[QuarantinedEntry]:
            return await queries.fetch_quarantine(session, limit)

        return await self._backend.read(work)

    async def entries(self, from_at: datetime, until_at: datetime) -> AsyncIterator[list[ArchivedEntry]]:
        """Every entry of [from_at, until_at), in pages; what arrives meanwhile may be in it or not."""

        async def side(session: Session) -> list[ArchivedEntry]:
            return await fetch_side_entries(session, from_at, until_at)

        async def page(session: Session) -> Page:
            return await fetch_page(session, from_at, until_at, after)

        yield await self._backend.read(side)
        after: tuple[int, int, int] | None = None
        while True:
            found = await self._backend.read(page)
            yield found.entries
            after = found.next_after
            if after is None:
                return

    async def archived_books(self) -> list[ArchivedEntry]:
        """The books of sequence numbers; read before the entries, they claim nothing that an archive does not hold."""
        return await self._backend.read(fetch_books)

    async def unite_books(self, entries: Sequence[ArchivedEntry], *, now: datetime) -> None:
        """Bring archived books in, so that what another store has received is not missing here; raises OperatorError."""

        async def work(session: Session) -> None:
            await unite_books(session, entries, now_us=microseconds_of(now))

        await self._write(work)

    async def prune(self, retention: Retention, *, now: datetime) -> Pruned:
        """Delete some thousands of the oldest slots that nothing keeps, and their alerts; call again while it `has_more`."""

        async def work(session: Session) -> Pruned:
            return await prune(session, retention, now)

        pruned = await self._write(work)
        if pruned.slots or pruned.incidents:
            log.info("store.pruned", slots=pruned.slots, incidents=pruned.incidents, where=self.where)
        if pruned.is_over_size:
            log.error(
                "store.over_size", max_bytes=retention.max_bytes, protected_from=str(retention.protected_from(now))
            )
        return pruned

    async def repack(self, *, now: datetime) -> int:
        """Pack some of the records that are not fresh any more into half their room; 0 when there is nothing left to do."""

        async def prepare(session: Session) -> Block | None:
            return await prepare_block(session, now)

        block = await self._backend.read(prepare)
        if block is None:
            return 0
        chosen = block

        async def work(session: Session) -> None:
            await exchange(session, chosen, now)

        try:
            await self._write(work)
        except BlockOutdatedError:
            log.info("store.packed_by_another", where=self.where)
        return len(chosen.old_batches)

    async def _write(self, work: Work[Answer]) -> Answer:
        turn = 0

        async def begun(session: Session) -> Answer:
            nonlocal turn
            turn = self._known.begin()
            return await work(session)

        answer = await self._backend.write(begun)
        self._known.confirm(turn)
        return answer


@asynccontextmanager
async def open_store(
    url: str, *, survives_power_cut: bool = True, followers: Sequence[Follower] = (), only_reads: bool = False
) -> AsyncIterator[Store]:
    """The store at `sqlite:///FILE` (or just a file's path) or `postgresql://...`, made or migrated as needed.

    With `only_reads` a file that may not be written is opened as it is, for reading alone. Raises OperatorError for an address
    nobody knows and for a database that is newer than this program, or older where it cannot be brought up, StoreError when it
    cannot be reached.
    """
    backend = backend_for(url, survives_power_cut=survives_power_cut, only_reads=only_reads)
    await backend.open()
    try:

        async def prepare(session: Session) -> tuple[int, int]:
            return await migrate(session, backend.dialect, backend.where)

        async def look(session: Session) -> tuple[int, int]:
            return await checked(session, backend.where)

        before, after = await (backend.read(look) if backend.only_reads else backend.write(prepare))
        if before != after:
            log.info("store.migrated", where=backend.where, from_version=before, to_version=after)
        yield Store(backend, followers)
    finally:
        await backend.close()


def backend_for(url: str, *, survives_power_cut: bool, only_reads: bool = False) -> Backend:
    """The back end for an address."""
    if url.startswith(POSTGRES_SCHEMES):
        return postgres_backend(url)
    if "://" in url and not url.startswith(SQLITE_SCHEME):
        message = f"{url.partition('://')[0]}:// is not a database that the collector knows"
        raise OperatorError(
            message, where="collector.database", remedy="Use sqlite:///FILE or postgresql://USER@HOST/NAME"
        )
    path = Path(url.removeprefix(SQLITE_SCHEME))
    if only_reads and path.exists() and not may_be_written(path):
        return SqliteBackend(path, only_reads=True)
    return SqliteBackend(path, survives_power_cut=survives_power_cut)


def postgres_backend(url: str) -> Backend:
    """The back end whose driver is an extra of the install."""
    try:
        from collector.store_postgres import PostgresBackend  # noqa: PLC0415 - its driver is optional
    except ImportError as error:
        message = f"PostgreSQL needs a package that is not installed ({error.name})"
        raise DependencyError(
            message, where="collector.database", remedy="Type: pip install 'probe-fleet[postgres]'"
        ) from error
    return PostgresBackend(url)


def all_poison(intake: Intake, reason: str) -> Intake:
    """The same delivery with every entry in quarantine."""
    poison = [
        Poison(entry.seq, entry.kind, f"the database refused it: {reason}"[:500], entry.body)
        for entry in intake.entries
    ]
    return replace(intake, slots=[], schedules=[], unfit_minutes=[], losses=[], poison=poison)
