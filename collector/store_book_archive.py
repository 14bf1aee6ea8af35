"""The books of sequence numbers on their way out of one store and into another, so that a move is not taken for a loss.

A probe goes on numbering where it was. A store that has only its records would count everything before the move as missing, for
ever. What one of two stores has received, the fleet has received: united, only what neither has is missing.

Refuses to make a probe known that no entry has made known. Called by `collector.store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import select

from collector import store_statements as sql
from collector.store_archive import ArchivedEntry
from collector.store_books import Books, united
from collector.store_session import Session
from collector.store_tables import epochs, gaps, senders
from probes.errors import OperatorError
from probes.messages import Address

__all__ = ["BOOKS", "fetch_books", "unite_books"]

BOOKS: Final = "books"
"""The kind of a line in an archive; no probe sends such an entry."""
Number = Annotated[int, Field(ge=1, lt=1 << 63)]


class _OneEpoch(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: Number
    highest_seq: Number
    gaps: list[tuple[Number, Number]] = []

    @model_validator(mode="after")
    def _gaps_are_below(self) -> Self:
        if any(not first <= last <= self.highest_seq for first, last in self.gaps):
            raise ValueError("a gap ends before it begins, or lies above the highest number")
        return self


async def fetch_books(session: Session) -> list[ArchivedEntry]:
    """The books of every epoch of every probe, as entries of an archive."""
    open_gaps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for sender_id, epoch, first, last in await session.fetch(select(gaps)):
        open_gaps.setdefault((sender_id, epoch), []).append((first, last))
    query = (
        select(*(epochs.c.sender_id, epochs.c.epoch, epochs.c.highest_seq))
        .add_columns(senders.c.fleet, senders.c.region, senders.c.probe)
        .select_from(epochs.join(senders, senders.c.sender_id == epochs.c.sender_id))
        .where(epochs.c.highest_seq > 0)
        .order_by(epochs.c.sender_id, epochs.c.epoch)
    )
    found = []
    for sender_id, epoch, highest_seq, *names in await session.fetch(query):
        missing = sorted(open_gaps.get((sender_id, epoch), []))
        body = _OneEpoch(epoch=epoch, highest_seq=highest_seq, gaps=missing).model_dump_json().encode()
        found.append(ArchivedEntry(Address(*names), BOOKS, body))
    return found


async def unite_books(session: Session, entries: Sequence[ArchivedEntry], *, now_us: int) -> None:
    """Bring archived books into the store's own; raises OperatorError for one that cannot be read."""
    for entry in entries:
        try:
            other = _OneEpoch.model_validate_json(entry.body)
        except ValidationError as error:
            message = f"the books of {entry.sender} cannot be read"
            raise OperatorError(message, where="import", remedy="Import files that `export` has written") from error
        names = {"fleet": entry.sender.fleet, "region": entry.sender.region, "probe": entry.sender.probe}
        for (sender_id,) in await session.fetch(sql.SENDER, **names):
            await session.lock_senders([sender_id])
            await _unite(session, sender_id, other, now_us)


async def _unite(session: Session, sender_id: int, other: _OneEpoch, now_us: int) -> None:
    ours = {"sender": sender_id, "life": other.epoch}
    highest = await session.fetch(sql.HIGHEST, **ours)
    known = Books(highest[0][0] if highest else 0, [(row[0], row[1]) for row in await session.fetch(sql.GAPS, **ours)])
    books = united(known, Books(other.highest_seq, other.gaps))
    await session.execute(sql.SET_EPOCH, **ours, highest=books.highest_seq, now_us=now_us)
    await session.execute(sql.CLOSE_GAPS, **ours)
    await session.insert(gaps, [(sender_id, other.epoch, first, last) for first, last in books.gaps])
