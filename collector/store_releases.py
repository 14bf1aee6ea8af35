"""The releases that somebody told the collector of: each counts once, and what is told of it does not change afterwards.

A repeat that says the same is no news; one that says something else is refused, for then nobody knows which is true. Refuses to
judge a release and to check its words (`probes.release_marker` has). Part of `collector.store`, which makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from collector.store_release_tables import releases
from collector.store_session import Row, Session, Work
from collector.store_tables import instant_of_us, microseconds_of
from probes.errors import OperatorError
from probes.release_marker import ReleaseMarker, ReleaseOutcome

__all__ = ["AddedRelease", "ReleaseConflictError", "Releases", "StoredRelease"]

Doing = Callable[[Work[Any]], Any]
MOST_FOUND: Final = 500
_R: Final = releases.c
_WHOLE: Final = (
    *(
        _R.name,
        _R.target,
        _R.began_us,
        _R.ended_us,
        _R.outcome,
        _R.environment,
        _R.cause,
        _R.by,
        _R.report_url,
        _R.note,
    ),
    *(_R.received_us, _R.received_from),
)


class ReleaseConflictError(OperatorError):
    """The release is known, and was told otherwise."""


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release, when the collector heard of it first, and with whose token; empty: from the collector's own host."""

    marker: ReleaseMarker
    received_at: datetime
    received_from: str

    @property
    def identity(self) -> str:
        """See `ReleaseMarker.identity`."""
        return self.marker.identity


@dataclass(frozen=True, slots=True)
class AddedRelease:
    """What became of telling it; not new: it was known already."""

    release: StoredRelease
    is_new: bool


class Releases:
    """The releases' part of an open store. Methods raise StoreError as the store's do."""

    def __init__(self, read: Doing, write: Doing) -> None:
        self._read = read
        self._write = write

    async def add(self, fleet: str, marker: ReleaseMarker, *, now: datetime, received_from: str = "") -> AddedRelease:
        """Keep it; the same again changes nothing. Raises ReleaseConflictError for one that is known otherwise."""

        async def work(session: Session) -> AddedRelease:
            values = {
                "fleet": fleet,
                "identity": marker.identity,
                "began_us": microseconds_of(marker.began_at),
                "ended_us": microseconds_of(marker.ended_at),
                "outcome": marker.outcome.value,
                "received_us": microseconds_of(now),
                "received_from": received_from,
                **{name: getattr(marker, name) for name in _SAME_NAME},
            }
            made = await session.execute(insert(releases).on_conflict_do_nothing().values(**values))
            same = select(*_WHOLE).where(_R.fleet == fleet, _R.identity == marker.identity)
            (row,) = await session.fetch(same)
            found = _release_of(row)
            _check_same(found.marker, marker)
            return AddedRelease(found, is_new=bool(made))

        answer: AddedRelease = await self._write(work)
        return answer

    async def within(
        self, fleet: str, from_at: datetime, until_at: datetime, *, target: str = "", limit: int = MOST_FOUND
    ) -> list[StoredRelease]:
        """Those that began in [from_at, until_at), the newest first; of one target, or of all."""
        conditions = [
            _R.fleet == fleet,
            _R.began_us >= microseconds_of(from_at),
            _R.began_us < microseconds_of(until_at),
        ]
        if target:
            conditions.append(_R.target == target)

        async def work(session: Session) -> list[StoredRelease]:
            query = select(*_WHOLE).where(*conditions).order_by(_R.began_us.desc(), _R.release_id.desc()).limit(limit)
            return [_release_of(row) for row in await session.fetch(query)]

        answer: list[StoredRelease] = await self._read(work)
        return answer

    async def heard_last(self, fleet: str, limit: int) -> list[StoredRelease]:
        """Those that the collector heard of last, whenever they were, the newest first."""

        async def work(session: Session) -> list[StoredRelease]:
            query = select(*_WHOLE).where(_R.fleet == fleet).order_by(_R.release_id.desc()).limit(limit)
            return [_release_of(row) for row in await session.fetch(query)]

        answer: list[StoredRelease] = await self._read(work)
        return answer


_SAME_NAME: Final = ("name", "target", "environment", "cause", "by", "report_url", "note")


def _release_of(row: Row) -> StoredRelease:
    name, target, began_us, ended_us, outcome, *texts, received_us, received_from = row
    marker = ReleaseMarker(
        name, target, instant_of_us(began_us), instant_of_us(ended_us), ReleaseOutcome(outcome), *texts
    )
    return StoredRelease(marker, instant_of_us(received_us), received_from)


def _check_same(known: ReleaseMarker, told: ReleaseMarker) -> None:
    names = [one.name for one in fields(ReleaseMarker) if getattr(known, one.name) != getattr(told, one.name)]
    if names:
        raise ReleaseConflictError(
            f"this release of {known.target} that began at {known.began_at.isoformat()} is known already, "
            f"with another {', '.join(names)}",
            where=known.name,
            remedy="What was told first stays. A release at another instant is another one",
        )
