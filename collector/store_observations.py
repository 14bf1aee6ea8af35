"""Facts for obligations in the database: as rows of the slots that reported them, and read back by what they are about.

Called by `collector.store_commit`, `collector.store_rescore` and `collector.store_scores`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Select, and_, bindparam, exists, select

from collector.store_queries import MS_PER_MINUTE, first_ms_from
from collector.store_rows import kept_word
from collector.store_session import Session
from collector.store_tables import (
    ENDED_AS_RUN,
    OUTCOME_CODES,
    instant_of_us,
    microseconds_of,
    observations,
    runs,
    senders,
    series,
    unfit_minutes,
)
from probes.records import Outcome
from slo.obligation import Observation

__all__ = ["ObservationRow", "fetch_observations", "has_conclusive_run", "observation_rows"]

ObservationRow = tuple[int, int, int, int, int, int, int, int, str, str]
NO_VALUE: Final = -1
MOST_VALUE_NS: Final = (1 << 62) - 1
TURNS_PER_ATTEMPT: Final = 1000
MOST_PER_SLOT: Final = 200
"""So many facts may one run report to one obligation: 31 backups are 31; more is an attack on the disk."""


def observation_rows(
    facts: Sequence[tuple[str, Observation]], check_ids: Mapping[str, int], slot_ms: int, series_id: int, target: int
) -> list[ObservationRow]:
    """The rows of what one slot reported."""
    return [
        (
            check_ids[key],
            slot_ms,
            series_id,
            place,
            target,
            microseconds_of(one.seen_at),
            NO_VALUE if one.value_ns is None else max(0, min(one.value_ns, MOST_VALUE_NS)),
            int(one.good),
            kept_word(one.subject),
            kept_word(one.run_id),
        )
        for place, (key, one) in enumerate(facts[:MOST_PER_SLOT])
    ]


_UNFIT: Final = and_(
    unfit_minutes.c.sender_id == senders.c.sender_id,
    unfit_minutes.c.minute_ms == observations.c.slot_ms - observations.c.slot_ms % MS_PER_MINUTE,
)
FACTS: Final = (
    select(
        *(observations.c[name] for name in ("subject", "seen_us", "good", "value_ns", "run_id")),
        senders.c.region,
    )
    .select_from(
        observations.join(series, series.c.series_id == observations.c.series_id).join(
            senders, senders.c.sender_id == series.c.sender_id
        )
    )
    .where(
        observations.c.check_id == bindparam("check"),
        observations.c.slot_ms >= bindparam("from_ms"),
        observations.c.slot_ms < bindparam("until_ms"),
        observations.c.target == bindparam("target_id"),
        senders.c.fleet == bindparam("of_fleet"),
        ~exists(select(unfit_minutes.c.minute_ms).where(_UNFIT)),
    )
    .order_by(observations.c.slot_ms, observations.c.series_id, observations.c.place)
)


async def fetch_observations(
    session: Session, check_id: int, target: int, fleet: str, from_at: datetime, until_at: datetime
) -> list[Observation]:
    """The facts of slots in [from_at, until_at), oldest first; what an unfit host reported is left out."""
    found = await session.fetch(
        FACTS,
        check=check_id,
        from_ms=first_ms_from(from_at),
        until_ms=first_ms_from(until_at),
        target_id=target,
        of_fleet=fleet,
    )
    return [
        Observation(
            subject, instant_of_us(seen_us), bool(good), None if value_ns == NO_VALUE else value_ns, region, run_id
        )
        for subject, seen_us, good, value_ns, run_id, region in found
    ]


async def has_conclusive_run(
    session: Session, series_ids: tuple[int, ...], target: int, from_at: datetime, until_at: datetime
) -> bool:
    """Whether any run of these series said anything about the target in [from_at, until_at): one that facts can come from."""
    from_ms, until_ms = first_ms_from(from_at), first_ms_from(until_at)
    query = _first_conclusive_run(series_ids)
    return bool(await session.fetch(query, from_ms=from_ms, until_ms=until_ms, target_id=target))


@lru_cache(maxsize=64)
def _first_conclusive_run(ids: tuple[int, ...]) -> Select[Any]:
    """A run of these series that says something about a target, between two instants."""
    unfit = and_(
        unfit_minutes.c.sender_id == series.c.sender_id,
        unfit_minutes.c.minute_ms == runs.c.slot_ms - runs.c.slot_ms % MS_PER_MINUTE,
    )
    return (
        select(runs.c.slot_ms)
        .select_from(runs.join(series, series.c.series_id == runs.c.series_id))
        .where(
            # Values beside a list, as in `collector.store_cells`: each call gives others.
            runs.c.slot_ms >= bindparam("from_ms", 0, BigInteger),
            runs.c.slot_ms < bindparam("until_ms", 0, BigInteger),
            runs.c.target == bindparam("target_id", 0),
            runs.c.series_id.in_(ids),
            runs.c.turn < TURNS_PER_ATTEMPT,
            runs.c.ended == ENDED_AS_RUN,
            runs.c.outcome != OUTCOME_CODES[Outcome.INCONCLUSIVE],
            ~exists(select(unfit_minutes.c.minute_ms).where(unfit)),
        )
        .limit(1)
    )
