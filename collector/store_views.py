"""What pages ask of the store beyond scores: runs page by page, the newest ending of every series, sums by day, step times.

Everything is counted by the database and comes back small. Refuses to judge. Part of `collector.store`, which makes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, func, select

from collector.store_cells import Place
from collector.store_queries import KINDS, MS_PER_MINUTE, OUTCOMES, REASONS, in_window, sender_of_series, slot_at_of
from collector.store_runs import RunFilter, RunPlace, RunSummary, fetch_runs
from collector.store_session import Session, Work
from collector.store_tables import (
    ENDED_AS_RUN,
    OUTCOME_CODES,
    cell_days,
    checks,
    runs,
    senders,
    series,
    steps,
    unfit_minutes,
    words,
)
from probes.ledger_entries import SlotReason
from probes.messages import Address
from probes.records import FailureKind, Outcome
from slo.cells import Cell
from slo.window import MINUTES_PER_DAY, Span

__all__ = ["LatestEnding", "StepTimes", "Views"]

MOST_DIGITS: Final = 19
"""Of the largest number that a column holds."""
DIGITS_KEPT: Final = 3
SCALE: Final = 1_000


@dataclass(frozen=True, slots=True)
class LatestEnding:
    """How the newest slot of a series that ended did so: `outcome` of a run, else `reason`. `is_unfit`: it counts for nothing."""

    address: Address
    scenario: str
    slot_at: datetime
    attempt: int
    outcome: Outcome | None
    reason: SlotReason | None
    kind: FailureKind | None
    failed_step: str
    duration_ns: int
    target: str
    is_unfit: bool


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Times of passed steps of one name in a stretch of time: how many lie in each bucket, by its lower bound in nanoseconds.

    A bucket holds times that agree in three digits, so a percentile is read off within 1 %.
    """

    from_minute: int
    until_minute: int
    region: str
    step: str
    buckets: Mapping[int, int]


class Views:
    """The pages' part of an open store. Methods raise StoreError as the store's do."""

    def __init__(self, read: Callable[[Work[Any]], Any]) -> None:
        self._read = read

    async def latest(self, fleet: str, from_at: datetime, until_at: datetime) -> list[LatestEnding]:
        """The newest ending of each series of a fleet among the slots in [from_at, until_at)."""

        async def work(session: Session) -> list[LatestEnding]:
            return await fetch_latest(session, fleet, from_at, until_at)

        answer: list[LatestEnding] = await self._read(work)
        return answer

    async def runs(
        self,
        from_at: datetime,
        until_at: datetime,
        wanted: RunFilter,
        *,
        after: RunPlace | None = None,
        limit: int = 1000,
    ) -> list[RunSummary]:
        """The newest runs of [from_at, until_at) page by page: `after` is the `place` of the last one of the page before."""

        async def work(session: Session) -> list[RunSummary]:
            return await fetch_runs(session, from_at, until_at, wanted, after=after, limit=limit)

        answer: list[RunSummary] = await self._read(work)
        return answer

    async def days(self, keys: Collection[str], *, target: str, fleet: str, span: Span) -> dict[str, dict[int, Cell]]:
        """By check and day since the epoch what was counted; the days at the borders of the span are whole ones."""

        async def work(session: Session) -> dict[str, dict[int, Cell]]:
            query = select(checks.c.check_key, checks.c.check_id).where(checks.c.check_key.in_(sorted(keys)))
            ids = {row[1]: row[0] for row in await session.fetch(query)}
            found = await session.fetch(select(words.c.word_id).where(words.c.word == target))
            place = Place(tuple(sorted(ids)), found[0][0] if found else 0, fleet)
            by_id = await fetch_days(session, place, span)
            return {ids[number]: of_check for number, of_check in by_id.items()}

        answer: dict[str, dict[int, Cell]] = await self._read(work)
        return answer

    async def step_count(self, from_at: datetime, until_at: datetime) -> int:
        """How many steps of all scenarios are stored of the slots in [from_at, until_at)."""

        async def work(session: Session) -> int:
            query = select(func.count()).select_from(steps).where(in_window(steps.c.slot_ms, from_at, until_at))
            return int((await session.fetch(query))[0][0])

        answer: int = await self._read(work)
        return answer

    async def step_times(
        self,
        scenarios: Collection[str],
        names: Collection[str],
        *,
        target: str,
        fleet: str,
        stretches: Sequence[tuple[int, int]],
    ) -> list[StepTimes]:
        """For each stretch of minutes, region and step the times of passed steps of conclusive runs against a target."""

        async def work(session: Session) -> list[StepTimes]:
            found = await session.fetch(select(words.c.word_id).where(words.c.word == target))
            if not found:
                return []
            chosen = await session.fetch(
                select(series.c.series_id, senders.c.region)
                .select_from(series.join(*sender_of_series()))
                .where(senders.c.fleet == fleet, series.c.scenario.in_(sorted(scenarios)))
            )
            regions: dict[int, str] = {row[0]: row[1] for row in chosen}
            times: list[StepTimes] = []
            for stretch in stretches if regions else ():
                times += await fetch_times(session, regions, names, found[0][0], stretch)
            return times

        answer: list[StepTimes] = await self._read(work)
        return answer

    async def targets(self) -> list[str]:
        """Every target that anything was scored of, by name; looks at days and not at runs, for there are many of those."""

        async def work(session: Session) -> list[str]:
            query = select(words.c.word).where(words.c.word_id.in_(select(cell_days.c.target).distinct()))
            return sorted(row[0] for row in await session.fetch(query) if row[0])

        answer: list[str] = await self._read(work)
        return answer

    async def scenarios(self, fleet: str) -> list[str]:
        """Every scenario that the fleet ever owed or ran, by name."""

        async def work(session: Session) -> list[str]:
            query = (
                select(series.c.scenario)
                .distinct()
                .select_from(series.join(*sender_of_series()))
                .where(senders.c.fleet == fleet)
            )
            return sorted(row[0] for row in await session.fetch(query))

        answer: list[str] = await self._read(work)
        return answer


