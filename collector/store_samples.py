"""What a comparison asks of the store: the step times of two heaps of runs with the hour of each, and how the runs ended.

Runs of minutes in which the host was unfit are left out, as everywhere. Bounded: of very many steps the newest are read, and
it is said that there were more. Refuses to compare (`slo.comparison` does). Part of `collector.store`, which makes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, and_, func, select

from collector.store_queries import KINDS, MS_PER_MINUTE, OUTCOMES, in_window, sender_of_series
from collector.store_session import Session, Work
from collector.store_tables import (
    ENDED_AS_RUN,
    OUTCOME_CODES,
    instant_of_ms,
    runs,
    senders,
    series,
    steps,
    unfit_minutes,
    words,
)
from probes.records import FailureKind, Outcome

__all__ = ["Heap", "HeapSamples", "ReleaseSeen", "Samples"]

MS_PER_HOUR: Final = 3_600_000
MOST_STEPS: Final = 200_000
MOST_RELEASES: Final = 50


@dataclass(frozen=True, slots=True)
class Heap:
    """Which runs: of a fleet against a target in [from_at, until_at).

    `release` None and an empty `region` or `scenario`: of any.
    """

    fleet: str
    target: str
    from_at: datetime
    until_at: datetime
    scenario: str = ""
    region: str = ""
    release: str | None = None


@dataclass(frozen=True, slots=True)
class ReleaseSeen:
    """A release that runs said they found. Empty: the target did not say one."""

    release: str
    runs: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class HeapSamples:
    """What there is of a heap.

    `steps`: of passed steps the (hour since the epoch, nanoseconds); `hours`: by hour the (failed, decided) runs. `is_cut`:
    there are more steps, and the oldest were not read.
    """

    outcomes: Mapping[Outcome, int]
    kinds: Mapping[FailureKind, int]
    failed_steps: Mapping[str, int]
    hours: Mapping[int, tuple[int, int]]
    steps: Mapping[str, Sequence[tuple[int, int]]]
    is_cut: bool


class Samples:
    """The part of an open store. Methods raise StoreError as the store's do."""

    def __init__(self, read: Callable[[Work[Any]], Any]) -> None:
        self._read = read

    async def releases(self, heap: Heap) -> list[ReleaseSeen]:
        """The releases that runs of the heap found, the newest first."""

        async def work(session: Session) -> list[ReleaseSeen]:
            first, last = func.min(runs.c.slot_ms), func.max(runs.c.slot_ms)
            query = (
                select(words.c.word, func.count(), first, last)
                .select_from(_source().outerjoin(words, words.c.word_id == runs.c.release))
                .where(*await _of(session, heap))
                .group_by(words.c.word)
                .order_by(last.desc())
                .limit(MOST_RELEASES)
            )
            return [
                ReleaseSeen(word or "", int(count), instant_of_ms(since), instant_of_ms(until))
                for word, count, since, until in await session.fetch(query)
            ]

        answer: list[ReleaseSeen] = await self._read(work)
        return answer

    async def of(self, heap: Heap) -> HeapSamples:
        """The samples of a heap."""

        async def work(session: Session) -> HeapSamples:
            return await fetch_samples(session, heap)

        answer: HeapSamples = await self._read(work)
        return answer


async def fetch_samples(session: Session, heap: Heap) -> HeapSamples:
    """See `Samples.of`."""
    wanted = [*await _of(session, heap), unfit_minutes.c.minute_ms.is_(None)]
    hour = _hour(runs.c.slot_ms)
    ends = (
        select(hour, runs.c.outcome, runs.c.kind, words.c.word, func.count())
        .select_from(_source().outerjoin(words, words.c.word_id == runs.c.failed_step))
        .where(*wanted)
        .group_by(hour, runs.c.outcome, runs.c.kind, words.c.word)
    )
    outcomes: dict[Outcome, int] = defaultdict(int)
    kinds: dict[FailureKind, int] = defaultdict(int)
    failed_steps: dict[str, int] = defaultdict(int)
    hours: dict[int, tuple[int, int]] = {}
    for number, code, kind, word, count in await session.fetch(ends):
        outcome = OUTCOMES[code]
        outcomes[outcome] += count
        if outcome is Outcome.INCONCLUSIVE:
            continue
        bad, decided = hours.get(int(number), (0, 0))
        hours[int(number)] = (bad + (count if outcome is Outcome.FAIL else 0), decided + count)
        if outcome is Outcome.FAIL:
            failed_steps[word or ""] += count
            if kind in KINDS:
                kinds[KINDS[kind]] += count
    times, is_cut = await _times(session, wanted)
    return HeapSamples(dict(outcomes), dict(kinds), dict(failed_steps), hours, times, is_cut)


async def _times(
    session: Session, wanted: Sequence[ColumnElement[bool]]
) -> tuple[dict[str, list[tuple[int, int]]], bool]:
    same_slot = and_(
        runs.c.slot_ms == steps.c.slot_ms, runs.c.series_id == steps.c.series_id, runs.c.turn == steps.c.turn
    )
    name = words.alias("name")
    query: Select[Any] = (
        select(steps.c.slot_ms, name.c.word, steps.c.duration_ns)
        .select_from(_source().join(steps, same_slot).join(name, name.c.word_id == steps.c.name))
        .where(
            *wanted,
            runs.c.outcome != OUTCOME_CODES[Outcome.INCONCLUSIVE],
            steps.c.outcome == OUTCOME_CODES[Outcome.PASS],
            steps.c.cleanup == 0,
        )
        .order_by(runs.c.slot_ms.desc())
        .limit(MOST_STEPS + 1)
    )
    rows = await session.fetch(query)
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for slot_ms, word, duration_ns in rows[:MOST_STEPS]:
        found[word].append((slot_ms // MS_PER_HOUR, duration_ns))
    return dict(found), len(rows) > MOST_STEPS


def _hour(slot_ms: ColumnElement[int]) -> ColumnElement[int]:
    """The hour since the epoch that a slot is in, in whole numbers on every database."""
    return ((slot_ms - slot_ms % MS_PER_HOUR) // MS_PER_HOUR).label("hour")


def _source() -> FromClause:
    unfit = and_(
        unfit_minutes.c.minute_ms == runs.c.slot_ms - runs.c.slot_ms % MS_PER_MINUTE,
        unfit_minutes.c.sender_id == series.c.sender_id,
    )
    return (
        runs.join(series, series.c.series_id == runs.c.series_id)
        .join(*sender_of_series())
        .outerjoin(unfit_minutes, unfit)
    )


async def _of(session: Session, heap: Heap) -> list[ColumnElement[bool]]:
    """The conditions of a heap, with words looked up once: then they are numbers."""
    conditions = [
        in_window(runs.c.slot_ms, heap.from_at, heap.until_at),
        runs.c.ended == ENDED_AS_RUN,
        senders.c.fleet == heap.fleet,
        runs.c.target == await _word(session, heap.target),
    ]
    if heap.scenario:
        conditions.append(series.c.scenario == heap.scenario)
    if heap.region:
        conditions.append(senders.c.region == heap.region)
    if heap.release is not None:
        conditions.append(runs.c.release == (await _word(session, heap.release) if heap.release else 0))
    return conditions


async def _word(session: Session, word: str) -> int:
    """The number of a word; -1, which is no row's, when it was never stored."""
    found = await session.fetch(select(words.c.word_id).where(words.c.word == word))
    return int(found[0][0]) if found else -1
