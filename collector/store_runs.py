"""Runs, as reports list them and as the records they came from; described once for both databases, called by the store."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, or_, select

from collector.store_intake import run_check_of
from collector.store_packing import stored_entries
from collector.store_queries import KINDS, MS_PER_MINUTE, OUTCOMES, in_window, sender_of_series, slot_at_of
from collector.store_session import Row, Session
from collector.store_tables import (
    OUTCOME_CODES,
    batches,
    microseconds_of,
    runs,
    senders,
    series,
    unfit_minutes,
    words,
)
from probes.records import FailureKind, Outcome, RunIdentity
from probes.wire import WireError, parse_run

__all__ = ["FIRST_REPEAT", "RunFilter", "RunPlace", "RunSummary", "fetch_record", "fetch_runs", "find_run"]

MAX_LAG_MS: Final = 86_400_000
FIRST_REPEAT: Final = 1000
"""Turns from here on are of attempts after the first."""

RunPlace = tuple[int, int, int]
"""The key of a run: slot in milliseconds, series, turn."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as reports list it. `is_unfit` when its host reported the minute as unfit: then its outcome counts for nothing.

    `place` is where it stands in lists, for the next page of one.
    """

    identity: RunIdentity
    outcome: Outcome
    kind: FailureKind | None
    failed_step: str
    duration_ns: int
    schedule_lag_ns: int
    target: str
    target_release: str
    is_unfit: bool
    place: RunPlace


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted; what is empty filters nothing. `only_repeats`: confirming and asked for ones, never scored."""

    fleet: str = ""
    scenario: str = ""
    region: str = ""
    outcomes: Collection[Outcome] = ()
    only_repeats: bool = False


async def fetch_runs(
    session: Session,
    from_at: datetime,
    until_at: datetime,
    wanted: RunFilter,
    *,
    after: RunPlace | None = None,
    limit: int = 1000,
) -> list[RunSummary]:
    """The newest runs of a window, newest first; only those that come `after` a place in that order."""
    failed, target, release = words.alias("failed"), words.alias("target"), words.alias("release")
    unfit = and_(
        unfit_minutes.c.minute_ms == runs.c.slot_ms - runs.c.slot_ms % MS_PER_MINUTE,
        unfit_minutes.c.sender_id == series.c.sender_id,
    )
    source = (
        runs.join(series, series.c.series_id == runs.c.series_id)
        .join(*sender_of_series())
        .outerjoin(failed, failed.c.word_id == runs.c.failed_step)
        .outerjoin(target, target.c.word_id == runs.c.target)
        .outerjoin(release, release.c.word_id == runs.c.release)
        .outerjoin(unfit_minutes, unfit)
    )
    query: Select[Any] = (
        select(
            *(senders.c.fleet, senders.c.region, senders.c.probe, series.c.scenario, runs.c.slot_ms, runs.c.turn),
            *(runs.c.outcome, runs.c.kind, runs.c.duration_ns, runs.c.lag_us, unfit_minutes.c.minute_ms),
            runs.c.series_id,
            *(failed.c.word, target.c.word, release.c.word),
        )
        .select_from(source)
        .where(in_window(runs.c.slot_ms, from_at, until_at), runs.c.ended == 0)
        .order_by(runs.c.slot_ms.desc(), runs.c.series_id, runs.c.turn)
        .limit(limit)
    )
    if wanted.scenario:
        query = query.where(series.c.scenario == wanted.scenario)
    if wanted.region:
        query = query.where(senders.c.region == wanted.region)
    if wanted.outcomes:
        query = query.where(runs.c.outcome.in_([OUTCOME_CODES[outcome] for outcome in wanted.outcomes]))
    if wanted.fleet:
        query = query.where(senders.c.fleet == wanted.fleet)
    if wanted.only_repeats:
        query = query.where(runs.c.turn >= FIRST_REPEAT)
    if after is not None:
        query = query.where(_comes_after(after))
    return [_summary(row) for row in await session.fetch(query)]


def _comes_after(place: RunPlace) -> ColumnElement[bool]:
    """Further down a list: an older slot, or of the same one a later series or turn."""
    slot_ms, series_id, turn = place
    further = or_(runs.c.series_id > series_id, and_(runs.c.series_id == series_id, runs.c.turn > turn))
    return and_(runs.c.slot_ms <= slot_ms, or_(runs.c.slot_ms < slot_ms, further))


def _summary(row: Row) -> RunSummary:
    (
        fleet,
        region,
        probe,
        scenario,
        slot_ms,
        turn,
        outcome,
        kind,
        duration_ns,
        lag_us,
        unfit,
        series_id,
        failed,
        target,
        release,
    ) = row
    return RunSummary(
        RunIdentity(fleet, region, probe, scenario, slot_at_of(slot_ms, turn), turn // 1000),
        OUTCOMES[outcome],
        KINDS.get(kind),
        failed or "",
        duration_ns,
        lag_us * 1000,
        target or "",
        release or "",
        unfit is not None,
        (slot_ms, series_id, turn),
    )


async def fetch_record(session: Session, identity: RunIdentity) -> bytes:
    """The entry that ended this slot, as it came; empty when there is none."""
    microseconds = microseconds_of(identity.slot_at)
    query = (
        select(runs.c.batch_no, runs.c.line)
        .select_from(runs.join(series, series.c.series_id == runs.c.series_id).join(*sender_of_series()))
        .where(
            runs.c.slot_ms == microseconds // 1000,
            runs.c.turn == identity.attempt * 1000 + microseconds % 1000,
            series.c.scenario == identity.scenario,
            senders.c.fleet == identity.fleet,
            senders.c.region == identity.region,
            senders.c.probe == identity.probe,
        )
    )
    found = await session.fetch(query)
    return await _body_at(session, *found[0]) if found else b""


async def find_run(session: Session, run_id: str, started_at: datetime | None) -> bytes:
    """The record of the run with this id, which began about then; empty when there is none. None: all runs are looked at."""
    query = select(runs.c.batch_no, runs.c.line).where(runs.c.run_check == run_check_of(run_id), runs.c.ended == 0)
    if started_at is not None:
        started_ms = microseconds_of(started_at) // 1000
        query = query.where(runs.c.slot_ms.between(started_ms - MAX_LAG_MS, started_ms + MAX_LAG_MS))
    for batch_no, line in await session.fetch(query):
        body = await _body_at(session, batch_no, line)
        try:
            if parse_run(body).run_id == run_id:
                return body
        except WireError:
            continue
    return b""


async def _body_at(session: Session, batch_no: int, line: int) -> bytes:
    stored = await session.fetch(select(batches.c.form, batches.c.body).where(batches.c.batch_no == batch_no))
    entries = stored_entries(*stored[0]) if stored else []
    return entries[line][1] if line < len(entries) else b""