async def fetch_latest(session: Session, fleet: str, from_at: datetime, until_at: datetime) -> list[LatestEnding]:
    """See `Views.latest`. Of a slot that was tried twice the first attempt counts: the second one only confirms."""
    window = in_window(runs.c.slot_ms, from_at, until_at)
    newest = (
        select(runs.c.series_id.label("number"), func.max(runs.c.slot_ms).label("newest_ms"))
        .where(window)
        .group_by(runs.c.series_id)
        .subquery()
    )
    failed, target = words.alias("failed"), words.alias("target")
    unfit = and_(
        unfit_minutes.c.minute_ms == runs.c.slot_ms - runs.c.slot_ms % MS_PER_MINUTE,
        unfit_minutes.c.sender_id == series.c.sender_id,
    )
    source = (
        runs.join(newest, and_(newest.c.number == runs.c.series_id, newest.c.newest_ms == runs.c.slot_ms))
        .join(series, series.c.series_id == runs.c.series_id)
        .join(*sender_of_series())
        .outerjoin(failed, failed.c.word_id == runs.c.failed_step)
        .outerjoin(target, target.c.word_id == runs.c.target)
        .outerjoin(unfit_minutes, unfit)
    )
    query = (
        select(
            *(senders.c.region, senders.c.probe, series.c.scenario, runs.c.slot_ms, runs.c.turn, runs.c.ended),
            *(runs.c.outcome, runs.c.kind, failed.c.word, runs.c.duration_ns, target.c.word, unfit_minutes.c.minute_ms),
        )
        .select_from(source)
        .where(senders.c.fleet == fleet)
        .order_by(runs.c.turn.desc())
    )
    found: dict[tuple[str, str, str], LatestEnding] = {}
    for row in await session.fetch(query):
        region, probe, scenario, slot_ms, turn, ended, outcome, kind, step, duration_ns, word, unfit_ms = row
        is_run = ended == ENDED_AS_RUN
        found[region, probe, scenario] = LatestEnding(
            address=Address(fleet, region, probe),
            scenario=scenario,
            slot_at=slot_at_of(slot_ms, turn),
            attempt=turn // 1000,
            outcome=OUTCOMES[outcome] if is_run else None,
            reason=None if is_run else REASONS[ended],
            kind=KINDS.get(kind) if is_run else None,
            failed_step=step or "",
            duration_ns=duration_ns,
            target=word or "",
            is_unfit=unfit_ms is not None,
        )
    # Not by the database, for each sorts letters in its own way.
    return sorted(found.values(), key=lambda one: (one.scenario, one.address.region, one.address.probe))


