"""What the store knows of service levels: what is scored, cells, facts; and through it what is agreed and was reported.

`begin` says what is scored from now on; what is new then has still to be scored from the runs that are stored (`rescore`), and
until that is done it says so instead of answering. Refuses to judge: it counts. Part of `collector.store`, which makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from collector.scoring import NOTHING, Scorer
from collector.store_cells import Place, fetch_cells, fetch_events, fetch_measured
from collector.store_observations import fetch_observations, has_conclusive_run
from collector.store_queries import MS_PER_MINUTE, sender_of_series
from collector.store_rescore import RescoredHour, rescore_hour
from collector.store_score_log import (
    Revision,
    StoredMaintenance,
    add_maintenance,
    fetch_maintenance,
    fetch_revisions,
    note_revision,
    remove_maintenance,
)
from collector.store_scored import ScoredSlot, add_scores
from collector.store_session import Session, Work
from collector.store_slots import FreshSlot
from collector.store_tables import (
    checks,
    runs,
    senders,
    series,
    words,
)
from probes.errors import OperatorError
from slo.cells import Cell, Measured
from slo.obligation import Observation
from slo.window import Span

__all__ = ["Scores"]

Answer = TypeVar("Answer")
Doing = Callable[[Work[Any]], Any]
MINUTES_PER_HOUR: Final = 60

NEW_CHECK: Final = (
    insert(checks).on_conflict_do_nothing().values(check_key=bindparam("name"), is_complete=bindparam("complete"))
)
SET_COMPLETE: Final = (
    update(checks).where(checks.c.check_id == bindparam("number")).values(is_complete=bindparam("complete"))
)
NOT_SCORED: Final = update(checks).where(checks.c.is_complete != bindparam("complete")).values(is_complete=0)
COMPLETE_CHECKS: Final = select(checks.c.check_key).where(checks.c.is_complete == 1)
CHECK_IDS: Final = select(checks.c.check_key, checks.c.check_id)
WORD_ID: Final = select(words.c.word_id).where(words.c.word == bindparam("word"))
SERIES_OF_FLEET: Final = (
    select(series.c.series_id, series.c.scenario)
    .select_from(series.join(*sender_of_series()))
    .where(senders.c.fleet == bindparam("fleet"))
)


class Scores:
    """The service levels' part of an open store. Methods raise StoreError as the store's do."""

    def __init__(self, read: Doing, write: Doing, words: Mapping[str, int]) -> None:
        """`words` has a number for every target of a slot that is stored."""
        self._read = read
        self._write = write
        self._words = words
        self.scorer: Scorer | None = None
        self.check_ids: Mapping[str, int] = {}

    async def begin(self, scorer: Scorer) -> frozenset[str]:
        """Score with this from now on; returns the keys whose past has still to be scored.

        A check that is stored and not among them will miss what arrives from now on, so it is not complete any more.
        """

        async def work(session: Session) -> dict[str, tuple[int, bool]]:
            await session.lock_schema()
            has_runs = bool(await session.fetch(select(runs.c.slot_ms).limit(1)))
            known = {row[1]: (row[0], bool(row[2])) for row in await session.fetch(select(checks))}
            for key in sorted(scorer.keys - known.keys()):
                await session.execute(NEW_CHECK, name=key, complete=int(not has_runs))
            for key in sorted(known.keys() - scorer.keys):
                await session.execute(SET_COMPLETE, number=known[key][0], complete=0)
            return {row[1]: (row[0], bool(row[2])) for row in await session.fetch(select(checks))}

        found: dict[str, tuple[int, bool]] = await self._write(work)
        self.check_ids = {key: number for key, (number, _) in found.items() if key in scorer.keys}
        self.scorer = scorer
        return frozenset(key for key, (_, is_complete) in found.items() if key in scorer.keys and not is_complete)

    async def follow(self, session: Session, fresh: Collection[FreshSlot]) -> None:
        """Add what new slots say, in the transaction that stores them: they are new, so nothing is ever counted twice.

        What arrives while nothing is scored here will be missing in every cell: then no check is complete any more.
        """
        if self.scorer is None:
            await session.execute(NOT_SCORED, complete=0)
            return
        slots = (
            ScoredSlot(
                one.slot.score, one.slot.slot_ms, one.filing.sender_id, one.key[1], self._words[one.slot.facts.target]
            )
            for one in fresh
            if one.slot.score is not NOTHING
        )
        await add_scores(session, slots, self.check_ids)

    async def look(self, scorer: Scorer) -> frozenset[str]:
        """As `begin`, but writes nothing: for a `rescore` that only looks. A check that is new has no cells."""

        async def work(session: Session) -> dict[str, tuple[int, bool]]:
            return {row[1]: (row[0], bool(row[2])) for row in await session.fetch(select(checks))}

        found: dict[str, tuple[int, bool]] = await self._read(work)
        new = enumerate(sorted(scorer.keys - found.keys()), 1)
        known = {key: number for key, (number, _) in found.items() if key in scorer.keys}
        self.check_ids = known | {key: -number for number, key in new}
        self.scorer = scorer
        return frozenset(key for key in scorer.keys if not found.get(key, (0, False))[1])

    async def incomplete(self, keys: Collection[str]) -> frozenset[str]:
        """Those of the keys that nobody scores, or whose past has still to be scored."""

        async def work(session: Session) -> frozenset[str]:
            complete = {row[0] for row in await session.fetch(COMPLETE_CHECKS)}
            return frozenset(keys) - complete

        answer: frozenset[str] = await self._read(work)
        return answer

    async def targets(self) -> list[str]:
        """Every target that runs were made against, by name."""

        async def work(session: Session) -> list[str]:
            query = select(words.c.word).where(words.c.word_id.in_(select(runs.c.target).distinct()))
            return sorted(row[0] for row in await session.fetch(query))

        answer: list[str] = await self._read(work)
        return answer

    async def measured(self, keys: Collection[str], *, target: str, fleet: str, span: Span) -> dict[str, Measured]:
        """What was measured of each check in a span; a check that nobody scored has no tracks."""

        async def work(session: Session) -> dict[str, Measured]:
            ids = await self._ids_of(session, keys)
            if not ids:
                return {}
            place = Place(tuple(sorted(ids.values())), await _word_id(session, target), fleet)
            found = await fetch_measured(session, place, span)
            return {key: found[number] for key, number in ids.items()}

        answer: dict[str, Measured] = await self._read(work)
        return {key: answer.get(key, Measured(span)) for key in keys}

    async def cells(
        self, key: str, *, target: str, fleet: str, span: Span, only: Collection[int] = ()
    ) -> dict[tuple[str, str], dict[int, Cell]]:
        """The cells of a check by region and probe, then by minute."""

        async def work(session: Session) -> dict[tuple[str, str], dict[int, Cell]]:
            place = await self._place_of(session, key, target, fleet)
            return {} if place is None else await fetch_cells(session, place, span, only=only)

        answer: dict[tuple[str, str], dict[int, Cell]] = await self._read(work)
        return answer

    async def events(
        self, key: str, *, target: str, fleet: str, span: Span, regions: Collection[str]
    ) -> dict[int, tuple[int, int]]:
        """Good and bad events of a check in some regions by minute, where there was any."""

        async def work(session: Session) -> dict[int, tuple[int, int]]:
            place = await self._place_of(session, key, target, fleet)
            return {} if place is None else await fetch_events(session, place, span, regions)

        answer: dict[int, tuple[int, int]] = await self._read(work)
        return answer

    async def observations(
        self, key: str, *, target: str, fleet: str, from_at: datetime, until_at: datetime
    ) -> list[Observation]:
        """The facts of slots in [from_at, until_at), oldest first."""

        async def work(session: Session) -> list[Observation]:
            ids = await self._ids_of(session, [key])
            if not ids:
                return []
            target_id = await _word_id(session, target)
            return await fetch_observations(session, ids[key], target_id, fleet, from_at, until_at)

        answer: list[Observation] = await self._read(work)
        return answer

    async def has_conclusive_run(
        self, scenarios: Collection[str], *, target: str, fleet: str, from_at: datetime, until_at: datetime
    ) -> bool:
        """Whether any run of scenarios that match these globs said anything about the target in [from_at, until_at).

        The same runs that facts come from: a slot's first attempt, conclusive, on a host that was fit.
        """

        async def work(session: Session) -> bool:
            known = await session.fetch(SERIES_OF_FLEET, fleet=fleet)
            ids = [number for number, name in known if any(fnmatchcase(name, glob) for glob in scenarios)]
            if not ids:
                return False
            target_id = await _word_id(session, target)
            return await has_conclusive_run(session, tuple(sorted(ids)), target_id, from_at, until_at)

        answer: bool = await self._read(work)
        return answer

    async def hours(self) -> list[Span]:
        """The hours that have stored runs, whole ones from the first that retention has not touched; newest first."""

        async def work(session: Session) -> list[tuple[Any, ...]]:
            return await session.fetch(select(func.min(runs.c.slot_ms), func.max(runs.c.slot_ms)))

        ((oldest_ms, newest_ms),) = await self._read(work)
        if oldest_ms is None:
            return []
        first = int(oldest_ms) // MS_PER_MINUTE
        last = int(newest_ms) // MS_PER_MINUTE
        starts = range(first // MINUTES_PER_HOUR * MINUTES_PER_HOUR, last + 1, MINUTES_PER_HOUR)
        spans = [Span("hour", max(start, first), start + MINUTES_PER_HOUR) for start in starts]
        return spans[::-1]

    async def rescore(self, span: Span, keys: frozenset[str], *, writes: bool = True) -> RescoredHour:
        """Score an hour again from its stored runs, for some of the keys that `begin` was told of."""
        if self.scorer is None:
            raise OperatorError("nothing is scored here", remedy="Begin with the objectives first")
        scorer = self.scorer.only(keys)
        ids = {key: self.check_ids[key] for key in keys}

        async def work(session: Session) -> RescoredHour:
            return await rescore_hour(session, scorer, ids, span, writes=writes)

        answer: RescoredHour = await (self._write(work) if writes else self._read(work))
        return answer

    async def confirm(self, keys: Collection[str]) -> None:
        """The past of these keys is scored."""

        async def work(session: Session) -> None:
            for key in sorted(keys):
                await session.execute(SET_COMPLETE, number=self.check_ids[key], complete=1)

        await self._write(work)

    async def add_maintenance(self, name: str, document: str, *, now: datetime) -> None:
        """Record an agreed interruption; raises OperatorError where the name is taken: what was agreed is not rewritten."""

        async def work(session: Session) -> bool:
            return await add_maintenance(session, name, document, now=now)

        if not await self._write(work):
            raise OperatorError(f"there is a maintenance {name!r} already", where="name", remedy="Choose another name")

    async def remove_maintenance(self, name: str) -> bool:
        """Forget an interruption that did not come; False when there is none of that name."""

        async def work(session: Session) -> bool:
            return await remove_maintenance(session, name)

        answer: bool = await self._write(work)
        return answer

    async def maintenance(self) -> list[StoredMaintenance]:
        """Every agreed interruption, in the order in which they were recorded."""
        answer: list[StoredMaintenance] = await self._read(fetch_maintenance)
        return answer

    async def note_revision(
        self, line: str, target: str, span: str, *, digest: str, document: str, now: datetime
    ) -> Revision:
        """The revision that holds this score: the newest one if it says the same, else a new one with the next number."""

        async def work(session: Session) -> Revision:
            return await note_revision(session, (line, target, span), digest=digest, document=document, now=now)

        answer: Revision = await self._write(work)
        return answer

    async def revisions(self, line: str, target: str, span: str) -> list[Revision]:
        """Every revision of a closed window's score, the oldest first."""

        async def work(session: Session) -> list[Revision]:
            return await fetch_revisions(session, (line, target, span))

        answer: list[Revision] = await self._read(work)
        return answer

    async def _place_of(self, session: Session, key: str, target: str, fleet: str) -> Place | None:
        ids = await self._ids_of(session, [key])
        return Place((ids[key],), await _word_id(session, target), fleet) if ids else None

    async def _ids_of(self, session: Session, keys: Collection[str]) -> dict[str, int]:
        wanted = frozenset(keys)
        return {row[0]: row[1] for row in await session.fetch(CHECK_IDS) if row[0] in wanted}


async def _word_id(session: Session, word: str) -> int:
    found = await session.fetch(WORD_ID, word=word)
    return int(found[0][0]) if found else -1