async def fetch_days(session: Session, place: Place, span: Span) -> dict[int, dict[int, Cell]]:
    """See `Views.days`, by the check's number. What unfit hosts found is in these sums: they are for drawing, not for judging."""
    first, last = span.from_minute // MINUTES_PER_DAY, (span.until_minute - 1) // MINUTES_PER_DAY
    sums = [func.sum(cell_days.c[name]) for name in ("good", "bad", "inconclusive", "runs")]
    query = (
        select(cell_days.c.check_id, cell_days.c.day, *sums)
        .select_from(cell_days.join(senders, senders.c.sender_id == cell_days.c.sender_id))
        .where(place.of(cell_days), cell_days.c.day.between(first, last))
        .group_by(cell_days.c.check_id, cell_days.c.day)
    )
    found: dict[int, dict[int, Cell]] = defaultdict(dict)
    for number, day, *counts in await session.fetch(query):
        found[number][day] = Cell(*(int(count) for count in counts))
    return found


async def fetch_times(
    session: Session, regions: Mapping[int, str], names: Collection[str], target: int, stretch: tuple[int, int]
) -> list[StepTimes]:
    """See `Views.step_times`, of one stretch."""
    bucket = _bucket(steps.c.duration_ns)
    same_slot = and_(
        runs.c.slot_ms == steps.c.slot_ms, runs.c.series_id == steps.c.series_id, runs.c.turn == steps.c.turn
    )
    query = (
        select(steps.c.series_id, words.c.word, bucket.label("bucket"), func.count())
        .select_from(steps.join(words, words.c.word_id == steps.c.name).join(runs, same_slot))
        .where(
            steps.c.slot_ms >= stretch[0] * MS_PER_MINUTE,
            steps.c.slot_ms < stretch[1] * MS_PER_MINUTE,
            steps.c.series_id.in_(sorted(regions)),
            steps.c.outcome == OUTCOME_CODES[Outcome.PASS],
            steps.c.cleanup == 0,
            runs.c.target == target,
            runs.c.outcome != OUTCOME_CODES[Outcome.INCONCLUSIVE],
        )
        .group_by(steps.c.series_id, words.c.word, bucket)
    )
    if names:
        query = query.where(words.c.word.in_(sorted(names)))
    found: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for number, word, code, count in await session.fetch(query):
        found[regions[number], word][lower_bound_ns(int(code))] += count
    return [StepTimes(*stretch, region, step, dict(buckets)) for (region, step), buckets in sorted(found.items())]


def _bucket(duration_ns: ColumnElement[int]) -> ColumnElement[int]:
    """How many digits are dropped, times a thousand, plus the three first ones: the same number for times that agree in those."""
    ladder = [(duration_ns < 10**digits, _code(duration_ns, digits)) for digits in range(DIGITS_KEPT, MOST_DIGITS)]
    return case(*ladder, else_=_code(duration_ns, MOST_DIGITS))


def _code(duration_ns: ColumnElement[int], digits: int) -> ColumnElement[int]:
    code: ColumnElement[int] = (digits - DIGITS_KEPT) * SCALE + duration_ns // 10 ** (digits - DIGITS_KEPT)
    return code


def lower_bound_ns(code: int) -> int:
    """The lower bound of a bucket."""
    dropped, first = divmod(code, SCALE)
    return int(first * 10**dropped)
